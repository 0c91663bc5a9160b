"""Progress reports of long work: stages with a count, notes, epochs."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

Advance = Callable[[int], None]


class Progress(Protocol):
    """A receiver of progress reports. The command line draws bars; the library is silent by default."""

    def run_started(self, path: Path) -> None:
        """Report the folder of the run that is being made or continued."""

    def stage(self, name: str, total: int, unit: str) -> AbstractContextManager[Advance]:
        """Start a stage of `total` units; call the yielded function with the number of units just done."""

    def waiting(self, text: str) -> None:
        """Say what a stage waits for before its first units, such as a library that is being loaded."""

    def note(self, text: str, transient: bool = False) -> None:
        """Report one line for people.

        Args:
            transient: it helps only while the work is running
        """

    def on_epoch_end(self, row: Mapping[str, Any]) -> None:
        """Report the end of an epoch: its row of `history.csv`, and `best_epoch`, whose weights are kept so far."""


class Silent:
    """A `Progress` that keeps its notes and shows nothing."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def run_started(self, path: Path) -> None:
        """Show nothing."""

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Advance]:
        """Count without showing."""
        yield lambda done: None

    def waiting(self, text: str) -> None:
        """Show nothing."""

    def note(self, text: str, transient: bool = False) -> None:
        """Keep the note in `notes`."""
        self.notes.append(text)

    def on_epoch_end(self, row: Mapping[str, Any]) -> None:
        """Do nothing."""


class Stopwatch:
    """Seconds since the start, stage by stage."""

    def __init__(self) -> None:
        self._started = self._last = time.perf_counter()
        self.laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """End a stage; the seconds of stages with one name are added."""
        now = time.perf_counter()
        self.laps[name], self._last = round(self.laps.get(name, 0) + now - self._last, 3), now

    def total(self) -> float:
        """Give the seconds since the start."""
        return round(time.perf_counter() - self._started, 3)
