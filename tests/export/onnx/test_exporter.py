"""`model.onnx` in ONNX Runtime: names, metadata, and every quantization."""

import json

import numpy as np
import pytest

from tests.export.test_saved_model import tiny_model
from tlkit.export.base import ExportSource

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

from tlkit.export.formats import FORMATS  # noqa: E402
from tlkit.export.onnx.exporter import QUANTIZERS, OnnxExporter  # noqa: E402

NAMES = ["a\nb", '"<&>"', "🐜"]


def test_the_registry_names_what_is_quantized():
    assert FORMATS["onnx"].quantize == tuple(QUANTIZERS)


@pytest.mark.parametrize("quantize", QUANTIZERS)
def test_every_quantization_keeps_names_types_and_metadata(quantize, tmp_path):
    calibration = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8)
    source = ExportSource(tiny_model(), {"class_names": json.dumps(NAMES)}, {}, quantize, calibration=calibration)
    exporter = OnnxExporter()
    exporter.write(source, tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert json.loads(session.get_modelmeta().custom_metadata_map["class_names"]) == NAMES
    (given,), (result,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape[1:]) == ("pixels", "tensor(uint8)", [8, 8, 3])
    assert (result.name, result.type) == ("probabilities", "tensor(float)")
    for count in (1, 3):
        answers = exporter.open(tmp_path)(calibration[:count])
        expected = np.asarray(source.model(calibration[:count].astype(np.float32)))
        assert np.abs(answers - expected).max() < (1e-6 if quantize == "none" else 0.02)
