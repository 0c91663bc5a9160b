"""Notes on `--time-limit`, for a person: while images are read, after the last epoch, and at the end."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tlkit.training.loop.history import EpochRecord
from tlkit.utils.progress import Advance, Progress
from tlkit.utils.text import format_duration, parse_duration

MIN_EXCESS = 1.0  # seconds beyond the time limit that are worth a note
SPARE = 0.1  # of the time limit, from which on unused time is worth a note
MEASURED_SECONDS = 2.0  # of reading, before its end is foreseen


class ReadingWatch:
    """A `Progress` that says, while images are read, that this alone takes longer than the time limit."""

    def __init__(self, inner: Progress, time_limit: str, passed: float) -> None:
        """Watch the stages from now on.

        Args:
            time_limit: as it was given; "" for none
            passed: seconds since the start of the command
        """
        self._inner, self._time_limit = inner, time_limit
        self._started, self._seconds = time.perf_counter() - passed, parse_duration(time_limit)

    def run_started(self, path: Path) -> None:
        """Pass the folder on."""
        self._inner.run_started(path)

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Advance]:
        """Start a stage of the inner progress, and foresee its end."""
        first, done = 0.0, 0

        with self._inner.stage(name, total, unit) as advance:

            def step(count: int) -> None:
                """Advance; from the second step on the engine runs, and the pace is known."""
                nonlocal first, done
                advance(count)
                now = time.perf_counter()
                if not first:
                    first = now
                    return
                done += count
                if self._seconds and now - first > MEASURED_SECONDS:
                    self._foresee(now + (total - done) * (now - first) / done - self._started)

            yield step

    def _foresee(self, end: float) -> None:
        if end > self._seconds:
            self._inner.note(
                f"reading the images takes about {format_duration(end)}; --time-limit {self._time_limit} does not "
                "shorten that. Only the head is trained after it, as quickly as possible."
            )
        self._seconds = 0.0  # said once, or all is well

    def waiting(self, text: str) -> None:
        """Pass the text on."""
        self._inner.waiting(text)

    def note(self, text: str, transient: bool = False) -> None:
        """Pass the note on."""
        self._inner.note(text, transient)

    def on_epoch_end(self, row: Mapping[str, Any]) -> None:
        """Pass the epoch on."""
        self._inner.on_epoch_end(row)


def notes_on_epochs(epochs: Sequence[EpochRecord], allowed: tuple[int, int], spare: float, limit: float) -> list[str]:
    """Say where a time limit ended the last phase, and why time is left.

    Args:
        epochs: of the last phase
        allowed: the number of epochs within the limit, and without it; 0 and 0 where that is the same
        spare: seconds left after the last epoch
        limit: in seconds; 0 for none
    """
    trained, (within, planned) = [record for record in epochs if record.epoch], allowed
    notes, is_cut = [], len(trained) == within
    if is_cut:
        accuracies = [record.val_accuracy for record in trained]
        is_rising = len(accuracies) > 1 and accuracies[-1] > max(accuracies[:-1])
        rising = "; accuracy was still rising" if is_rising else ""
        notes.append(f"stopped at {within} of {planned} epochs by --time-limit{rising}.")
    if limit and spare > SPARE * limit:
        why = "the training was done"
        if is_cut:
            length = trained[-1].seconds
            does_fit = f"another epoch of {format_duration(length)} does not fit"
            why = does_fit if length > spare else "the epochs took less time than expected"
        notes.append(f"the run ends about {format_duration(spare)} before --time-limit: {why}.")
    return notes


def check_time_limit(options: Any, seconds: Mapping[str, float]) -> list[str]:
    """Say by how much a training took longer than its time limit, and why.

    Args:
        options: as they were given
        seconds: of scan, features, choose, fit and total
    """
    limit = parse_duration(getattr(options, "time_limit", ""))
    excess = seconds["total"] - limit
    if not limit or excess < MIN_EXCESS:
        return []
    reading = seconds["scan"] + seconds["features"]
    training = seconds.get("choose", 0.0) + seconds["fit"]
    rest = "repeating the training and saving it" if options.folds or options.seeds else "saving the run"
    causes = {
        f"reading the images took {format_duration(reading)}, which no limit shortens": reading,
        f"training took {format_duration(training)}, longer than estimated": training,
        f"{rest} took {format_duration(seconds['total'] - reading - training)}": seconds["total"] - reading - training,
    }
    cause = max(causes, key=lambda words: causes[words])
    total = format_duration(seconds["total"])
    return [f"the run took {total}, {format_duration(excess)} more than --time-limit {options.time_limit}: {cause}."]
