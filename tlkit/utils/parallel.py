"""Threads that share work: results in order, and never more in flight than fits."""

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import islice
from typing import TypeVar

CHUNK = 8  # files a thread takes at a time
SWITCH_SECONDS = 0.0005  # after which a thread in Python code lets another one run

_limit: int | None = None

Item = TypeVar("Item")
Result = TypeVar("Result")


def count_workers() -> int:
    """Count the threads that decode and compute: one per processor this process may use."""
    if _limit:
        return _limit
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def limit_workers(count: int) -> None:
    """Let this process take no more threads than these, because others of its kind keep the other processors busy."""
    global _limit  # noqa: PLW0603 - a property of the process
    _limit = count


def ordered_map(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], ahead: int = 4 * count_workers()
) -> Iterator[Result]:
    """Compute `function` of each item in `pool`, and yield the results in the order of the items.

    Args:
        ahead: items that are submitted before the result of the first is taken, at most
    """
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def in_chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Group the items in lists of `size`, the last one perhaps shorter.

    >>> list(in_chunks("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    source = iter(items)
    while chunk := list(islice(source, size)):
        yield chunk


def take_until(items: Iterator[Item], has_ended: Callable[[], bool], max_items: int) -> Iterator[Item]:
    """Take at most `max_items` items, and no more once `has_ended` says so; the rest stays in `items`."""
    for _ in range(max_items):
        if has_ended():
            return
        try:
            yield next(items)
        except StopIteration:
            return


def once(make: Callable[[], Result]) -> Callable[[], Result]:
    """Give a function that calls `make` the first time; threads that call it meanwhile wait."""
    lock, made = threading.Lock(), list[Result]()

    def call() -> Result:
        """Give what was made."""
        with lock:
            if not made:
                made.append(make())
        return made[0]

    return call


class TwoThreads:
    """Two threads for work in two halves: the caller's, and one that waits for the next work in between.

    On one processor, and where two are not wanted, the caller's thread does both halves, the first one first.
    """

    def __init__(self, wanted: bool = True) -> None:
        self._pool = ThreadPoolExecutor(1) if wanted and count_workers() > 1 else None

    def __call__(self, work: Callable[[Item], Result], halves: tuple[Item, Item]) -> tuple[Result, Result]:
        """Do both halves of some work, and give their results."""
        first, second = halves
        if self._pool is None:
            return work(first), work(second)
        beside = self._pool.submit(work, second)
        made = work(first)
        return made, work(second) if beside.cancel() else beside.result()  # it did not begin: no processor was free


@contextmanager
def worker_beside() -> Iterator[Executor]:
    """Give a thread for work beside the caller's; after an error, what it has not started is left out.

    Meanwhile threads take turns more often. As Python sets it, a thread that writes a file waits up to 5 ms for one
    that draws or imports, and a run has fifty files.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, SWITCH_SECONDS))
    try:
        with ThreadPoolExecutor(1) as pool:
            try:
                yield pool
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    finally:
        sys.setswitchinterval(before)


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Limit matrix products to one thread, because our threads keep the processors busy already.

    Two pools of threads on two processors slow each other down: dense SIFT takes half the time so, Fisher
    vectors a third (docs/decisions/014). Without threadpoolctl, which scikit-learn brings, nothing changes.
    """
    if find_spec("threadpoolctl"):
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1, user_api="blas"):
            yield
    else:
        yield
