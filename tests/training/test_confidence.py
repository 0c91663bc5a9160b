"""Temperature and the rule for "unknown" of a training: what is written, and what predict makes of it."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.commands import read_csv, tlkit
from tests.making import encoded, noise
from tlkit.errors import DataError, OptionError
from tlkit.evaluation.calibration import MIN_IMAGES
from tlkit.inference.evaluate import evaluate
from tlkit.inference.network import open_detector
from tlkit.inference.predictor import Predictor, predict
from tlkit.training.classic import train_classic
from tlkit.training.resume import resume

COLORS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200)}


def save_image(file, pixels):
    """Write pixels as a PNG, and the folder it is in."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(encoded(pixels))


def save_colors(root, count, seed=0, spread=90):
    """Images of one noisy color per class, some of which are hard to tell apart."""
    rng = np.random.default_rng(seed)
    for name, color in COLORS.items():
        for index in range(count):
            mean = np.clip(np.array(color) + rng.normal(0, spread, 3), 0, 255)
            pixels = np.clip(mean + rng.normal(0, 12, (24, 24, 3)), 0, 255).astype(np.uint8)
            save_image(root / name / f"{seed}-{index}.png", pixels)
    return root


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A classic run of 600 images, 240 of them to validate on, with images of no class."""
    root = tmp_path_factory.mktemp("confidence")
    data = save_colors(root / "data", 200)
    for seed in range(30):
        save_image(data / "_unknown" / f"{seed}.png", noise(24, 24, seed=seed))
    (data / "_unknown" / "text.png").write_text("no image")
    options = {"descriptor": "histogram", "classifier": "logistic", "validation_split": 0.4, "coverage": 0.9}
    return train_classic(data, root / "run", **options)


def test_fit_confidence_calibrates_on_the_validation_images(trained):
    entry = trained.metrics.calibration
    assert entry["judged"] and entry["source"] == "validation"
    assert entry["num_images"] == trained.metrics.num_validation == 240 >= MIN_IMAGES
    assert entry["temperature"] == trained.run.manifest.temperature != 1
    low, high = entry["ece_ci95"]
    assert 0 <= low <= entry["ece"] <= high < 0.15
    assert (trained.run.path / "plots" / "calibration.png").stat().st_size > 1000
    assert sum(item["count"] for item in entry["bins"]) == 240


def test_fit_confidence_tables_have_the_probabilities_that_predict_gives(trained):
    rows = trained.run.read_rows("predictions_val.csv")
    files = [trained.split.train.root / row["path"] for row in rows]
    predictions = list(predict(trained.run, files))
    for row, prediction in zip(rows, predictions, strict=True):
        assert prediction.confidence == pytest.approx(float(row["confidence"]), abs=1e-5)
        assert prediction.label == row["label"]


def test_fit_confidence_threshold_accepts_the_stated_coverage(trained):
    counts = trained.metrics.unknown["validation"]
    assert counts["num_images"] == 240
    assert 0.9 <= counts["num_answered"] / 240 <= 0.91
    assert trained.metrics.unknown["coverage"] == 0.9
    assert trained.metrics.unknown["threshold"] == trained.run.manifest.unknown["threshold"]
    evaluation = evaluate(trained.run)
    assert int(evaluation.answered.sum()) == counts["num_answered"]


def test_fit_confidence_on_images_of_no_class_measures_their_separation(trained):
    entry = trained.metrics.unknown
    assert entry["num_unknown"] == 30
    assert entry["auroc"] > 0.9
    assert [(item.path, "image" in item.reason) for item in trained.skipped] == [("_unknown/text.png", True)]
    new = [noise(24, 24, seed=seed) for seed in range(100, 120)]
    statuses = [prediction.status for prediction in predict(trained.run, new)]
    assert statuses.count("unknown") >= 18


def test_files_of_no_class_that_are_no_images_are_listed(trained):
    assert [row["path"] for row in trained.run.read_rows("left_out.csv")] == ["_unknown/text.png"]
    assert sum(trained.metrics.left_out.values()) == 1
    rows = trained.run.read_rows("unknown.csv")
    assert [row["path"] for row in rows] == sorted(f"_unknown/{seed}.png" for seed in range(30))


def test_evaluate_of_new_images_measures_their_calibration(trained, tmp_path):
    save_colors(tmp_path / "new", 70, seed=5)
    printed = json.loads(tlkit("evaluate", trained.run.path, tmp_path / "new", "--json").stdout)
    low, high = printed["calibration"]["ece_ci95"]
    assert 0 <= low <= printed["calibration"]["ece"] <= high < 0.25


def test_interrupt_while_golden_samples_are_written_loses_no_training(tmp_path, monkeypatch):
    data = save_colors(tmp_path / "data", 20)

    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("tlkit.training.session.record_golden", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train_classic(data, tmp_path / "run", descriptor="histogram")
    assert (tmp_path / "run" / "metrics.json").exists()
    assert (tmp_path / "run" / "classic.npz").exists()
    monkeypatch.undo()
    assert resume(tmp_path / "run").run.path == tmp_path / "run"


def test_predictor_answers_unknown_with_a_reason_and_the_most_probable_class(trained):
    (prediction,) = predict(trained.run, noise(24, 24, seed=99))
    assert (prediction.status, prediction.reason) == ("unknown", "unlike training images")
    assert prediction.label in COLORS
    assert prediction.error is None
    assert 0 < prediction.distance <= 2
    (forced,) = predict(trained.run, noise(24, 24, seed=99), unknown=False)
    assert (forced.status, forced.reason, forced.label) == ("ok", "", prediction.label)
    assert forced.distance == prediction.distance


def test_evaluate_measures_images_of_no_class_beside_all_images(trained, tmp_path):
    for seed in range(200, 210):
        save_image(tmp_path / "others" / f"{seed}.png", noise(24, 24, seed=seed))
    plain = evaluate(trained.run)
    evaluation = evaluate(trained.run, unknown_data=str(tmp_path / "others"))
    assert evaluation.report.accuracy == plain.report.accuracy  # of all images, also those without an answer
    assert plain.unknown is None
    assert evaluation.unknown.num_images == 10
    assert evaluation.unknown.num_refused >= 9
    assert evaluation.unknown.auroc > 0.9
    found = evaluate(trained.run, trained.split.train.root, include_training=True)
    assert found.unknown is None  # the rule was fitted on all of DATA/_unknown
    fitted_on = [item for item in found.skipped if item.reason == "the rule for unknown was fitted on it"]
    assert len(fitted_on) == 30


def test_evaluate_lists_images_of_no_class_that_cannot_be_read(trained, tmp_path):
    save_image(tmp_path / "others" / "noise.png", noise(24, 24, seed=500))
    (tmp_path / "others" / "text.txt").write_text("no image")
    evaluation = evaluate(trained.run, unknown_data=str(tmp_path / "others"))
    assert evaluation.unknown.num_images == 1
    assert [Path(item.path).name for item in evaluation.skipped] == ["text.txt"]


def test_evaluate_refuses_a_folder_of_no_class_before_anything_is_classified(trained, tmp_path):
    (tmp_path / "empty").mkdir()
    for folder, words in (("missing", "is not a folder"), ("empty", "has no file")):
        with pytest.raises(DataError, match=f"--unknown-data '{tmp_path / folder}' {words}; expected"):
            evaluate(trained.run, unknown_data=str(tmp_path / folder))


def test_evaluate_json_has_both_error_rates(trained, tmp_path):
    for seed in range(200, 210):
        save_image(tmp_path / "others" / f"{seed}.png", noise(24, 24, seed=seed))
    printed = json.loads(tlkit("evaluate", trained.run.path, "--unknown-data", tmp_path / "others", "--json").stdout)
    counts = trained.metrics.unknown["validation"]
    assert printed["unknown"]["known_refused"] == pytest.approx(1 - counts["num_answered"] / 240)
    assert printed["unknown"]["unknown_answered"] == pytest.approx(1 - printed["unknown"]["num_refused"] / 10)
    assert printed["answered"]["coverage"] == pytest.approx(counts["num_answered"] / 240)
    assert printed["answered"]["accuracy"] == pytest.approx(counts["num_correct"] / counts["num_answered"])
    assert printed["calibration"] is None  # the temperature was fitted on these images


def test_predict_prints_unknown_rows_with_reason_and_distance(trained, tmp_path):
    save_image(tmp_path / "noise.png", noise(24, 24, seed=99))
    printed = tlkit("predict", trained.run.path, tmp_path / "noise.png", "--scores").stdout
    (row,) = read_csv(printed)
    assert list(row) == ["path", "status", "label", "confidence", "distance", "reason", "error"]
    assert (row["status"], row["reason"], row["error"]) == ("unknown", "unlike training images", "")
    assert row["label"] in COLORS
    assert 0 < float(row["distance"]) <= 2
    (forced,) = read_csv(tlkit("predict", trained.run.path, tmp_path / "noise.png", "--no-unknown").stdout)
    assert (forced["status"], forced["reason"]) == ("ok", "")


def test_predict_unknown_of_a_run_without_threshold_is_refused_with_the_way_out(finetuned_run):
    with pytest.raises(OptionError, match="a coverage of 0.95 needs 19 validation images; omit --unknown, or train"):
        Predictor(finetuned_run, unknown=True)


def test_references_are_training_images_alone(trained):
    references = open_detector(trained.run).references
    assert len(references) == trained.metrics.num_train
    train = [trained.split.train.root / path for path in trained.split.train.paths[:40]]
    held_out = [trained.split.train.root / path for path in trained.split.validation.paths[:40]]
    distances = [np.mean([item.distance for item in predict(trained.run, files)]) for files in (train, held_out)]
    assert distances[0] < distances[1]  # each training image is its own nearest neighbor


def test_few_validation_images_give_no_threshold_and_no_temperature(finetuned_run):
    content = json.loads((finetuned_run.path / "metrics.json").read_text())
    assert content["calibration"]["judged"] is False
    assert content["calibration"]["ece"] is None
    assert content["unknown"]["threshold"] is None
    assert content["unknown"]["validation"] is None
    assert not Predictor(finetuned_run).answers_unknown
    assert {row.status for row in predict(finetuned_run, [noise(40, 40)])} == {"ok"}
