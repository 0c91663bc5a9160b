"""What a history tells, in words."""

import math

import numpy as np
import pytest

from tlkit.evaluation.report import Report
from tlkit.settings.training import FinetuneSettings
from tlkit.training.diagnosis import FitEvidence, check_baseline, diagnose
from tlkit.training.finetune import finetune_recipe
from tlkit.training.loop.history import EpochRecord


def record(epoch=1, loss=0.5, accuracy=0.9, val_accuracy=0.88):
    return EpochRecord("head", epoch, 0.002, loss, accuracy, 0.5, val_accuracy, 0.1)


def findings_of(*records, images=500, folds=False, loss="cross-entropy", freeze="all"):
    last = finetune_recipe(FinetuneSettings(freeze=freeze)).phases()[-1]
    evidence = FitEvidence(records, records[-1], 4, 4 * images, images, folds, loss, last)
    return [(finding.finding, finding.suggestion) for finding in diagnose(evidence)]


def test_diagnose_good_training_says_nothing():
    assert findings_of(record(), record(2)) == []


@pytest.mark.parametrize(("loss", "is_high"), [(1.19 * math.log(4), False), (1.21 * math.log(4), True)])
def test_diagnose_first_loss_above_chance_is_too_high_a_learning_rate(loss, is_high):
    findings = findings_of(record(loss=loss), record(2))
    assert [("learning rate too high" in words, suggestion) for words, suggestion in findings] == (
        [(True, "--learning-rate 0.0007, or `tlkit lr-find`")] if is_high else []
    )


def test_diagnose_first_loss_of_another_kind_is_not_judged():
    assert findings_of(record(loss=9.0), record(2), loss="mean-squared-error") == []


@pytest.mark.parametrize(
    ("freeze", "suggestion"), [("all", "--dropout 0.7"), ("lower", "--augment medium"), ("none", "--augment medium")]
)
def test_diagnose_gap_is_overfitting(freeze, suggestion):
    [(words, following)] = findings_of(record(accuracy=0.99, val_accuracy=0.7), freeze=freeze)
    assert "training accuracy 99.0 %, validation accuracy 70.0 %" in words
    assert "overfitting" in words
    assert following.endswith(suggestion)


def test_diagnose_overfitting_is_a_gap_that_chance_cannot_explain():
    for training, validation, images, is_told in (
        (1.0, 0.915, 362, True),
        (1.0, 0.915, 100, True),
        (1.0, 0.99, 1000, False),  # significant, but small
        (1.0, 0.96, 100, False),  # 4 points on 100 images may be luck
        (1.0, 0.96, 2000, True),
        (0.9, 0.95, 2000, False),
    ):
        findings = findings_of(record(accuracy=training, val_accuracy=validation), images=images)
        assert [words.startswith("overfitting") for words, _ in findings] == [True] * is_told, (validation, images)


@pytest.mark.parametrize(
    ("freeze", "suggestion"), [("all", "--freeze lower"), ("lower", "--upper-epochs 20"), ("none", "more --epochs")]
)
def test_diagnose_low_accuracy_on_both_is_underfitting(freeze, suggestion):
    [(words, following)] = findings_of(record(accuracy=0.6, val_accuracy=0.58), freeze=freeze)
    assert "underfitting" in words
    assert following == suggestion


def test_diagnose_few_images_cannot_tell():
    [(words, following)] = findings_of(record(), images=30)
    assert words.startswith("only 30 validation images")
    assert following.startswith("--folds 5")
    assert findings_of(record(), images=30, folds=True) == []


def test_check_baseline_finds_a_run_that_learned_nothing():
    labels = np.arange(100, dtype=np.int32) % 2
    guesses = np.eye(2, dtype=np.float32)[np.random.default_rng(0).integers(0, 2, 100)]
    finding = check_baseline(Report(("cat", "dog"), labels, guesses))
    assert "not significantly better than always answering 'cat' (50.0 %)" in finding.finding
    assert "compare" in finding.suggestion
    assert check_baseline(Report(("cat", "dog"), labels, np.eye(2, dtype=np.float32)[labels])) is None


def test_diagnose_kept_start_says_nothing_of_training_images():
    assert findings_of(record(), record(0, loss=math.nan, accuracy=math.nan)) == []


def test_diagnosis_json_has_its_keys(finetuned):
    [finding] = finetuned.metrics.diagnosis
    assert finding.keys() == {"words", "next"}
