"""The learning-rate range test, and trainings in folds and with other seeds."""

from dataclasses import replace

import numpy as np
import pytest

from tests.networks import keras
from tests.training.loop.test_fit import head, plan, samples
from tlkit.runs.run import read_manifest
from tlkit.settings.training import FinetuneSettings
from tlkit.training.finetune import finetune
from tlkit.training.lr_finder import STEPS, find_rate, moving_average, range_test, suggest_rate
from tlkit.utils.progress import Silent

SMALL = FinetuneSettings(
    backbone="mobilenet_025", freeze="all", image_size=32, hidden="8", batch_size=16, epochs=4, upper_epochs=1,
    views=2, cut="0.7", upper_batch_size=16,
)  # fmt: skip


def test_a_range_test_leaves_the_model_as_it_was_and_suggests_a_rate_that_learns():
    stacked, train = head(dropout=0.0, batch_norm=False), samples(200, spread=0.2)
    upper = keras.Model(stacked.inputs, stacked.outputs)
    before = upper.get_weights()
    curve = range_test(upper, train, plan(), Silent())
    assert all(np.array_equal(*pair) for pair in zip(before, upper.get_weights(), strict=True))
    assert len(curve.rates) == len(curve.losses) <= STEPS
    assert curve.rates == sorted(curve.rates)
    assert min(curve.losses) < 0.7 * curve.losses[0]
    assert 1e-4 < curve.suggested < 0.3


def test_the_average_starts_at_the_first_loss_and_leaves_out_what_is_no_number():
    assert moving_average([2.0])[0] == pytest.approx(2)
    assert moving_average([3.0, 3.0, 3.0]) == pytest.approx([3, 3, 3])
    assert len(moving_average([1.0, 2.0, float("inf")])) == 2


def test_the_suggestion_is_a_tenth_of_the_best_rate():
    assert suggest_rate([1e-3, 3.3e-2, 1.0], [2, 1, 9]) == 0.003


@pytest.mark.parametrize(("freeze", "phase"), [("auto", "head"), ("lower", "blocks"), ("none", "whole")])
def test_what_is_tried_is_what_would_be_trained_last(freeze, phase, colours, weights_file):
    curve = find_rate(colours, replace(SMALL, freeze=freeze, weights=str(weights_file)))
    assert curve.phase == phase
    assert curve.option == ("--upper-learning-rate" if phase == "blocks" else "--learning-rate")
    assert 1e-7 <= curve.suggested <= 0.1


@pytest.fixture(scope="module")
def repeated(colours, weights_file, tmp_path_factory):
    settings = replace(SMALL, weights=str(weights_file), folds=3, seeds="1,2", tensorboard=True)
    return finetune(colours, tmp_path_factory.mktemp("repeated") / "run", settings)


def test_every_image_is_held_out_once_in_folds(repeated):
    folds = repeated.metrics["folds"]
    assert folds["num_images"] == 36
    assert len(folds["accuracies"]) == 3
    assert folds["accuracy"] == pytest.approx(np.mean(folds["accuracies"]))  # folds are of one size
    low, high = folds["accuracy_ci95"]
    assert low < folds["accuracy"] <= high


def test_seeds_tell_how_far_they_differ(repeated):
    seeds = repeated.metrics["seeds"]
    assert set(seeds["accuracies"]) == {"1", "2"}
    assert seeds["least"] <= seeds["median"] <= seeds["greatest"]


def test_repeats_leave_the_kept_classifier_alone(repeated, colours, weights_file, tmp_path):
    alone = finetune(colours, tmp_path / "alone", replace(SMALL, weights=str(weights_file)))
    files = [(done.run.path / "predictions_val.csv").read_bytes() for done in (repeated, alone)]
    assert files[0] == files[1]
    assert alone.metrics["folds"] is alone.metrics["seeds"] is None


def test_another_seed_besides_is_what_a_run_with_that_seed_gives(repeated, colours, weights_file, tmp_path):
    own = finetune(colours, tmp_path / "own", replace(SMALL, weights=str(weights_file), seed=2))
    assert repeated.metrics["seeds"]["accuracies"]["2"] == pytest.approx(own.metrics["accuracy"])


def test_tensorboard_gets_every_epoch_of_every_scalar(repeated):
    from tensorflow.python.summary.summary_iterator import summary_iterator

    [file] = (repeated.run.path / "tensorboard" / "head").iterdir()
    assert f"tensorboard/head/{file.name}" in read_manifest(repeated.run).sha256
    events = [(value.tag, event.step) for event in summary_iterator(str(file)) for value in event.summary.value]
    epochs = repeated.metrics["epochs"]
    assert sorted(step for tag, step in events if tag == "val_loss") == list(range(1, epochs + 1))
    assert {tag for tag, _ in events} == {"learning_rate", "loss", "accuracy", "val_loss", "val_accuracy"}
