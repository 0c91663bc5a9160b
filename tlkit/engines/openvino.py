"""OpenVINO reads the same converted file as LiteRT; it brings bfloat16 and heavy networks speed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino

from tlkit.engines.base import InferenceFunction, MapFunction
from tlkit.errors import ModelError
from tlkit.utils.parallel import count_workers
from tlkit.utils.process import folder_of_process

PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}


class OpenVINOEngine:
    """One compiled network with one stream per processor, one request and one row per thread.

    Attributes:
        has_maps: see `MapEngine`
    """

    batch_size = 1
    single_threaded_blas = False

    def __init__(self, file: Path, precision: str) -> None:
        self._file, self._precision = file, precision
        core = openvino.Core()
        if precision == "bfloat16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise ModelError("this processor does not support bfloat16; omit --precision bfloat16.")
        workers = count_workers()
        self._network = core.compile_model(
            file,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
                "NUM_STREAMS": workers,
                "INFERENCE_NUM_THREADS": workers,
            },
        )

        outputs = self._network.outputs
        self._features, *maps = sorted(range(len(outputs)), key=lambda index: len(outputs[index].partial_shape))
        self._maps, self.has_maps = maps, len(maps) == 1
        source = self._network.input(0)
        self.session()(
            np.zeros(tuple(source.shape), source.element_type.to_dtype())
        )  # two first calls at once can hang

    def __reduce__(self) -> tuple[Callable[[bytes, str], "OpenVINOEngine"], tuple[bytes, str]]:
        """Travel to another process as the content of the file."""
        return _from_content, (self._file.read_bytes(), self._precision)

    def session(self) -> InferenceFunction:
        """Open a session with an inference request of its own."""
        request = self._network.create_infer_request()

        def run(rows: np.ndarray) -> np.ndarray:
            """Run the network on a batch."""
            return np.array(request.infer({0: rows})[self._features])

        return run

    def session_with_maps(self) -> MapFunction:
        """Open a session that gives features and maps."""
        request = self._network.create_infer_request()

        def run(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            """Run the network on a batch."""
            outputs = request.infer({0: rows})
            return np.array(outputs[self._features]), np.array(outputs[self._maps[0]])

        return run


def _from_content(content: bytes, precision: str) -> OpenVINOEngine:
    """Open what another process has sent; OpenVINO reads this format from files only."""
    file = folder_of_process() / "network.tflite"
    file.write_bytes(content)
    return OpenVINOEngine(file, precision)
