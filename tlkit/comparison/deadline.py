"""Work that must end by a time: a `Progress` that looks at the clock at every step."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tlkit.errors import OptionError
from tlkit.progress import Advance, Progress

NO_TIME = "--time-limit leaves no time for it; give it more."


class OutOfTimeError(OptionError):
    """Work would take longer than it may."""


class Deadline:
    """A `Progress` that ends what takes too long, between two steps of it, and keeps notes to itself."""

    def __init__(self, inner: Progress, seconds: float) -> None:
        self._inner, self._end = inner, time.monotonic() + seconds

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Advance]:
        """See `Progress.stage`.

        raises: OutOfTimeError, before the first step, too
        """
        self._check()
        with self._inner.stage(name, total, unit) as advance:

            def step(done: int) -> None:
                advance(done)
                self._check()

            yield step

    def note(self, text: str) -> None:
        """Not shown: a ladder has many rungs, and each keeps its notes in its own run."""

    def epoch(self, row: Mapping[str, Any]) -> None:
        """See `Progress.epoch`.

        raises: OutOfTimeError
        """
        self._inner.epoch(row)
        self._check()

    def _check(self) -> None:
        if time.monotonic() > self._end:
            raise OutOfTimeError(NO_TIME)
