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


@pytest.mark.slow
def test_int8_answers_nearly_as_float32(blocks_run, colors, tmp_path):
    pytest.importorskip("nncf")
    from tlkit.export.export import export_run

    found = export_run(blocks_run, tmp_path / "out", format="openvino", quantize="int8", max_drop=100.0)
    file = found.formats["openvino"]
    assert file.float32 is not None
    assert file.num_bytes < file.float32["num_bytes"]
    assert file.verification.agreement > 0.8
    assert any("int8 takes its ranges from" in note for note in found.notes)
    compiled = openvino.Core().compile_model(tmp_path / "out" / "model.xml", "CPU")
    kinds = {node.get_type_name() for node in openvino.Core().read_model(tmp_path / "out" / "model.xml").get_ops()}
    assert "FakeQuantize" in kinds
    assert compiled.input(0).names == {"pixels"}
