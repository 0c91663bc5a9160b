"""Predictions as tables."""

import io
import json

import pytest

from tests.cli.commands import read_csv, tlkit
from tlkit import evaluate, predict, predictions_to_pandas
from tlkit.errors import OptionError
from tlkit.inference import tables
from tlkit.inference.tables import BINARY_FORMATS, WRITERS, PredictionColumns, write_evaluation


@pytest.fixture
def inputs(colors, tmp_path):
    (tmp_path / "broken.jpg").touch()
    return [colors / "red" / "3.png", tmp_path / "broken.jpg", colors / "blue" / "1.png"]


@pytest.fixture
def written(run, inputs):
    """Every format, as bytes; and its rows as `PredictionColumns` gives them."""
    pytest.importorskip("openpyxl")
    pytest.importorskip("pyarrow")
    columns = PredictionColumns(run.manifest.class_names, 2, probs=True)
    predictions = list(predict(run, inputs, top_k=2))
    contents = {}
    for name, writer_class in WRITERS.items():
        file = io.BytesIO() if name in BINARY_FORMATS else io.StringIO()
        writer = writer_class(file, columns)
        for prediction in predictions:
            writer.write(prediction)
        writer.close()
        contents[name] = file.getvalue()
    return contents, [dict(zip(columns.names, columns.values(row), strict=True)) for row in predictions]


def test_every_format_has_the_same_rows(written):
    import openpyxl
    from pyarrow import parquet

    contents, rows = written
    assert [row["status"] for row in rows] == ["ok", "error", "ok"]
    table = read_csv(contents["csv"])
    assert [list(row) for row in table] == [list(row) for row in rows]
    texts = [{name: f"{v:.6f}" if isinstance(v, float) else v or "" for name, v in row.items()} for row in rows]
    assert table == texts
    header, *cells = openpyxl.load_workbook(io.BytesIO(contents["xlsx"])).active.values
    assert [dict(zip(header, row, strict=True)) for row in cells] == rows
    assert parquet.read_table(io.BytesIO(contents["parquet"])).to_pylist() == rows
    objects = json.loads(contents["json"])
    assert objects == [json.loads(line) for line in contents["jsonl"].splitlines()]
    for found, row in zip(objects, rows, strict=True):
        assert {name: found[name] for name in ("path", "status", "label", "confidence", "error")} == {
            name: row[name] for name in ("path", "status", "label", "confidence", "error")
        }
        assert found.get("probs", {}) == {
            name[2:]: value for name, value in row.items() if name.startswith("p_") and value is not None
        }


def test_every_format_of_no_prediction_can_be_read(run):
    import openpyxl
    from pyarrow import parquet

    columns = PredictionColumns(run.manifest.class_names)
    contents = {}
    for name, writer_class in WRITERS.items():
        file = io.BytesIO() if name in BINARY_FORMATS else io.StringIO()
        writer_class(file, columns).close()
        contents[name] = file.getvalue()
    assert (json.loads(contents["json"]), contents["jsonl"]) == ([], "")
    assert contents["csv"] == "path,status,label,confidence,reason,error\n"
    assert list(openpyxl.load_workbook(io.BytesIO(contents["xlsx"])).active.values) == [tuple(columns.names)]
    assert parquet.read_table(io.BytesIO(contents["parquet"])).column_names == columns.names


def test_parquet_is_written_a_few_rows_at_a_time(run, square_row, monkeypatch):
    from pyarrow import parquet

    monkeypatch.setattr(tables, "PARQUET_ROWS", 2)
    file = io.BytesIO()
    writer = WRITERS["parquet"](file, PredictionColumns(run.manifest.class_names))
    for _ in range(5):
        writer.write(square_row)
    writer.close()
    opened = parquet.ParquetFile(io.BytesIO(file.getvalue()))
    assert [opened.metadata.row_group(index).num_rows for index in range(opened.num_row_groups)] == [2, 2, 1]


@pytest.fixture
def square_row(run, colors):
    (row,) = predict(run, colors / "red" / "3.png")
    return row


def test_write_evaluation_gives_the_tables_of_a_run(run, tmp_path):
    write_evaluation(evaluate(run), tmp_path / "new")
    for name in ("per_class.csv", "confusion_matrix.csv", "wrong.csv"):
        assert (tmp_path / "new" / name).read_text() == (run.path / name).read_text()
    found, recorded = (
        read_csv(file.read_text()) for file in (tmp_path / "new" / "predictions.csv", run.path / "predictions_val.csv")
    )
    assert [list(row) for row in found] == [list(row) for row in recorded]
    assert [row["label"] for row in found] == [row["label"] for row in recorded]
    assert len(list((tmp_path / "new").iterdir())) == 4


def test_write_evaluation_never_writes_into_a_folder(run, tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(OptionError, match="already exists"):
        write_evaluation(evaluate(run), tmp_path / "mine")
    assert [list(path.iterdir()) for path in tmp_path.iterdir()] == [[]]


def test_predictions_to_pandas_gives_the_rows_of_the_command(run, inputs):
    pandas = pytest.importorskip("pandas")
    frame = predictions_to_pandas(predict(run, inputs, top_k=2))
    printed = tlkit("predict", run.path, *inputs, "--top-k", "2").stdout
    expected = pandas.read_csv(io.StringIO(printed))
    assert list(frame.columns) == list(read_csv(printed)[0])
    assert expected.pop("reason").isna().all() and frame.pop("reason").isna().all()
    pandas.testing.assert_frame_equal(frame, expected, check_dtype=False, atol=1e-6)
    assert frame["confidence"].dtype == float


def test_predictions_to_pandas_of_nothing_has_the_columns():
    pytest.importorskip("pandas")
    frame = predictions_to_pandas([])
    assert list(frame.columns) == ["path", "status", "label", "confidence", "reason", "error"]
    assert len(frame) == 0
