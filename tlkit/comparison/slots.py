"""A candidate's part of the time limit, and its training within it: in this process, or by a worker."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlkit.comparison.candidates import Candidate
from tlkit.errors import OptionError
from tlkit.runs.manifest import RUN_FILES
from tlkit.runs.run import UNFINISHED, Run
from tlkit.runs.unfinished import has_progress
from tlkit.training.recipe import Recipe, TrainingResult
from tlkit.training.resume import resume
from tlkit.utils.files import other_paths
from tlkit.utils.progress import Advance, Progress

OVERRUN_FACTOR = 2.0  # a training that takes longer than this many times its slot is ended
MIN_SECONDS = 40.0  # nothing is ended earlier: starting Keras and converting a network may take that long
NO_TIME = "--time-limit is too short for it; use a longer one."


class OutOfTimeError(OptionError):
    """Work would take longer than it may."""


@dataclass(frozen=True)
class TimeSlot:
    """A candidate's part of the time that is left when it starts.

    Attributes:
        fraction: of that time, which it should take
        min_seconds: that it is given all the same, and without which it is not started
    """

    fraction: float
    min_seconds: float

    def seconds(self, left: float) -> float:
        """Give the seconds that it should take, of those that are left; infinite where there is no limit."""
        return max(self.min_seconds, left * self.fraction)


def time_slot(candidate: Candidate, later: Sequence[Candidate], at_once: int = 1) -> TimeSlot:
    """Divide the time among this candidate and later ones.

    Args:
        at_once: how many that depend on no other are trained at the same time
    """

    def part(one: Candidate) -> float:
        """Give the part of the whole that a candidate keeps the others waiting for."""
        return one.min_seconds if one.depends_on_others else one.min_seconds / at_once

    total = sum(map(part, (candidate, *later)))
    return TimeSlot(min(1.0, candidate.min_seconds / total), candidate.min_seconds)


Start = Callable[[Recipe[Any], Progress], TrainingResult]


def train_in_slot(
    recipe: Recipe[Any], target: Path, time_left: tuple[float, TimeSlot], start: Start, progress: Progress
) -> TrainingResult:
    """Train a candidate, or continue its training.

    Args:
        target: its run folder
        time_left: seconds until all must be over, and its part of them
        start: trains from nothing

    Raises:
        OutOfTimeError: if there is too little time, or it takes much longer than it should
        TlkitError: all errors of a training
    """
    left, slot = time_left
    if left < slot.min_seconds:
        raise OutOfTimeError(NO_TIME)
    seconds = slot.seconds(left)
    deadline = Deadline(progress, min(max(OVERRUN_FACTOR * seconds, MIN_SECONDS), left))
    return resume(target, deadline) if is_resumable(target) else start(recipe.with_time_limit(seconds), deadline)


def is_resumable(target: Path) -> bool:
    """Tell whether a training can be continued; one without progress only if its folder has other files."""
    if not (target / UNFINISHED).exists():
        return False
    return has_progress(Run(target)) or ((target / "settings.json").exists() and bool(other_paths(target, RUN_FILES)))


class Deadline:
    """A `Progress` that ends what takes too long, between two steps of it.

    It drops lasting notes: a comparison has many candidates, and each keeps its notes in its own run.
    """

    def __init__(self, inner: Progress, seconds: float) -> None:
        self._inner, self._end = inner, time.monotonic() + seconds

    def run_started(self, path: Path) -> None:
        """Drop the folder of a candidate: the comparison is what can be continued."""

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Advance]:
        """Start a stage of the inner progress, and check the time at every step.

        Raises:
            OutOfTimeError: before the first step, too
        """
        self._check()
        with self._inner.stage(name, total, unit) as advance:

            def step(done: int) -> None:
                """Advance, and check the time."""
                advance(done)
                self._check()

            yield step

    def waiting(self, text: str) -> None:
        """Pass the text on."""
        self._inner.waiting(text)

    def note(self, text: str, transient: bool = False) -> None:
        """Pass transient notes on, and drop lasting ones."""
        if transient:
            self._inner.note(text, transient=True)

    def on_epoch_end(self, row: Mapping[str, Any]) -> None:
        """Pass the epoch on, and check the time.

        Raises:
            OutOfTimeError
        """
        self._inner.on_epoch_end(row)
        self._check()

    def _check(self) -> None:
        if time.monotonic() > self._end:
            raise OutOfTimeError(NO_TIME)
