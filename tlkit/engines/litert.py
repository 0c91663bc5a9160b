"""LiteRT, TensorFlow's own runtime: the default on a CPU, 0.2 seconds from start to an answer."""

import threading
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from tlkit.engines.base import InferenceFunction
from tlkit.models.keras_setup import silenced_stderr


class LiteRTEngine:
    """One interpreter per thread, one thread and one row each: rows cannot see their neighbors.

    Attributes:
        input_shape: (1, height, width, 3) of a network of pixels
        input_dtype: uint8 for pixels
    """

    batch_size = 1
    single_threaded_blas = False

    def __init__(self, file: Path) -> None:
        self._model = file.read_bytes()
        self._opening = threading.Lock()
        self._first: Interpreter | None = self._interpreter()  # a damaged file is found at once
        source = self._first.get_input_details()[0]
        self.input_shape, self.input_dtype = tuple(source["shape"]), source["dtype"]

    def _interpreter(self) -> Interpreter:
        with silenced_stderr():  # it says once that it uses XNNPACK
            interpreter = Interpreter(model_content=self._model, num_threads=1)
            interpreter.allocate_tensors()
        return interpreter

    def session(self) -> InferenceFunction:
        """Open a session with an interpreter of its own."""
        with self._opening:
            interpreter, self._first = self._first or self._interpreter(), None
        source = interpreter.get_input_details()[0]["index"]
        result = interpreter.get_output_details()[0]["index"]

        def run(rows: np.ndarray) -> np.ndarray:
            """Run the network on a batch."""
            interpreter.set_tensor(source, rows)
            interpreter.invoke()
            return np.array(interpreter.get_tensor(result))

        return run
