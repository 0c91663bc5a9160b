"""Brings Keras up: slow (seconds), and noisy unless its messages are kept off the terminal."""

import importlib
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from tlkit.errors import ModelError

_one_at_a_time = threading.RLock()


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


def keras_is_loaded() -> bool:
    """Whether some earlier step has paid for importing Keras."""
    return "keras" in sys.modules


@contextmanager
def silenced_stderr() -> Iterator[None]:
    """Drop what is written to file descriptor 2, by C++ code too, which no logging level stops.

    The command line draws on a duplicate of the descriptor and goes on showing.
    """
    with _one_at_a_time:
        try:
            kept = os.dup(2)
        except OSError:  # started without a standard error
            yield
            return
        try:
            with open(os.devnull, "w") as sink:
                os.dup2(sink.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
