"""How many images a second a network takes on this machine."""

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.engines.convert import to_litert
from tlkit.engines.engine import Engine, choose_engine
from tlkit.engines.keras import KerasEngine
from tlkit.engines.open import open_engine
from tlkit.workers import count_workers

SECONDS = 2.0


def images_per_second(network: Any, seconds: float = SECONDS) -> float:
    """Of a Keras model of pixels, in the engine that `predict` would take, on all processors; nothing is decoded.

    raises: ModelError where it cannot be converted
    """
    engine = _engine_of(network)
    rows = np.random.default_rng(0).integers(0, 256, (engine.batch_size, *network.input.shape[1:]), np.uint8)
    sessions = [engine.session() for _ in range(count_workers())]

    def run(session: Any) -> float:
        session(rows)  # the first is slower
        started, done = time.perf_counter(), 0
        while time.perf_counter() - started < seconds or not done:
            session(rows)
            done += len(rows)
        return done / (time.perf_counter() - started)

    with ThreadPoolExecutor(len(sessions)) as pool:
        return sum(pool.map(run, sessions))


def _engine_of(network: Any) -> Engine:
    name = choose_engine("auto", "float32")
    if name == "keras":
        return KerasEngine(network)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.tflite"
        file.write_bytes(to_litert(network, pixels=True))
        return open_engine(name, file, "float32")
