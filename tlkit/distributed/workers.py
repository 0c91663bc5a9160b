"""Who computes: this process, or workers. A pass over many images asks `current_workers`."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, Protocol, TypeVar, get_args

from tlkit.errors import ModelError, OptionError, require
from tlkit.utils.progress import Progress

WorkerKind = Literal["here", "ray"]
Spec = TypeVar("Spec")
Block = TypeVar("Block")
Result = TypeVar("Result")

BLOCKS_PER_WORKER = 8  # so that a slow worker does not keep the others waiting for long at the end
MIN_BLOCK, MAX_BLOCK = 16, 4096  # inputs; a large block costs more when its worker dies


class Workers(Protocol):
    """Processes that work on blocks."""

    @property
    def count(self) -> int:
        """The number of workers at a time."""

    def map(
        self, task: Callable[[Spec], Callable[[Block], Result]], spec: Spec, blocks: Iterable[Block]
    ) -> Iterator[Result]:
        """Compute `task(spec)(block)` of each block, and yield the results in the order of the blocks.

        A block whose worker dies is computed again by another one, so it must not matter if it is done twice.

        Args:
            task: a class or function of a module; each worker calls it once
            spec: what the worker needs; like blocks and results it travels pickled

        Raises:
            TlkitError: what the task raises; or if a worker's software or processor is another than this process's
        """

    def each(
        self, task: Callable[[Spec], Callable[[Block], Result]], spec: Spec, blocks: Iterable[Block]
    ) -> Iterator[tuple[int, Result | ModelError]]:
        """Compute the same for blocks that take minutes: a worker gets the next one when it has done the last.

        Yields:
            The position of a block and its result, in the order in which they are done; an error instead, if workers
            died on the block again and again

        Raises:
            TlkitError: as `map`
        """

    def describe(self, unit: str) -> str:
        """Say how fast each machine was in the last `map`, in one line; "" where there was nothing to do.

        Args:
            unit: of inputs, such as "images"
        """


_current: ContextVar[Workers | None] = ContextVar("workers", default=None)


def current_workers() -> Workers | None:
    """Give the workers that this thread's work is for; None where this process computes."""
    return _current.get()


@contextmanager
def use_workers(on: WorkerKind = "here", workers: int = 0) -> Iterator[None]:
    """Let all passes over images in this block run on workers.

        with tlkit.use_workers("ray", workers=16):
            tlkit.finetune("s3://bucket/photos")

    Args:
        on: "ray" joins the cluster of RAY_ADDRESS, or starts one on this machine; "here" computes in this process,
            also in a block that is inside of another one
        workers: how many; 0 for one per processor

    Yields:
        None

    Raises:
        OptionError: if workers are asked for without the kind of workers
        ModelError: if Ray is not installed
    """
    if on not in get_args(WorkerKind):
        raise OptionError(f"--on is {on!r}; expected one of {', '.join(get_args(WorkerKind))}.")
    if on == "here":
        if workers:
            raise OptionError("--workers has no effect without --on ray; leave it out, or add --on ray.")
        with _using(None):
            yield
        return
    require("Ray", "ray", "--on ray")
    from tlkit.distributed.ray_cluster import RayWorkers

    cluster = RayWorkers(workers)
    try:
        with _using(cluster):
            yield
    finally:
        cluster.close()


@contextmanager
def _using(workers: Workers | None) -> Iterator[None]:
    token = _current.set(workers)
    try:
        yield
    finally:
        _current.reset(token)


def note_work(workers: Workers, progress: Progress, unit: str = "images") -> None:
    """Note how fast each machine was, where there was something to do."""
    if text := workers.describe(unit):
        progress.note(f"--on ray: {text}.")


def block_size(num_inputs: int, num_workers: int) -> int:
    """Choose how many inputs a block has.

    >>> block_size(2_527, 2), block_size(10_000_000, 8), block_size(10, 2)
    (158, 4096, 16)
    """
    return min(MAX_BLOCK, max(MIN_BLOCK, -(-num_inputs // (BLOCKS_PER_WORKER * num_workers))))
