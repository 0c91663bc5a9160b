"""Trainings in folds and with other seeds."""

from dataclasses import replace

import numpy as np
import pytest

from tests.training.stops import assert_same_training
from tlkit.data.folder import read_folder
from tlkit.errors import DataError
from tlkit.settings.training import settings_from
from tlkit.training.cross_validation import predict_fitted
from tlkit.training.finetune import finetune


@pytest.fixture(scope="module")
def settings(finetuned_run):
    """The settings of the shared run."""
    return settings_from(finetuned_run.read_json("settings.json"))


@pytest.fixture(scope="module")
def repeated(settings, colors, tmp_path_factory):
    """The shared run once more, with folds and seeds, watched by TensorBoard."""
    path = tmp_path_factory.mktemp("repeated") / "run"
    return finetune(colors, path, replace(settings, folds=3, seeds="1,2", log_to=("tensorboard",)))


@pytest.mark.training
def test_folds_hold_every_image_out_once(repeated):
    folds, metrics = repeated.folds, repeated.metrics.folds
    assert metrics == folds.report.as_json() | {"accuracies": folds.accuracies}
    assert metrics["num_images"] == 36
    assert len(metrics["accuracies"]) == 3
    assert metrics["accuracy"] == pytest.approx(np.mean(metrics["accuracies"]))  # folds are of one size
    assert set(folds.paths) == {*repeated.split.train.paths, *repeated.split.validation.paths}
    assert [int(np.sum(folds.folds == fold)) for fold in (1, 2, 3)] == [12, 12, 12]


@pytest.mark.training
def test_folds_are_the_headline_and_keep_every_row(repeated):
    metrics, rows = repeated.metrics, repeated.run.read_rows("folds/predictions.csv")
    assert metrics.headline == "folds"
    assert metrics.headline_accuracy == (metrics.folds["accuracy"], tuple(metrics.folds["accuracy_ci95"]))
    assert repeated.run.read_json("metrics.json")["accuracy"] == metrics.accuracy
    assert list(rows[0]) == ["path", "class", "fold", "label", "confidence", "p_blue", "p_green", "p_red"]
    assert (
        [row["path"] for row in rows]
        == list(repeated.folds.paths)
        == sorted(repeated.folds.paths, key=lambda path: (path.split("/")[0], int(path.split("/")[1][:-4])))
    )
    assert all(row["path"].startswith(row["class"] + "/") for row in rows)
    assert [int(row["fold"]) for row in rows] == repeated.folds.folds.tolist()
    assert sum(row["class"] == row["label"] for row in rows) / 36 == metrics.folds["accuracy"]
    files = {f"folds/{name}.csv" for name in ("confusion_matrix", "per_class", "predictions", "wrong")}
    assert files < repeated.run.manifest.sha256.keys()


@pytest.mark.training
def test_diagnosis_of_few_images_does_not_advise_folds_that_were_there(repeated, finetuned):
    assert any("validation images" in finding["words"] for finding in finetuned.metrics.diagnosis)
    assert not any("validation images" in finding["words"] for finding in repeated.metrics.diagnosis)


@pytest.mark.training
def test_seeds_say_how_far_they_differ(repeated):
    seeds = repeated.metrics.seeds
    assert seeds.keys() == {"accuracies", "least", "median", "greatest"}
    assert set(seeds["accuracies"]) == {"1", "2"}
    assert seeds["least"] <= seeds["median"] <= seeds["greatest"]


@pytest.mark.training
def test_repeats_leave_classifier_alone(repeated, finetuned):
    assert_same_training(repeated.run, finetuned.run)
    assert finetuned.metrics.folds is finetuned.metrics.seeds is None


@pytest.mark.training
def test_seed_of_repeats_is_what_a_run_with_that_seed_gives(repeated, settings, colors, tmp_path):
    own = finetune(colors, tmp_path / "own", replace(settings, seed=2))
    assert repeated.metrics.seeds["accuracies"]["2"] == pytest.approx(own.metrics.accuracy)


@pytest.mark.training
def test_tensorboard_gets_every_epoch_of_every_scalar(repeated):
    from tensorflow.python.summary.summary_iterator import summary_iterator

    [file] = (repeated.run.path / "tensorboard" / "head").iterdir()
    assert f"tensorboard/head/{file.name}" in repeated.run.manifest.sha256
    events = [(value.tag, event.step) for event in summary_iterator(str(file)) for value in event.summary.value]
    epochs = repeated.metrics.figures["epochs"]
    assert sorted(step for tag, step in events if tag == "val_loss") == list(range(1, epochs + 1))
    assert {tag for tag, _ in events} == {"settings", "learning_rate", "loss", "accuracy", "val_loss", "val_accuracy"}


def test_folds_that_cannot_be_made_are_refused_before_the_training(settings, copied_colors, tmp_path, monkeypatch):
    for path in sorted((copied_colors / "blue").iterdir())[1:]:
        path.unlink()
    monkeypatch.setattr("tlkit.training.phases.fit_phases", lambda *_: pytest.fail("it was trained"))
    with pytest.raises(DataError, match="class 'blue' has too few images for --folds"):
        finetune(copied_colors, tmp_path / "run", replace(settings, folds=5))
    assert not (tmp_path / "run").exists()


class Guesses:
    """A top whose input is its output, on features that are guesses."""

    def __init__(self, guesses):
        self.features = self, self
        self.guesses = np.eye(3)[guesses]

    def open(self, images):
        return self.guesses

    def predict(self, features):
        return features


def test_predict_fitted_classifies_in_batches(colors, monkeypatch):
    monkeypatch.setattr("tlkit.training.cross_validation.EVAL_BATCH", 5)
    images = read_folder(colors)
    guesses = (images.labels + 1) % 3
    assert np.array_equal(predict_fitted(Guesses(guesses), images), np.eye(3)[guesses])
