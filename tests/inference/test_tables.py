"""Predictions as tables."""

import io

import pytest

from tests.cli.commands import read_csv, tlkit
from tlkit import predict, predictions_to_pandas

pandas = pytest.importorskip("pandas")


@pytest.fixture
def inputs(colors, tmp_path):
    (tmp_path / "broken.jpg").touch()
    return [colors / "red" / "3.png", tmp_path / "broken.jpg", colors / "blue" / "1.png"]


def test_predictions_to_pandas_gives_the_rows_of_the_command(run, inputs):
    frame = predictions_to_pandas(predict(run, inputs, top_k=2))
    printed = tlkit("predict", run.path, *inputs, "--top-k", "2").stdout
    expected = pandas.read_csv(io.StringIO(printed))
    assert list(frame.columns) == list(read_csv(printed)[0])
    pandas.testing.assert_frame_equal(frame, expected, check_dtype=False, atol=1e-6)
    assert frame["confidence"].dtype == float


def test_predictions_to_pandas_of_nothing_has_the_columns():
    frame = predictions_to_pandas([])
    assert list(frame.columns) == ["path", "status", "label", "confidence", "error"]
    assert len(frame) == 0
