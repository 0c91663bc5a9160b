"""The tables of a run, and figures that agree with them."""

from collections import Counter

import pytest

from tlkit.utils.files import sha256_file

TABLES = {
    "confusion_matrix.csv": ["class", "blue", "green", "red"],
    "history.csv": ["phase", "epoch", "learning_rate", "loss", "accuracy", "val_loss", "val_accuracy", "seconds"],
    "map.csv": ["path", "class", "x", "y"],
    "per_class.csv": ["class", "precision", "recall", "f1", "support", "index"],
    "predictions_val.csv": ["path", "class", "label", "confidence", "p_blue", "p_green", "p_red"],
    "split.csv": ["path", "class", "split", "group", "sha256", "reason", "pixels"],
    "wrong.csv": ["path", "class", "label", "confidence"],
}


@pytest.mark.parametrize("fixture", ["finetuned_run", "classic_run"])
def test_tables_have_their_columns(fixture, request):
    run = request.getfixturevalue(fixture)
    columns = {file.name: file.read_text().splitlines()[0].split(",") for file in sorted(run.path.glob("*.csv"))}
    assert columns == {name: names for name, names in TABLES.items() if (run.path / name).exists()}
    assert columns.keys() >= TABLES.keys() - {"history.csv"}


def test_split_names_every_image_once(finetuned_run, colors):
    rows = finetuned_run.read_rows("split.csv")
    files = sorted(file.relative_to(colors).as_posix() for file in colors.rglob("*.png"))
    assert sorted(row["path"] for row in rows) == files
    assert all(row["path"].startswith(row["class"] + "/") for row in rows)
    assert all(row["sha256"] == sha256_file(colors / row["path"]) for row in rows)
    validation = [row["path"] for row in rows if row["split"] == "validation"]
    assert validation == [row["path"] for row in finetuned_run.read_rows("predictions_val.csv")]


@pytest.mark.parametrize("fixture", ["finetuned", "scratch_result", "classic_result"])
def test_metrics_agree_with_tables(fixture, request):
    result = request.getfixturevalue(fixture)
    metrics, predictions = result.metrics, result.run.read_rows("predictions_val.csv")
    correct = sum(row["class"] == row["label"] for row in predictions)
    assert metrics.accuracy == correct / len(predictions)
    assert metrics.num_validation == len(predictions)
    assert metrics.num_train + metrics.num_validation == 36
    assert metrics.num_test == 0
    assert metrics.test is None
    low, high = metrics.accuracy_ci95
    assert 0 <= low <= metrics.accuracy <= high <= 1
    classes = Counter(row["class"] for row in predictions)
    assert metrics.baseline_accuracy == max(classes.values()) / len(predictions) == classes[metrics.baseline_class] / 6
    rows = result.run.read_rows("confusion_matrix.csv")
    confusion = [[int(row[name]) for name in ("blue", "green", "red")] for row in rows]
    assert sum(map(sum, confusion)) == len(predictions)
    assert sum(confusion[k][k] for k in range(3)) == correct
    wrong = result.run.read_rows("wrong.csv")
    assert {row["path"] for row in wrong} == {row["path"] for row in predictions if row["class"] != row["label"]}


def test_history_csv_is_history_of_result(blocks_result):
    rows = blocks_result.run.read_rows("history.csv")
    assert [{name: str(value) for name, value in row.items()} for row in blocks_result.history] == rows
    assert blocks_result.metrics.figures["epochs"] == len(rows)
