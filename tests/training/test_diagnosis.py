"""What a history tells, in words."""

import math

import pytest

from tlkit.settings.training import FinetuneSettings
from tlkit.training.diagnosis import FitEvidence, diagnose


def row(epoch=1, loss=0.5, accuracy=0.9, val_accuracy=0.88, **more):
    return {"phase": "head", "epoch": epoch, "learning_rate": 0.002, "loss": loss, "accuracy": accuracy} | {
        "val_loss": 0.5, "val_accuracy": val_accuracy, "seconds": 0.1} | more  # fmt: skip


def words_of(*rows, images=500, **settings):
    seen = FitEvidence(list(rows), rows[-1], 4, images, FinetuneSettings(**{"freeze": "all"} | settings))
    return [(found.words, found.next) for found in diagnose(seen)]


def test_nothing_is_said_of_a_training_that_went_well():
    assert words_of(row(), row(2)) == []


@pytest.mark.parametrize(("loss", "is_high"), [(1.19 * math.log(4), False), (1.21 * math.log(4), True)])
def test_a_first_loss_above_chance_means_too_high_a_rate(loss, is_high):
    found = words_of(row(loss=loss), row(2))
    assert [("learning rate is too high" in words, advice) for words, advice in found] == (
        [(True, "--learning-rate 0.0007, or `tlkit lr-find`")] if is_high else []
    )


def test_the_first_loss_of_another_kind_is_not_judged():
    assert words_of(row(loss=9.0), row(2), loss="mean-squared-error") == []


@pytest.mark.parametrize(
    ("freeze", "advice"), [("all", "--dropout 0.7"), ("lower", "--augment medium"), ("none", "--augment medium")]
)
def test_a_gap_between_training_and_validation_is_overfitting(freeze, advice):
    [(words, following)] = words_of(row(accuracy=0.99, val_accuracy=0.7), freeze=freeze)
    assert "0.99 of the training and 0.70 of the validation images are right" in words
    assert "overfitting" in words
    assert following.endswith(advice)


@pytest.mark.parametrize(("freeze", "advice"), [("all", "--freeze lower"), ("lower", "--upper-epochs 20")])
def test_little_learnt_on_both_sides_is_underfitting(freeze, advice):
    [(words, following)] = words_of(row(accuracy=0.6, val_accuracy=0.58), freeze=freeze)
    assert "underfitting" in words
    assert following == advice


def test_few_images_cannot_tell():
    [(words, following)] = words_of(row(), images=30)
    assert words.startswith("too few images to validate on (30)")
    assert following.startswith("--folds 5")


def test_a_start_that_was_kept_says_nothing_of_training_images():
    assert words_of(row(), row(0, loss=math.nan, accuracy=math.nan)) == []
