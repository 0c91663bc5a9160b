import itertools
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tlkit.utils.parallel import (
    SWITCH_SECONDS,
    TwoThreads,
    count_workers,
    in_chunks,
    ordered_map,
    take_until,
    worker_beside,
)


@pytest.fixture
def pool():
    with ThreadPoolExecutor(4) as executor:
        yield executor


class Counted:
    """Numbers from 0 that know how many of them were taken."""

    def __init__(self):
        self.taken = 0

    def __iter__(self):
        for number in itertools.count():
            self.taken += 1
            yield number


@pytest.mark.parametrize("ahead", [1, 2, 7, 1000])
@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_results_come_in_the_order_of_the_items(pool, count, ahead):
    assert list(ordered_map(pool, lambda item: item * item, range(count), ahead)) == [n * n for n in range(count)]


def test_an_item_that_takes_longer_keeps_its_turn(pool):
    def late(item):
        time.sleep(0.05 if item == 0 else 0)
        return item

    assert list(ordered_map(pool, late, range(8))) == list(range(8))


@pytest.mark.parametrize("ahead", [1, 2, 5])
def test_no_more_items_are_taken_than_are_ahead(pool, ahead):
    items = Counted()
    for turn, _ in zip(range(20), ordered_map(pool, str, items, ahead), strict=False):
        assert items.taken - turn <= ahead


def test_endless_items_can_be_mapped(pool):
    results = ordered_map(pool, str, itertools.count(), 3)
    assert list(itertools.islice(results, 4)) == ["0", "1", "2", "3"]
    results.close()


def test_items_are_worked_on_side_by_side(pool):
    meeting = threading.Barrier(4)
    assert len(list(ordered_map(pool, lambda _: meeting.wait(timeout=10), range(4), 4))) == 4


def test_an_error_is_raised_at_the_turn_of_its_item(pool):
    results = ordered_map(pool, lambda item: 1 // item, [1, 1, 0, 1], 4)
    assert [next(results), next(results)] == [1, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_after_an_error_waiting_items_are_not_worked_on():
    started, gate = [], threading.Event()

    def work(item):
        started.append(item)
        if item == 0:
            raise ValueError
        gate.wait(timeout=10)

    with ThreadPoolExecutor(1) as single:
        with pytest.raises(ValueError):
            list(ordered_map(single, work, range(100), 100))
        gate.set()
    assert set(started) <= {0, 1}


def test_an_error_of_the_items_themselves_is_passed_on(pool):
    def broken():
        yield 1
        raise KeyError

    with pytest.raises(KeyError):
        list(ordered_map(pool, str, broken()))


def test_stopping_early_cancels_what_waits():
    started, gate = [], threading.Event()

    def work(item):
        started.append(item)
        if item:
            gate.wait(timeout=10)

    with ThreadPoolExecutor(1) as single:
        results = ordered_map(single, work, range(100), 100)
        next(results)
        results.close()
        gate.set()
    assert set(started) <= {0, 1}


def test_chunks_hold_all_items_in_order():
    for items, size, chunks in [
        ([], 3, []),
        ([1, 2], 3, [[1, 2]]),
        ([1, 2, 3], 3, [[1, 2, 3]]),
        ([1, 2, 3, 4], 3, [[1, 2, 3], [4]]),
        ([1, 2], 1, [[1], [2]]),
    ]:
        assert list(in_chunks(items, size)) == chunks, (items, size, chunks)
        assert list(in_chunks(iter(items), size)) == chunks, (items, size, chunks)


def test_chunks_take_no_more_than_they_give():
    items = Counted()
    assert next(in_chunks(items, 5)) == [0, 1, 2, 3, 4]
    assert items.taken == 5


def test_there_is_at_least_one_worker():
    assert count_workers() >= 1


def test_take_until_leaves_the_rest():
    items = iter(range(10))
    assert list(take_until(items, lambda: False, 3)) == [0, 1, 2]
    answers = iter([False, False, True])
    assert list(take_until(items, lambda: next(answers), 5)) == [3, 4]
    assert list(take_until(items, lambda: True, 5)) == []
    assert list(take_until(items, lambda: False, 50)) == [5, 6, 7, 8, 9]


@pytest.mark.parametrize(("wanted", "processors"), [(True, 2), (True, 1), (False, 2)])
def test_two_threads_gives_both_results_in_their_order(wanted, processors, monkeypatch):
    monkeypatch.setattr("tlkit.utils.parallel.count_workers", lambda: processors)
    threads = TwoThreads(wanted)
    assert [threads(lambda item: 10 * item, (number, number + 1)) for number in range(9)] == [
        (10 * number, 10 * number + 10) for number in range(9)
    ]


def test_two_threads_works_side_by_side(monkeypatch):
    monkeypatch.setattr("tlkit.utils.parallel.count_workers", lambda: 2)
    meeting = threading.Barrier(2)
    assert sorted(TwoThreads()(lambda _: meeting.wait(timeout=10), (0, 1))) == [0, 1]


def test_two_threads_does_not_wait_for_a_thread_that_has_not_begun(monkeypatch):
    monkeypatch.setattr("tlkit.utils.parallel.count_workers", lambda: 2)
    threads, free = TwoThreads(), threading.Event()
    threads._pool.submit(free.wait, 10)
    caller = threading.get_ident()
    assert threads(lambda _: threading.get_ident(), (0, 1)) == (caller, caller)
    free.set()


@pytest.mark.parametrize("broken", [0, 1])
def test_error_in_a_half_is_raised(broken, monkeypatch):
    monkeypatch.setattr("tlkit.utils.parallel.count_workers", lambda: 2)
    with pytest.raises(ZeroDivisionError):
        TwoThreads()(lambda item: 1 / item, (0, 1) if broken == 0 else (1, 0))


def test_worker_beside_lets_threads_take_turns_often_meanwhile():
    before = sys.getswitchinterval()
    with worker_beside() as worker:
        assert worker.submit(sys.getswitchinterval).result() == pytest.approx(SWITCH_SECONDS)
    assert sys.getswitchinterval() == before


def test_after_an_error_work_that_has_not_begun_is_left_out():
    done, begun, free = [], threading.Event(), threading.Event()

    def work():
        begun.set()
        free.wait(10)
        done.append("first")

    with pytest.raises(KeyboardInterrupt), worker_beside() as worker:  # noqa: PT012
        worker.submit(work)
        worker.submit(done.append, "second")
        begun.wait(10)
        threading.Timer(0.05, free.set).start()
        raise KeyboardInterrupt
    assert done == ["first"]
