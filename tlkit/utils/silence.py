"""Silence of libraries that write to the terminal unasked."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOISY_LOGGERS = (
    "absl",
    "ray",
    "tensorflow",
)  # of Python code, whose handlers write to sys.stderr: in a notebook that is not a file


@contextmanager
def silenced_stderr() -> Iterator[None]:
    """Discard what libraries report: warnings of their loggers, and what C++ code writes to file descriptor 2.

    Several threads may be inside at once. The command line draws its progress bars on a duplicate of
    the descriptor, so that they stay visible.
    """
    _silence.enter()
    try:
        yield
    finally:
        _silence.leave()


class _Silence:
    """The redirection of descriptor 2 and the levels of loggers, which last while any thread is inside."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._duplicate: int | None = None
        self._levels: dict[str, int] = {}

    def enter(self) -> None:
        """Silence the output, if nobody has yet."""
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._duplicate = _redirect_stderr()
                self._levels = {name: logging.getLogger(name).level for name in NOISY_LOGGERS}
                _set_levels(dict.fromkeys(NOISY_LOGGERS, logging.CRITICAL))

    def leave(self) -> None:
        """Restore the output when the last user leaves."""
        with self._lock:
            self._inside -= 1
            if self._inside:
                return
            _set_levels(self._levels)
            if self._duplicate is not None:
                os.dup2(self._duplicate, 2)
                os.close(self._duplicate)


def _set_levels(levels: dict[str, int]) -> None:
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def _redirect_stderr() -> int | None:
    """Redirect descriptor 2 to the null device; give a duplicate of the old one, None for a process without one."""
    try:
        duplicate = os.dup(2)
    except OSError:
        return None
    with Path(os.devnull).open("w") as sink:
        os.dup2(sink.fileno(), 2)
    return duplicate


_silence = _Silence()
