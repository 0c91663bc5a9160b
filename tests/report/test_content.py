"""The content of runs of every kind, and of runs that do not hold what tlkit writes."""

import numpy as np
import pytest

from tests.report.making import rewrite_rows
from tests.shared_runs import rewrite_json
from tlkit.errors import RunError
from tlkit.report.content import read_content, read_predictions


@pytest.mark.parametrize("name", ["finetuned_run", "blocks_run", "scratch_run", "classic_run"])
def test_the_content_of_every_kind_of_run_has_the_figures_of_its_metrics(name, request):
    run = request.getfixturevalue(name)
    content, metrics = read_content(run), run.read_json("metrics.json")
    assert content.headline.value == pytest.approx(content.report.accuracy)
    assert (content.headline.low, content.headline.high) == pytest.approx(metrics["accuracy_ci95"])
    assert content.headline.correct == content.report.num_correct
    assert content.headline.total == len(content.paths) == metrics["num_validation"]
    assert len(content.history) == (0 if name == "classic_run" else len(run.read_rows("history.csv")))
    assert content.command.startswith("tlkit ")
    assert content.names[content.headline.commonest] == content.headline.commonest


def test_a_run_with_folds_is_quoted_by_them(own_run):
    columns, rows = ("path", "class", "fold", "label", "confidence"), []
    for row in own_run.read_rows("predictions_val.csv"):
        rows.append((row["path"], row["class"], 1, row["label"], row["confidence"]))
    (own_run.path / "folds").mkdir()
    rewrite_rows(own_run, "folds/predictions.csv", columns, rows)
    metrics = own_run.read_json("metrics.json")
    figures = {name: metrics[name] for name in ("accuracy", "accuracy_ci95", "baseline_accuracy", "baseline_class")}
    rewrite_json(own_run, "metrics.json", metrics | {"headline": "folds", "folds": figures | {"num_images": len(rows)}})
    content = read_content(own_run)
    assert content.headline.measured_on == "folds"
    assert content.folder == "folds/"
    assert [other.measured_on for other in content.others] == ["validation"]
    assert len(content.paths) == len(rows)


def test_tables_of_the_most_probable_classes_give_the_others_zero(own_run):
    names = own_run.manifest.class_names
    path = own_run.read_rows("split.csv")[0]["path"]
    columns = ("path", "class", "label", "confidence", "label_2", "confidence_2")
    rewrite_rows(own_run, "predictions_val.csv", columns, [(path, names[0], names[2], 0.6, names[0], 0.3)])
    report, paths = read_predictions(own_run, "predictions_val.csv")
    assert report.probabilities.tolist() == [pytest.approx([0.3, 0, 0.6])]
    assert paths == (path,)
    assert report.labels.dtype == np.int32


@pytest.mark.parametrize(
    "change",
    [
        {"headline": "nothing"},
        {"accuracy": "high"},
        {"accuracy": 7},
        {"accuracy_ci95": [0.5]},
        {"calibration": {}},
        {"unknown": None},
        {"notes": 5},
        {"diagnosis": [5]},
        {"seconds": {"total": "long"}},
        {"seconds": {"total": float("inf")}},
        {"best_epoch": "x"},
    ],
    ids=str,
)
def test_metrics_that_tlkit_does_not_write_end_in_one_sentence(own_run, change):
    rewrite_json(own_run, "metrics.json", own_run.read_json("metrics.json") | change)
    with pytest.raises(RunError, match="does not fit the other files of the run"):
        read_content(own_run)


@pytest.mark.parametrize("probability", ["nan", "-1", "2", "x"])
def test_probabilities_that_are_none_end_in_one_sentence(own_run, probability):
    rows = [list(row.values()) for row in own_run.read_rows("predictions_val.csv")]
    columns = list(own_run.read_rows("predictions_val.csv")[0])
    rows[0][-1] = probability
    rewrite_rows(own_run, "predictions_val.csv", columns, rows)
    with pytest.raises(RunError, match="does not fit"):
        read_content(own_run)


@pytest.mark.parametrize(
    "change",
    [
        {"judged": True},
        {"temperature": 0},
        {"num_images": "many"},
        {"bins": [{"confidence": 0.5, "accuracy": "x", "count": 3}]},
        {"bins": [{"confidence": 0.5, "accuracy": 0.5, "count": -3}]},
    ],
    ids=str,
)
def test_a_calibration_that_tlkit_does_not_write_ends_in_one_sentence(own_run, change):
    metrics = own_run.read_json("metrics.json")
    rewrite_json(own_run, "metrics.json", metrics | {"calibration": metrics["calibration"] | change})
    with pytest.raises(RunError, match="does not fit"):
        read_content(own_run)


def test_a_setting_of_another_version_is_named_in_one_sentence(own_run):
    rewrite_json(own_run, "settings.json", own_run.read_settings() | {"tensorboard": True})
    words = "was made by another version of tlkit (unknown setting 'tensorboard'); use that version or train again."
    with pytest.raises(RunError) as caught:
        read_content(own_run)
    assert str(caught.value) == f"'{own_run.path}' {words}"
