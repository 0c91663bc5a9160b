"""Threads that share work: results in order, and never more in flight than fits."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import islice
from typing import TypeVar

CHUNK = 8  # files a thread takes at a time

Item = TypeVar("Item")
Result = TypeVar("Result")


def count_workers() -> int:
    """Count the threads that decode and compute: one per processor this process may use."""
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


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
