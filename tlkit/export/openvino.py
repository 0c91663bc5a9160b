"""OpenVINO IR: processors and graphics of Intel, edge boxes."""

import io
import logging
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.export.base import PIXELS, PROBABILITIES, ExportSource, RuntimeFunction
from tlkit.export.saved_model import write_saved_model
from tlkit.models.keras_setup import silenced_stderr

NAME = "model.xml"
METADATA = "tlkit"  # the section of rt_info with the metadata


class OpenVINOExporter:
    """Writes `model.xml` and `model.bin`, with any batch; the metadata is in rt_info."""

    def write(self, source: ExportSource, folder: Path) -> None:
        """Convert the network by way of a SavedModel."""
        import openvino

        with tempfile.TemporaryDirectory() as temporary:
            saved = Path(temporary) / "saved"
            write_saved_model(source.model, saved)
            network = openvino.convert_model(saved)
            for port, name in ((network.input(0), PIXELS), (network.output(0), PROBABILITIES)):
                port.get_tensor().set_names({name})
            if source.quantize == "int8":
                network = _quantize(network, source.calibration)
            for name, text in source.metadata.items():
                network.set_rt_info(text, [METADATA, name])
            openvino.save_model(network, folder / NAME, compress_to_fp16=source.quantize != "none")

    def open(self, folder: Path) -> RuntimeFunction:
        """Open the file with OpenVINO on the processor, in float32."""
        import openvino

        compiled = openvino.Core().compile_model(folder / NAME, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        request = compiled.create_infer_request()
        return lambda pixels: np.array(request.infer({PIXELS: pixels})[PROBABILITIES])


def _quantize(network: Any, calibration: Any) -> Any:
    """Quantize with NNCF: weights per channel, activations per tensor."""
    with redirect_stdout(io.StringIO()), silenced_stderr():  # it prints bars, and notes while it is imported
        import nncf

        nncf.set_log_level(logging.ERROR)
        rows = nncf.Dataset([row[np.newaxis] for row in calibration])
        return nncf.quantize(network, rows, subset_size=len(calibration))
