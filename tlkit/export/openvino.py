"""OpenVINO IR: processors and graphics of Intel, edge boxes."""

import io
import logging
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.export.base import FLOAT_CONVOLUTIONS, PIXELS, PROBABILITIES, ExportSource, RuntimeFunction
from tlkit.export.saved_model import saved_network
from tlkit.utils.silence import silenced_stderr

NAME = "model.xml"
METADATA = "tlkit"  # the section of rt_info with the metadata
FLOAT32 = {"INFERENCE_PRECISION_HINT": "f32"}  # some processors would compute in bfloat16


class OpenVINOExporter:
    """Writes `model.xml` and `model.bin`, with any batch; the metadata is in rt_info."""

    def write(self, source: ExportSource, folder: Path) -> None:
        """Convert the network by way of a SavedModel."""
        import openvino

        with saved_network(source) as saved:
            network = openvino.convert_model(saved)
            for port, name in ((network.input(0), PIXELS), (network.output(0), PROBABILITIES)):
                port.get_tensor().set_names({name})
            if source.quantize == "int8":
                network = _quantize(network, source.calibration)
            for name, text in source.metadata.items():
                network.set_rt_info(text, [METADATA, name])
            try:
                openvino.save_model(network, folder / NAME, compress_to_fp16=source.quantize != "none")
            except RuntimeError as error:  # a full disk
                raise OSError(str(error).strip().splitlines()[-1]) from None

    def open(self, folder: Path) -> RuntimeFunction:
        """Open the file with OpenVINO on the processor, in float32."""
        import openvino

        compiled = openvino.Core().compile_model(folder / NAME, "CPU", FLOAT32)
        request = compiled.create_infer_request()
        return lambda pixels: np.array(request.infer({PIXELS: pixels})[PROBABILITIES])


def _quantize(network: Any, calibration: Any) -> Any:
    """Quantize with NNCF: weights per channel, activations per tensor; the first layers and the head stay as they are.

    The head then gets weights of 8 bits, which lose nothing, and its logits the mean that they have in float32
    (bias correction, Nagel 2019).
    """
    rows, (first, head) = [row[np.newaxis] for row in calibration], _float_layers(network)
    with redirect_stdout(io.StringIO()), silenced_stderr():  # it prints bars, and notes while it is imported
        import nncf

        nncf.set_log_level(logging.ERROR)
        quantized = nncf.quantize(
            network,
            nncf.Dataset(rows),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(rows),
            ignored_scope=nncf.IgnoredScope(names=first + head),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                overflow_fix=nncf.OverflowFix.DISABLE  # it takes a bit of the first layer, which is float32
            ),
        )
        quantized = nncf.compress_weights(
            quantized, mode=nncf.CompressWeightsMode.INT8_SYM, ignored_scope=nncf.IgnoredScope(names=first)
        )
    _shift_logits(quantized, _mean_logits(network, rows) - _mean_logits(quantized, rows))
    return quantized


def _float_layers(network: Any) -> tuple[list[str], list[str]]:
    """Name the layers that int8 would cost the most: the first convolutions, and all that follows the last one."""
    nodes = [(node.get_type_name(), node.get_friendly_name()) for node in network.get_ordered_ops()]
    positions = [index for index, (kind, _) in enumerate(nodes) if kind in ("Convolution", "GroupConvolution")]
    after = nodes[positions[-1] + 1 :] if positions else nodes
    head = [name for kind, name in after if kind not in ("Constant", "Parameter", "Result")]
    return [nodes[index][1] for index in positions[:FLOAT_CONVOLUTIONS]], head


def _mean_logits(network: Any, rows: list[np.ndarray]) -> np.ndarray:
    """Average the inputs of the softmax over images: (classes,)."""
    import openvino

    logits = network.output(0).node.input_value(0).node.input_value(0)
    compiled = openvino.compile_model(openvino.Model([logits], network.get_parameters()), "CPU", FLOAT32)
    return np.asarray(np.mean([compiled(row)[0][0] for row in rows], axis=0))


def _shift_logits(network: Any, shift: np.ndarray) -> None:
    """Add a constant to the inputs of the softmax."""
    from openvino import opset13

    softmax = network.output(0).node.input_value(0).node
    shifted = opset13.add(softmax.input_value(0), opset13.constant(shift[np.newaxis], dtype=np.float32))
    softmax.input(0).replace_source_output(shifted.output(0))
