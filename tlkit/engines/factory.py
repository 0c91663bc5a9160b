"""Chooses and opens an engine, and measures its images per second."""

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.engines.base import Engine, choose_engine
from tlkit.engines.keras import KerasEngine, to_litert
from tlkit.errors import ModelError
from tlkit.utils.parallel import count_workers


def open_engine(name: str, file: Path, precision: str) -> Engine:
    """An engine over a converted network (`.tflite`), over a `.keras` file for "keras", over a `.npz` for "classic".

    raises: ModelError where the engine or the file cannot be used
    """
    choose_engine(name, precision)
    try:
        if name == "litert":
            from tlkit.engines.litert import LiteRTEngine

            return LiteRTEngine(file)
        if name == "openvino":
            from tlkit.engines.openvino import OpenVINOEngine

            return OpenVINOEngine(file, precision)
        if name == "classic":
            from tlkit.classic.pipeline import ClassicEngine

            return ClassicEngine(file)
        from tlkit.engines.keras import KerasEngine, load_network

        return KerasEngine(load_network(file))
    except (ValueError, RuntimeError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"the {name} engine cannot open '{file}' ({reason}); train or convert it anew.") from None


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
