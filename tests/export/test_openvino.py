"""OpenVINO: names, and metadata in rt_info."""

import json

import numpy as np
import pytest

from tests.export.test_saved_model import tiny_model
from tlkit.export.base import ExportSource
from tlkit.export.openvino import OpenVINOExporter

openvino = pytest.importorskip("openvino")


@pytest.mark.slow
def test_names_metadata_and_answers(tmp_path):
    names = ["a\nb", '"<&>"', "🐜"]
    source = ExportSource(tiny_model(), {"class_names": json.dumps(names)}, {})
    exporter = OpenVINOExporter()
    exporter.write(source, tmp_path)
    model = openvino.Core().read_model(tmp_path / "model.xml")
    assert json.loads(model.get_rt_info(["tlkit", "class_names"]).astype(str)) == names
    assert model.input(0).names == {"pixels"}
    assert model.output(0).names == {"probabilities"}
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    answers = exporter.open(tmp_path)(pixels)
    assert np.abs(answers - np.asarray(source.model(pixels.astype(np.float32)))).max() < 1e-6
