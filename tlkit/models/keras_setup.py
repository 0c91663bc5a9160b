"""Imports Keras quietly: it is slow (seconds), and noisy unless its messages are kept off the terminal."""

import importlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from tlkit.errors import ModelError


def start_keras() -> ModuleType:
    """Import Keras on TensorFlow without a word on the terminal, and check its global settings.

    raises: ModelError where the user's keras.json would change what numbers mean
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with silenced_stderr():
        keras = importlib.import_module("keras")
    keras.utils.disable_interactive_logging()  # else downloads and fit print to stdout
    if keras.config.image_data_format() != "channels_last" or keras.config.floatx() != "float32":
        raise ModelError(
            "keras.json sets "
            f"{keras.config.image_data_format()} and {keras.config.floatx()}; "
            "tlkit needs channels_last and float32: change them there."
        )
    return keras


@contextmanager
def silenced_stderr() -> Iterator[None]:
    """Drop what is written to file descriptor 2, by C++ code too, which no logging level stops.

    Several threads may be inside at once. The command line draws its bars on a duplicate of the
    descriptor and goes on showing.
    """
    _silence.enter()
    try:
        yield
    finally:
        _silence.leave()


class _Silence:
    """Descriptor 2 leads nowhere while anybody is inside."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._kept: int | None = None

    def enter(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._kept = _redirect_stderr()

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._kept is not None:
                os.dup2(self._kept, 2)
                os.close(self._kept)


def _redirect_stderr() -> int | None:
    """A duplicate of descriptor 2, which now leads nowhere; None for a process without one."""
    try:
        kept = os.dup(2)
    except OSError:
        return None
    with Path(os.devnull).open("w") as sink:
        os.dup2(sink.fileno(), 2)
    return kept


_silence = _Silence()
