"""Candidates that are trained by the workers of a cluster at the same time (docs/decisions/062).

A task trains candidates into their run folders, which the driver then reads as if it had trained them itself. What is
there already, because another worker was killed, is continued.
"""

import math
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tlkit.cache.file_memory import is_reading_all, reading_all_files
from tlkit.comparison.cache import KEY_FILE
from tlkit.comparison.slots import TimeSlot, train_in_slot
from tlkit.data.folder import ImageFolder
from tlkit.distributed.workers import Workers, note_work
from tlkit.errors import RunError, TlkitError
from tlkit.runs.ledger import record_run
from tlkit.runs.run import Run, create_run, delete_run, is_done
from tlkit.training.recipe import Recipe, TrainingResult
from tlkit.training.session import train_images
from tlkit.utils.files import sha256_file
from tlkit.utils.parallel import count_workers
from tlkit.utils.progress import Advance, Progress, Silent, Stopwatch

ARRIVAL_SECONDS = 60.0  # after which a network file system has looked again at what others wrote
LOOK_SECONDS = 0.2  # between two looks
MAX_NAMED = 32  # characters of the models under way beside a bar, in a terminal of 60 columns
TENSORFLOW_THREADS = "TF_NUM_INTRAOP_THREADS"


@dataclass(frozen=True)
class CandidateTask:
    """A candidate to train.

    Attributes:
        name, title: of the candidate
        recipe: adapted to the images
        slot: its part of the time
    """

    name: str
    title: str
    recipe: Recipe[Any]
    slot: TimeSlot


@dataclass(frozen=True)
class TasksSpec:
    """All that workers need for the candidates of a comparison.

    Attributes:
        comparison: its folder, with the same path on all machines
        key: what the comparison depends on, which is in its folder
        folder: the images
        paths: "data" and "images" of settings.json
        end: when all must be over, in seconds since 1970
        threads: of the driver: sums of products are rounded by how many threads share them
        reads_all: whether also files that have not changed are read
    """

    comparison: Path
    key: str
    folder: ImageFolder
    paths: Mapping[str, str]
    end: float = math.inf
    threads: int = 1
    reads_all: bool = False


@dataclass(frozen=True)
class Trained:
    """The outcome of a task.

    Attributes:
        name: of the candidate
        digest: SHA-256 of the `model.json` of its run
        accuracy: on the validation images
        error: why there is no run
    """

    name: str
    digest: str = ""
    accuracy: float = math.nan
    error: TlkitError | None = None


class TrainCandidates:
    """A worker that trains candidates, one after the other."""

    def __init__(self, spec: TasksSpec) -> None:
        """Look for the comparison's folder at once, before time is spent on what would be lost.

        Raises:
            RunError: if this machine has another folder there, or none
        """
        self._spec = spec
        try:
            is_found = Run(spec.comparison).read_json(KEY_FILE) == spec.key
        except RunError:
            is_found = False
        if not is_found:
            raise RunError(
                f"a worker does not find the comparison '{spec.comparison}'; expected storage that all workers and "
                "this machine share: choose a folder on it with -o."
            )
        os.environ[TENSORFLOW_THREADS] = str(spec.threads)  # before its import

    def __call__(self, tasks: Sequence[CandidateTask]) -> list[Trained]:
        """Train some candidates; an error of one is a result."""
        with ExitStack() as stack:
            if find_spec("threadpoolctl"):
                from threadpoolctl import threadpool_limits

                stack.enter_context(threadpool_limits(self._spec.threads))
            if self._spec.reads_all:
                stack.enter_context(reading_all_files())
            return [self._train(task) for task in tasks]

    def _train(self, task: CandidateTask) -> Trained:
        run, spec = Run(self._spec.comparison / task.name), self._spec

        def start(recipe: Recipe[Any], progress: Progress) -> TrainingResult:
            """Train from nothing."""
            delete_run(run)  # what a worker left that was killed at its start
            create_run(run.path, recipe.command)
            stopwatch = Stopwatch()
            stopwatch.lap("scan")
            return train_images(run, recipe, spec.folder, spec.paths, progress, stopwatch)

        try:
            if not is_done(run.path):
                train_in_slot(task.recipe, run.path, (spec.end - time.time(), task.slot), start, Silent())
            return _read_outcome(run)
        except Exception as error:  # other candidates may succeed all the same
            return Trained(task.name, error=without_traceback(error))


def _read_outcome(run: Run) -> Trained:
    """Read a finished run."""
    return Trained(run.path.name, sha256_file(run.path / "model.json"), run.read_json("metrics.json")["accuracy"])


def _read_lost(spec: TasksSpec, tasks: Sequence[CandidateTask], error: TlkitError) -> list[Trained]:
    """Find which candidate killed its workers: the first without a run; later ones are left to the driver."""
    results = list[Trained]()
    for task in tasks:
        run = Run(spec.comparison / task.name)
        if not is_done(run.path):
            return [*results, Trained(task.name, error=error)]
        results.append(_read_outcome(run))
    return results


def without_traceback(error: Exception) -> TlkitError:
    """Make the same error, in a sentence; a traceback holds on to memory."""
    if isinstance(error, TlkitError):
        return type(error)(str(error))
    lines = str(error).splitlines() or ["no reason given"]
    return TlkitError(f"unexpected {type(error).__name__}: {lines[0]}.")


def driver_threads() -> int:
    """Count the threads that a product of matrices takes in this process."""
    return int(os.environ.get(TENSORFLOW_THREADS) or count_workers())


def make_spec(run: Run, folder: ImageFolder, end: float) -> TasksSpec:
    """Gather what workers need.

    Args:
        run: of the comparison
        folder: the images, with their headers
        end: when all must be over, in seconds since 1970
    """
    request = run.read_json("settings.json")
    paths = {name: request[name] for name in ("data", "images")}
    key = run.read_json(KEY_FILE)
    return TasksSpec(run.path.resolve(), key, folder, paths, end, driver_threads(), is_reading_all())


def train_on_workers(
    workers: Workers, spec: TasksSpec, blocks: Sequence[Sequence[CandidateTask]], progress: Progress
) -> dict[str, Trained]:
    """Train candidates at the same time, and give what became of each.

    Args:
        blocks: candidates that one worker trains, one after the other

    Raises:
        RunError: if a run is not where this machine can read it
        TlkitError: if the workers cannot work
    """
    results, waiting = dict[str, Trained](), dict(enumerate(blocks))
    with progress.stage("candidates", sum(map(len, blocks)), "models") as advance:
        _say_what_runs(progress, waiting, workers.count)
        for position, answer in workers.each(TrainCandidates, spec, blocks):
            tasks = waiting.pop(position)
            found = _read_lost(spec, tasks, answer) if isinstance(answer, TlkitError) else answer
            for task, trained in zip(tasks, found, strict=False):
                results[task.name] = trained
                _receive(spec.comparison / task.name, task, trained, (progress, advance))
            _say_what_runs(progress, waiting, workers.count)
    note_work(workers, progress, "models")
    return results


def _receive(path: Path, task: CandidateTask, trained: Trained, watch: tuple[Progress, Advance]) -> None:
    """Wait until a run is there, and show its accuracy."""
    progress, advance = watch
    if trained.error is None:
        _wait_for(path, trained.digest)
        record_run(trained.digest)  # it was made for this machine
        progress.note(f"{task.title}: accuracy {100 * trained.accuracy:.1f} %", transient=True)
    advance(1)


def _wait_for(path: Path, digest: str) -> None:
    """Wait for a run; RunError if it does not come"""
    end = time.monotonic() + ARRIVAL_SECONDS
    while not _has_arrived(path, digest):
        if time.monotonic() > end:
            raise RunError(
                f"a worker has trained '{path}', but this machine does not find it; expected storage that all workers "
                "and this machine share: choose a folder on it with -o."
            )
        time.sleep(LOOK_SECONDS)


def _has_arrived(path: Path, digest: str) -> bool:
    try:
        return is_done(path) and sha256_file(path / "model.json") == digest
    except OSError:
        return False


def _say_what_runs(progress: Progress, waiting: Mapping[int, Sequence[CandidateTask]], num_workers: int) -> None:
    """Name what is under way: workers take the first ones that wait."""
    running = [tasks[0].name for _, tasks in sorted(waiting.items())[:num_workers]]
    progress.waiting(name_some(running))


def name_some(names: Sequence[str]) -> str:
    """Name as many as a bar has room for.

    >>> name_some(["linear", "lenet"]), name_some(["mobilenet_v2_035", "mobilenet_025", "classic", "linear"])
    ('linear, lenet', 'mobilenet_v2_035, 3 more')
    """
    for count in range(len(names), 0, -1):
        more = [f"{len(names) - count} more"] * (count < len(names))
        text = ", ".join([*names[:count], *more])
        if len(text) <= MAX_NAMED or count == 1:
            return text
    return ""
