"""Keras itself as an engine: slower on a CPU, but everywhere, and the measure of the others."""

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.engines.engine import Session
from tlkit.files import temporary_beside
from tlkit.models.backend import silenced_stderr, start_keras


class KerasEngine:
    """A Keras model run in inference mode, on batches of one fixed size."""

    batch_size = 8

    def __init__(self, network: Any) -> None:
        self.network = network
        self._lock = threading.Lock()

    def session(self) -> Session:
        """See `Engine.session`."""

        def run(rows: np.ndarray) -> np.ndarray:
            with self._lock:  # building its function on first use is not safe in two threads
                return np.asarray(self.network.predict_on_batch(rows), dtype=np.float32)

        return run


def load_network(file: Path) -> Any:
    """A model saved by tlkit.

    raises: ValueError, OSError as Keras does
    """
    keras = start_keras()
    with silenced_stderr():
        return keras.models.load_model(file, compile=False)


def save_network(network: Any, file: Path) -> None:
    """Save as `.keras`, so that a crash leaves no part of it under its name (Keras writes in place)."""
    temporary = temporary_beside(file, ".keras")
    try:
        network.save(temporary)
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
