"""LiteRT, TensorFlow's own runtime: the default on a CPU, 0.2 seconds from start to an answer."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from tlkit.engines.base import InferenceFunction, MapFunction
from tlkit.utils.silence import silenced_stderr


class LiteRTEngine:
    """One interpreter per thread, one thread and one row each: rows cannot see their neighbors.

    Attributes:
        input_shape: (1, height, width, 3) of a network of pixels
        input_dtype: uint8 for pixels
        has_maps: see `MapEngine`
    """

    batch_size = 1
    single_threaded_blas = False

    def __init__(self, model: Path | bytes) -> None:
        """Open a converted network.

        Args:
            model: its file, or the content of it
        """
        self._model = model if isinstance(model, bytes) else model.read_bytes()
        self._opening = threading.Lock()
        self._first: Interpreter | None = self._interpreter()  # a damaged file is found at once
        source = self._first.get_input_details()[0]
        self.input_shape, self.input_dtype = tuple(source["shape"]), source["dtype"]
        outputs = self._first.get_output_details()
        self.has_maps = sorted(len(output["shape"]) for output in outputs) == [2, 4]

    def __reduce__(self) -> tuple[type, tuple[bytes]]:
        """Travel to another process as the content of the file."""
        return LiteRTEngine, (self._model,)

    def _interpreter(self) -> Interpreter:
        with silenced_stderr():  # it says once that it uses XNNPACK
            interpreter = Interpreter(model_content=self._model, num_threads=1)
            interpreter.allocate_tensors()
        return interpreter

    def session(self) -> InferenceFunction:
        """Open a session with an interpreter of its own."""
        run = self._open_session()
        return lambda rows: run(rows, 1)[0]

    def session_with_maps(self) -> MapFunction:
        """Open a session that gives features and maps."""
        run = self._open_session()

        def run_both(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            """Run the network on a batch."""
            features, maps = run(rows, 2)
            return features, maps

        return run_both

    def _open_session(self) -> Callable[[np.ndarray, int], list[np.ndarray]]:
        with self._opening:
            interpreter, self._first = self._first or self._interpreter(), None
        source = interpreter.get_input_details()[0]["index"]
        results = sorted(interpreter.get_output_details(), key=lambda output: len(output["shape"]))  # features first

        def run(rows: np.ndarray, count: int) -> list[np.ndarray]:
            """Run the network on a batch, and copy some of its outputs."""
            interpreter.set_tensor(source, rows)
            interpreter.invoke()
            return [np.array(interpreter.get_tensor(result["index"])) for result in results[:count]]

        return run
