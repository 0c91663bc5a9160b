"""Signals that ask a process to end, all taken as Ctrl-C."""

import signal
from typing import Any

_received: list[int] = []


def take_signals() -> None:
    """Let SIGINT and SIGTERM raise KeyboardInterrupt from now on."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


def was_interrupted() -> bool:
    """Whether such a signal has come."""
    return bool(_received)


def raise_if_interrupted() -> None:
    """Raise again what C code below TensorFlow may have swallowed.

    raises: KeyboardInterrupt
    """
    if _received:
        raise KeyboardInterrupt


def _interrupt(number: int, frame: Any) -> None:
    _received.append(number)
    raise KeyboardInterrupt
