"""Blocks on a Ray cluster of this machine: order, errors, workers that die."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("ray")

from tests.distributed.nodes import ROOT, running_cluster
from tests.test_shared_cache import wait_for
from tlkit.distributed import ray_cluster
from tlkit.distributed.ray_cluster import Answer, RayWorkers, in_order
from tlkit.distributed.software import this_software
from tlkit.distributed.workers import use_workers
from tlkit.errors import DataError, ModelError, OptionError, TlkitError

pytestmark = pytest.mark.training  # a cluster takes seconds to start


class Adder:
    """A task: adds a number, and does what a block asks for."""

    def __init__(self, spec: int) -> None:
        self._spec = spec

    def __call__(self, block: list[int | str]) -> int:
        for item in block:
            if item == "fail":
                raise DataError("this block is bad.")
            if item == "crash":
                raise ZeroDivisionError("a mistake")
            if isinstance(item, str) and item.startswith("die once"):
                mark = Path(item.removeprefix("die once "))
                if not mark.exists():
                    mark.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
        return self._spec + sum(item for item in block if isinstance(item, int))


class Waiter:
    """A task that takes half a second, and leaves a file that says so."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def __call__(self, number: int) -> int:
        (Path(self._folder) / str(number)).touch()
        time.sleep(0.5)
        return number


def test_results_are_in_the_order_of_the_blocks(cluster: RayWorkers) -> None:
    assert list(cluster.map(Adder, 100, [[number, number] for number in range(20)])) == [
        100 + 2 * number for number in range(20)
    ]
    assert "40 images" in cluster.describe("images")
    assert "2 workers on '" in cluster.describe("images") or "1 worker on '" in cluster.describe("images")


def test_nothing_to_do_is_no_result(cluster: RayWorkers) -> None:
    assert list(cluster.map(Adder, 1, [])) == []


def test_an_error_of_a_task_arrives_as_it_was_raised(cluster: RayWorkers) -> None:
    with pytest.raises(DataError, match="this block is bad"):
        list(cluster.map(Adder, 1, [[1], ["fail"]]))
    with pytest.raises(TlkitError, match="ZeroDivisionError"):
        list(cluster.map(Adder, 1, [["crash"]]))


def test_a_block_whose_worker_dies_is_done_again(
    cluster: RayWorkers, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    blocks: list[list[int | str]] = [[number] for number in range(8)]
    blocks[2] = [2, f"die once {tmp_path / 'first'}"]
    blocks[5] = [5, f"die once {tmp_path / 'second'}"]
    assert list(cluster.map(Adder, 0, blocks)) == list(range(8))
    assert "were done again, because a worker died" in cluster.describe("images")
    time.sleep(2)  # Ray tells of it from a thread
    assert capfd.readouterr() == ("", "")  # standard output may be somebody's table


def test_a_worker_with_other_software_is_refused(cluster: RayWorkers, monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(this_software(), codecs="jpg 1")
    monkeypatch.setattr(ray_cluster, "this_software", lambda: other)  # of this process; workers find their own
    with pytest.raises(ModelError, match="would compute other pixels or features than this machine: its codecs are"):
        list(cluster.map(Adder, 0, [[1]]))


def test_a_cluster_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "from tlkit.distributed.workers import current_workers, use_workers\n"
        "with use_workers('ray', 1):\n    list(current_workers().map(len, 0, [[1]]))"
    )
    environment = os.environ | {"RAY_ADDRESS": "127.0.0.1:1"}
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=180, check=False
    )
    assert OptionError.__name__ in ended.stderr
    assert "the cluster of RAY_ADDRESS '127.0.0.1:1' does not answer" in ended.stderr


def test_answers_are_put_in_order_and_errors_come_at_once() -> None:
    assert list(in_order([Answer(1, "b"), Answer(0, "a"), Answer(2, "c")])) == ["a", "b", "c"]
    with pytest.raises(ModelError):
        list(in_order([Answer(3, error=ModelError("no."))]))


@pytest.mark.slow
def test_no_process_of_the_cluster_stays() -> None:
    code = (
        "import os\nfrom tests.distributed.test_ray_cluster import Adder\n"
        "from tlkit.distributed.workers import current_workers, use_workers\n"
        "with use_workers('ray', 1):\n"
        "    print(list(current_workers().map(Adder, 1, [[1]])))\n"
        "print(os.getpgrp())"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True, start_new_session=True
    )
    assert "[2]" in ended.stdout
    assert use_workers is not None
    group = int(ended.stdout.split()[-1])
    with pytest.raises(ProcessLookupError):
        os.killpg(group, 0)


@pytest.mark.slow
@pytest.mark.parametrize("trial", range(3))
def test_a_node_that_goes_away_costs_nothing_but_time(trial: int, tmp_path: Path) -> None:
    (tmp_path / "begun").mkdir()
    code = (
        "from tests.distributed.test_ray_cluster import Waiter\n"
        "from tlkit.distributed.workers import current_workers, use_workers\n"
        "with use_workers('ray', 2):\n"
        f"    print(*current_workers().map(Waiter, {str(tmp_path / 'begun')!r}, range(40)))"
    )
    with running_cluster(tmp_path, 1, {"RAY_AUTH_MODE": "disabled"}, num_more=1) as (address, nodes):
        environment = os.environ | {"RAY_ADDRESS": address, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", code]
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as driver:
            wait_for(lambda: len(list((tmp_path / "begun").iterdir())) >= 5 + 3 * trial, seconds=120)
            os.killpg(nodes[0].pid, signal.SIGKILL)
            answered, said = driver.communicate(timeout=180)
    assert (driver.returncode, answered.split()) == (0, [str(number) for number in range(40)]), said
