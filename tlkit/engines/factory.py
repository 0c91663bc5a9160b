"""Opens an engine, and measures its images per second."""

import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.engines.base import Engine, EngineSpec, InferenceFunction, choose_engine
from tlkit.engines.keras import KerasEngine, keras_engines, load_network, to_litert
from tlkit.errors import ModelError
from tlkit.utils.parallel import count_workers

MEASURED_SECONDS = 2.0


def open_engine(spec: EngineSpec, file: Path) -> Engine:
    """Open an engine over a converted network (`.tflite`), or a `.keras` file for "keras".

    Raises:
        ModelError: if the engine or the file cannot be used, or the file holds a whole classifier
        OptionError
    """
    engines = open_engines(spec, file)
    if len(engines) != 1:
        raise ModelError(f"'{file}' holds a whole classifier; expected one part of a network.")
    return engines[0]


def open_engines(spec: EngineSpec, file: Path) -> tuple[Engine, ...]:
    """Open a file as one engine, or as two where it holds a whole classifier: what gives the features, and the head.

    Args:
        file: a converted network (`.tflite`), a `.keras` file for "keras", a `.npz` for "classic"

    Raises:
        ModelError: if the engine or the file cannot be used
        OptionError
    """
    choose_engine(spec.name, spec.precision)  # refuses what is not installed
    try:
        return OPENERS[spec.name](file, spec.precision)
    except (ValueError, RuntimeError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"the {spec.name} engine cannot open '{file}' ({reason}); train or convert it again."
        ) from None


def _open_litert(file: Path, precision: str) -> tuple[Engine, ...]:
    from tlkit.engines.litert import LiteRTEngine

    return (LiteRTEngine(file),)


def _open_openvino(file: Path, precision: str) -> tuple[Engine, ...]:
    from tlkit.engines.openvino import OpenVINOEngine

    return (OpenVINOEngine(file, precision),)


def _open_keras(file: Path, precision: str) -> tuple[Engine, ...]:
    return keras_engines(load_network(file))


def _open_classic(file: Path, precision: str) -> tuple[Engine, ...]:
    from tlkit.classic.pipeline import classic_engines

    return classic_engines(file)


OPENERS: dict[str, Callable[[Path, str], tuple[Engine, ...]]] = {
    "litert": _open_litert,
    "openvino": _open_openvino,
    "keras": _open_keras,
    "classic": _open_classic,
}


def images_per_second(network: Any, seconds: float = MEASURED_SECONDS) -> float:
    """Measure a Keras model of pixels in the engine that `predict` would take, on all processors, without decoding.

    Raises:
        ModelError: if it cannot be converted
    """
    engine = _engine_of(network)
    pixels = np.random.default_rng(0).integers(0, 256, (engine.batch_size, *network.input.shape[1:]), np.uint8)
    sessions = [engine.session() for _ in range(count_workers())]
    with ThreadPoolExecutor(len(sessions)) as pool:
        return rows_per_second(pool, sessions, pixels, seconds)


def rows_per_second(pool: Executor, sessions: Sequence[InferenceFunction], rows: np.ndarray, seconds: float) -> float:
    """Measure sessions that run at the same time, each in a thread of the pool, on the same batch again and again."""

    def run(session: InferenceFunction) -> float:
        """Measure one session."""
        session(rows)  # the first call is slower
        started, done = time.perf_counter(), 0
        while time.perf_counter() - started < seconds or not done:
            session(rows)
            done += len(rows)
        return done / (time.perf_counter() - started)

    return sum(pool.map(run, sessions))


def _engine_of(network: Any) -> Engine:
    spec = EngineSpec(choose_engine("auto", "float32"))
    if spec.name == "keras":
        return KerasEngine(network)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.tflite"
        file.write_bytes(to_litert(network, pixels=True))
        return open_engine(spec, file)
