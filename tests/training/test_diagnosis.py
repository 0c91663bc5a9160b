"""The findings of a history, and the commands that they advise."""

import math
import shlex
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from tlkit.cli.finetune import finetune
from tlkit.evaluation.report import Report
from tlkit.settings.training import FinetuneSettings, TrainSettings, settings_from
from tlkit.training.diagnosis import FitEvidence, TrainingRequest, check_baseline, diagnose
from tlkit.training.finetune import finetune_recipe
from tlkit.training.loop.history import EpochRecord


def record(epoch=1, loss=0.5, accuracy=0.9, val_accuracy=0.88):
    return EpochRecord("head", epoch, 0.002, loss, accuracy, 0.5, val_accuracy, 0.1)


def findings_of(*records, images=500, can_fold=True, loss="cross-entropy", **options):
    """What is found of a training of the folder "my photos", with the command to try."""
    given = FinetuneSettings(**{"freeze": "all"} | options)
    last = finetune_recipe(given).with_decided_freeze("all").phases()[-1]
    evidence = FitEvidence(
        history=records,
        best=records[-1],
        num_classes=4,
        num_train=4 * images,
        num_validation=images,
        loss=loss,
        advice=last,
        given=given,
        can_fold=can_fold,
    )
    request = TrainingRequest("finetune", given, Path("my photos"))
    return [(found.finding, request.command_with(found.changes)) for found in diagnose(evidence)]


def accepted(command):
    """The settings that a command is parsed to; its options have an effect."""
    start, name, *words = shlex.split(command)
    assert (start, name) == ("tlkit", "finetune")
    parameters = finetune.make_context(name, words).params
    settings = FinetuneSettings(**{item.name: parameters[item.name] for item in fields(FinetuneSettings)})
    return finetune_recipe(settings).given


def test_diagnose_good_training_says_nothing():
    assert findings_of(record(), record(2)) == []


@pytest.mark.parametrize(("loss", "is_high"), [(1.19 * math.log(4), False), (1.21 * math.log(4), True)])
def test_diagnose_first_loss_above_chance_is_too_high_a_learning_rate(loss, is_high):
    findings = findings_of(record(loss=loss), record(2))
    assert [("learning rate too high" in words, command) for words, command in findings] == (
        [(True, "tlkit finetune 'my photos' --freeze all --learning-rate 0.0007")] if is_high else []
    )


def test_diagnose_high_loss_of_a_single_epoch_advises_a_rate_that_is_accepted():
    """The learning rate at the end of the only epoch is 0."""
    high = replace(record(loss=9.0), learning_rate=0.0)
    assert [command for _, command in findings_of(high)] == [""]
    [(_, command)] = findings_of(high, learning_rate=0.3)
    assert accepted(command).learning_rate == 0.1


def test_diagnose_first_loss_of_another_kind_is_not_judged():
    assert findings_of(record(loss=9.0), record(2), loss="mean-squared-error") == []


@pytest.mark.parametrize(
    ("freeze", "suggestion"), [("all", "--dropout 0.7"), ("lower", "--augment strong"), ("none", "--augment strong")]
)
def test_diagnose_gap_is_overfitting(freeze, suggestion):
    [(words, following)] = findings_of(record(accuracy=0.99, val_accuracy=0.7), freeze=freeze)
    assert "training accuracy 99.0 %, validation accuracy 70.0 %" in words
    assert "overfitting" in words
    assert suggestion in following
    assert accepted(following) != FinetuneSettings(freeze=freeze)


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
    ("freeze", "suggestion"), [("all", "--freeze lower"), ("lower", "--upper-epochs 60"), ("none", "--epochs 200")]
)
def test_diagnose_low_accuracy_on_both_is_underfitting(freeze, suggestion):
    [(words, following)] = findings_of(record(accuracy=0.6, val_accuracy=0.58), freeze=freeze)
    assert "underfitting" in words
    assert suggestion in following
    assert accepted(following) != FinetuneSettings(freeze=freeze)


def test_diagnose_few_images_cannot_tell():
    [(words, following)] = findings_of(record(), images=30)
    assert words.startswith("only 30 validation images")
    assert following == "tlkit finetune 'my photos' --freeze all --folds 5"
    assert findings_of(record(), images=30, folds=3) == []
    [(words, following)] = findings_of(record(), images=30, can_fold=False)
    assert (words.endswith("Add images."), following) == (True, "")


def test_advice_has_the_options_that_were_given_and_repeats_none():
    low = record(accuracy=0.6, val_accuracy=0.58)
    [(_, following)] = findings_of(low, freeze="auto", backbone="mobilenet_025")
    assert following == "tlkit finetune 'my photos' --backbone mobilenet_025 --freeze lower"
    [(_, following)] = findings_of(low, freeze="auto", time_limit="5m")
    assert following == "tlkit finetune 'my photos'"
    [(_, following)] = findings_of(record(accuracy=0.99, val_accuracy=0.7), dropout=0.8)
    assert following == ""
    assert TrainingRequest("train", TrainSettings(model="mlp"), Path("x")).comparison() == "tlkit compare x"


def test_check_baseline_finds_a_run_that_learned_nothing():
    labels = np.arange(100, dtype=np.int32) % 2
    guesses = np.eye(2, dtype=np.float32)[np.random.default_rng(0).integers(0, 2, 100)]
    words = check_baseline(Report(("cat", "dog"), labels, guesses))
    assert "not significantly better than always answering 'cat' (50.0 %)" in words
    assert check_baseline(Report(("cat", "dog"), labels, np.eye(2, dtype=np.float32)[labels])) == ""


def test_diagnose_kept_start_says_nothing_of_training_images():
    assert findings_of(record(), record(0, loss=math.nan, accuracy=math.nan)) == []


def test_diagnose_kept_start_is_judged_by_the_epoch_it_comes_from():
    head = [record(1, accuracy=0.9), replace(record(2, accuracy=1.0), val_loss=0.4), record(3, accuracy=0.8)]
    start = EpochRecord("blocks", 0, 0.0, math.nan, math.nan, 0.4, 0.7, 0.0)
    [(words, _)] = findings_of(*head, start, freeze="lower")
    assert words.startswith("overfitting: training accuracy 100.0 %, validation accuracy 70.0 %.")


def test_diagnosis_in_metrics_names_the_folder_and_the_options_of_the_run(finetuned, classic_result, colors):
    [finding] = finetuned.metrics.diagnosis
    assert finding["words"].startswith("only 6 validation images")
    given = finetuned.run.read_json("settings.json")
    assert accepted(finding["next"]) == settings_from(given | {"folds": 5, "engine": "auto", "resize": "auto"})
    assert finding["next"].startswith(f"tlkit finetune {colors} --backbone mobilenet_025 --freeze all")
    [finding] = classic_result.metrics.diagnosis
    assert finding["next"] == (
        f"tlkit train {colors} --validation-split 0.5 --descriptor histogram --classifier logistic"
    )
