"""`model.onnx`: written, quantized, and opened with ONNX Runtime."""

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from tlkit.export.base import FLOAT_CONVOLUTIONS, PIXELS, PROBABILITIES, ExportSource, RuntimeFunction
from tlkit.export.onnx.resize import with_resize
from tlkit.export.onnx.writer import classic_to_onnx, keras_to_onnx
from tlkit.utils.silence import silenced_stderr

NAME = "model.onnx"


class OnnxExporter:
    """Writes `model.onnx`, with any batch; the metadata is in metadata_props."""

    def write(self, source: ExportSource, folder: Path) -> None:
        """Write the network and quantize it with ONNX Runtime's tools, or write the classic classifier."""
        if source.classic is None:
            content = keras_to_onnx(source.model, source.metadata)
        else:
            content = classic_to_onnx(source.classic, source.metadata, source.model)
        with warnings.catch_warnings(), silenced_stderr():
            warnings.simplefilter("ignore")
            content = QUANTIZERS[source.quantize](content, source)
        (folder / NAME).write_bytes(content if source.resize is None else with_resize(content, source.resize))

    def open(self, folder: Path) -> RuntimeFunction:
        """Open the file with ONNX Runtime on the processor."""
        import onnxruntime

        session = onnxruntime.InferenceSession(folder / NAME, providers=["CPUExecutionProvider"])
        return lambda pixels: np.asarray(session.run([PROBABILITIES], {PIXELS: pixels})[0])


def _plain(content: bytes, source: ExportSource) -> bytes:
    return content


def _float16(content: bytes, source: ExportSource) -> bytes:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    halved = convert_float_to_float16(onnx.load_from_string(content), keep_io_types=True)
    return bytes(halved.SerializeToString())


def _int8(content: bytes, source: ExportSource) -> bytes:
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    network = onnx.load_from_string(content)
    convolutions = [node.name for node in network.graph.node if node.op_type == "Conv"]
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / NAME
        quantize_static(
            network,
            output,
            _Rows(source.calibration),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
            nodes_to_exclude=convolutions[:FLOAT_CONVOLUTIONS],
            calibrate_method=CalibrationMethod.MinMax,
        )
        return output.read_bytes()


class _Rows:
    """Calibration images, one by one, as ONNX Runtime asks for them."""

    def __init__(self, images: Any) -> None:
        self._rows = self._each(images)

    def _each(self, images: Any) -> Iterator[dict[str, np.ndarray]]:
        for row in images:
            yield {PIXELS: row[np.newaxis]}

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Give the next image; None at the end"""
        return next(self._rows, None)


QUANTIZERS = {"none": _plain, "float16": _float16, "int8": _int8}
