"""LiteRT: equal content makes equal files, and quantized files take the same input."""

import numpy as np
import pytest

from tests.export.test_saved_model import tiny_model
from tlkit.export.base import ExportSource
from tlkit.export.litert import LiteRTExporter, archive


@pytest.mark.parametrize("quantize", ["none", "float16", "dynamic", "int8"])
def test_every_quantization_keeps_names_and_types(quantize, tmp_path):
    random = np.random.default_rng(0)
    calibration = random.integers(0, 256, (20, 8, 8, 3), np.uint8)
    source = ExportSource(tiny_model(), {}, {"labels.txt": b"a\n"}, quantize, calibration=calibration)
    exporter = LiteRTExporter()
    exporter.write(source, tmp_path)
    answers = exporter.open(tmp_path)(calibration[:3])
    assert (answers.dtype, answers.shape) == (np.float32, (3, 3))
    expected = np.asarray(source.model(calibration[:3].astype(np.float32)))
    assert np.abs(answers - expected).max() < (1e-6 if quantize == "none" else 0.02)


def test_the_archive_does_not_depend_on_the_time():
    files = {"labels.txt": b"a\n", "model.json": b"{}"}
    assert archive(files, 10) == archive(files, 10)
