"""Who computes: options that are refused, and where the choice holds."""

from threading import Thread

import pytest

from tlkit.distributed.workers import BLOCKS_PER_WORKER, MAX_BLOCK, block_size, current_workers, use_workers
from tlkit.errors import OptionError


def test_without_workers_this_process_computes() -> None:
    assert current_workers() is None
    with use_workers():
        assert current_workers() is None


def test_workers_need_a_place() -> None:
    with pytest.raises(OptionError, match="--workers has no effect without --on ray"), use_workers("here", 2):
        pass
    with pytest.raises(OptionError, match="--on is 'spark'"), use_workers("spark"):  # type: ignore[arg-type]
        pass


def test_the_choice_ends_with_its_block_and_holds_in_this_thread_only() -> None:
    pytest.importorskip("ray")
    seen = []
    with use_workers("ray", 3):
        assert current_workers() is not None
        thread = Thread(target=lambda: seen.append(current_workers()))
        thread.start()
        thread.join()
    assert current_workers() is None
    assert seen == [None]


def test_a_block_inside_may_compute_here() -> None:
    pytest.importorskip("ray")
    with use_workers("ray", 3):
        outside = current_workers()
        with use_workers("here"):
            assert current_workers() is None
        assert current_workers() is outside


@pytest.mark.parametrize("num_workers", [1, 2, 64])
@pytest.mark.parametrize("num_inputs", [0, 1, 100, 2_527, 10**6, 10**8])
def test_every_worker_gets_several_blocks_of_bounded_size(num_inputs: int, num_workers: int) -> None:
    size = block_size(num_inputs, num_workers)
    assert 1 <= size <= MAX_BLOCK
    if num_inputs >= 16 * BLOCKS_PER_WORKER * num_workers:
        assert -(-num_inputs // size) >= BLOCKS_PER_WORKER * num_workers - num_workers
