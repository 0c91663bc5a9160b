"""Trainings in folds and with other seeds."""

from dataclasses import replace

import numpy as np
import pytest

from tests.training.stops import assert_same_training
from tlkit.data.folder import read_folder
from tlkit.errors import DataError
from tlkit.settings.training import settings_from
from tlkit.training.cross_validation import num_correct
from tlkit.training.finetune import finetune


@pytest.fixture(scope="module")
def settings(finetuned_run):
    """The settings of the shared run."""
    return settings_from(finetuned_run.read_json("settings.json"))


@pytest.fixture(scope="module")
def repeated(settings, colors, tmp_path_factory):
    """The shared run once more, with folds and seeds, watched by TensorBoard."""
    path = tmp_path_factory.mktemp("repeated") / "run"
    return finetune(colors, path, replace(settings, folds=3, seeds="1,2", tensorboard=True))


@pytest.mark.training
def test_folds_hold_every_image_out_once(repeated):
    folds = repeated.metrics.folds
    assert folds.keys() == {"accuracies", "accuracy", "accuracy_ci95", "num_images"}
    assert folds["num_images"] == 36
    assert len(folds["accuracies"]) == 3
    assert folds["accuracy"] == pytest.approx(np.mean(folds["accuracies"]))  # folds are of one size
    low, high = folds["accuracy_ci95"]
    assert low < folds["accuracy"] <= high


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
    assert {tag for tag, _ in events} == {"learning_rate", "loss", "accuracy", "val_loss", "val_accuracy"}


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
        self.top = self.features = self
        self.guesses = np.eye(3)[guesses]

    def open(self, images):
        return self.guesses

    def predict_on_batch(self, features):
        return features


def test_num_correct_counts_over_batches(colors, monkeypatch):
    monkeypatch.setattr("tlkit.training.cross_validation.EVAL_BATCH", 5)
    images = read_folder(colors)
    assert num_correct(Guesses(images.labels), images) == 36
    assert num_correct(Guesses((images.labels + 1) % 3), images) == 0
    assert num_correct(Guesses(np.zeros(36, int)), images) == 12
