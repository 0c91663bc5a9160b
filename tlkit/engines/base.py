"""The interface of all engines: a frozen network that runs in threads; and versions."""

import importlib.metadata
import importlib.util
import platform
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from tlkit.errors import ModelError, OptionError

InferenceFunction = Callable[[np.ndarray], np.ndarray]
MapFunction = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
PACKAGES = {"litert": "ai-edge-litert", "openvino": "openvino", "keras": "keras", "classic": "numpy"}
MODULES = {"litert": "ai_edge_litert", "openvino": "openvino", "keras": "keras", "classic": "numpy"}
EXTRAS = {"openvino": "'tlkit[openvino]'", "keras": "'tlkit[train]'"}
CLASSIC_PACKAGES = ("scikit-learn", "scikit-image")  # what the classic pipeline is fitted with
RECORDED_PACKAGES = ("keras", "tensorflow", "numpy", "pillow", *CLASSIC_PACKAGES)  # in a run, where they are installed


class Engine(Protocol):
    """A frozen network, ready to run.

    Attributes:
        batch_size: rows a session takes at a time, always exactly as many, so that no row's value depends on its
            neighbors
        single_threaded_blas: whether its threads are faster where matrix products take one thread each
    """

    batch_size: int
    single_threaded_blas: bool

    def session(self) -> InferenceFunction:
        """Give a function from (batch_size, …) inputs to (batch_size, …) outputs, for one thread."""


@runtime_checkable
class MapEngine(Engine, Protocol):
    """An engine that can also give the feature map whose averages are the first features.

    Attributes:
        has_maps: whether its network ends with such averages
    """

    has_maps: bool

    def session_with_maps(self) -> MapFunction:
        """Give a function from inputs to features and maps (batch_size, height, width, channels), for one thread."""


@dataclass(frozen=True)
class EngineSpec:
    """The engine that runs a network, and its precision.

    Attributes:
        name: "litert", "openvino", "keras" or "classic"
        precision: "float32" or "bfloat16"
    """

    name: str
    precision: str = "float32"


def choose_engine(name: str, precision: str) -> str:
    """Choose the engine that "auto" means here, and check that a named one is installed.

    "auto" is OpenVINO for bfloat16, which nothing else computes; otherwise LiteRT, or Keras where LiteRT is missing.

    Raises:
        OptionError
        ModelError
    """
    if name == "auto":
        wanted = "openvino" if precision == "bfloat16" else "litert"
        name = wanted if is_installed(wanted) or precision == "bfloat16" else "keras"
    if precision == "bfloat16" and name != "openvino":
        raise OptionError(f"--precision bfloat16 needs --engine openvino, not {name}; omit --engine.")
    _check_installed(name)
    return name


def _check_installed(name: str) -> None:
    if not is_installed(name):
        package = EXTRAS.get(name, PACKAGES[name])
        raise ModelError(f"the {name} engine is not installed; install it with `pip install {package}`.")


def is_installed(name: str) -> bool:
    """Tell whether an engine's package is installed, without importing it."""
    return importlib.util.find_spec(MODULES[name]) is not None


def engine_version(name: str) -> str:
    """Give the installed version of an engine's package; part of every cache key. ModelError if it is not installed"""
    _check_installed(name)
    return importlib.metadata.version(PACKAGES[name])


def installed_version(package: str) -> str:
    """Give the version of a package; "" where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def versions(engine: str) -> dict[str, str]:
    """Give the versions of everything that a run's numbers depend on."""
    names = {name: name for name in RECORDED_PACKAGES} | {engine: PACKAGES[engine]}
    found = {name: installed_version(package) for name, package in names.items()}
    always = {"tlkit": importlib.metadata.version("tlkit"), "python": platform.python_version()}
    return always | {name: version for name, version in found.items() if version}


def run_in_batches(engine: Engine, session: InferenceFunction, rows: np.ndarray) -> np.ndarray:
    """Run any number of rows: the last batch is filled up with zeros, and cut again."""
    return np.concatenate([session(batch) for batch in padded_batches(rows, engine.batch_size)])[: len(rows)]


def padded_batches(rows: np.ndarray, size: int) -> list[np.ndarray]:
    """Cut rows into batches of one size; the last is filled up with zeros."""
    padded = np.concatenate([rows, np.zeros((-len(rows) % size, *rows.shape[1:]), rows.dtype)])
    return [padded[start : start + size] for start in range(0, len(padded), size)]


class ThreadedRunner:
    """Runs any number of rows on an engine, in each thread by a session of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._thread = threading.local()

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Run the engine on inputs (rows, …), and give outputs (rows, …)."""
        if not hasattr(self._thread, "session"):
            self._thread.session = self._engine.session()
        return run_in_batches(self._engine, self._thread.session, rows)


class SequentialEngine:
    """Engines of one batch size, each fed with what the one before gives."""

    def __init__(self, stages: Sequence[Engine]) -> None:
        self._stages = stages
        self.batch_size = stages[0].batch_size
        self.single_threaded_blas = any(stage.single_threaded_blas for stage in stages)

    def session(self) -> InferenceFunction:
        """Open a session of every stage; they run one after the other."""
        sessions = [stage.session() for stage in self._stages]

        def run(rows: np.ndarray) -> np.ndarray:
            """Run all stages on a batch."""
            for session in sessions:
                rows = session(rows)
            return rows

        return run


class IdentityEngine:
    """The engine below the first layer: nothing is frozen, so the pixels are the features."""

    batch_size = 1
    single_threaded_blas = False

    def session(self) -> InferenceFunction:
        """Give a function that copies its input."""
        return np.array
