"""Diagnosis of a training from its history, with the next command to try."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from tlkit.evaluation.metrics import difference_interval
from tlkit.evaluation.report import Report
from tlkit.settings.base import command_line
from tlkit.settings.commands import CompareSettings
from tlkit.training.loop.history import EpochRecord, best_epoch
from tlkit.utils.storage import Location

HIGH_LOSS = 1.2  # times the loss of an untrained classifier, in the first epoch
FEW_IMAGES = 100  # held out, below which an accuracy is known to ten points at best
NUM_FOLDS = 5  # that are advised
OVERFITTING_GAP = 0.03  # of accuracy, between training and validation: the whole 95 % interval of the gap lies above
UNDERFITTING = 0.8  # of the training images correct at the end, below which there is more to learn


class Advice(Protocol):
    """The options that the last phase of a training advises, by name: `Phase`."""

    overfitting: Mapping[str, Any]
    underfitting: Mapping[str, Any]


@dataclass(frozen=True)
class TrainingRequest:
    """A training as it was asked for: the command, the options as they were given, and DATA."""

    command: str
    options: Any
    data: Location

    def command_with(self, changes: Mapping[str, Any]) -> str:
        """Write the command with some options changed; "" if that changes nothing."""
        changed = replace(self.options, **changes)
        return "" if changed == self.options else command_line(self.command, changed, self.data)

    def comparison(self) -> str:
        """Write the command that compares other models on the same images."""
        return command_line("compare", CompareSettings(), self.data)


@dataclass(frozen=True)
class Diagnosis:
    """One finding.

    Attributes:
        finding: what was seen, and what it means
        changes: options to try, by name
    """

    finding: str
    changes: Mapping[str, Any]


@dataclass(frozen=True)
class FitEvidence:
    """The evidence for a diagnosis.

    Attributes:
        history: of every phase
        best: the epoch whose weights were kept
        loss: its name
        advice: of the last phase
        given: the options as they were given
        can_fold: whether `--folds` could measure on every image
    """

    history: Sequence[EpochRecord]
    best: EpochRecord
    num_classes: int
    num_train: int
    num_validation: int
    can_fold: bool
    loss: str
    advice: Advice
    given: Any


def diagnose(evidence: FitEvidence) -> list[Diagnosis]:
    """List the findings, the most serious first."""
    checks = (_check_learning_rate, _check_num_validation, _check_fit)
    return [finding for check in checks if (finding := check(evidence))]


def few_images(num_validation: int) -> str:
    """Say what fewer than `FEW_IMAGES` mean for the accuracy."""
    return f"only {num_validation} validation images: the accuracy is too uncertain to compare models"


def check_baseline(report: Report) -> str:
    """Say so if a classifier is not significantly better than always answering the same class; "" if it is."""
    if report.beats_baseline:
        return ""
    name, accuracy = report.baseline
    return (
        f"the accuracy ({100 * report.accuracy:.1f} %) is not significantly better than always answering '{name}' "
        f"({100 * accuracy:.1f} %): nothing was learned, or there are too few images to show it. Check the labels, "
        "and compare other models."
    )


def _check_learning_rate(evidence: FitEvidence) -> Diagnosis | None:
    first = next((record for record in evidence.history if record.epoch == 1), None)
    bound = HIGH_LOSS * math.log(evidence.num_classes)
    if not first or not first.loss > bound or evidence.loss != "cross-entropy":
        return None
    name = "upper_learning_rate" if first.phase == "blocks" else "learning_rate"
    rates = [record.learning_rate for record in evidence.history if record.phase == first.phase]
    peak = getattr(evidence.given, name) or max(rates)  # after a single epoch a schedule has ended at 0
    return Diagnosis(
        f"learning rate too high: the loss of the first epoch is {first.loss:.2f}, above {bound:.2f} "
        "(1.2 times the loss of random guessing). Try a lower one; `tlkit lr-find` suggests one.",
        {name: float(f"{peak / 3:.1g}")} if peak else {},
    )


def _check_num_validation(evidence: FitEvidence) -> Diagnosis | None:
    if evidence.num_validation >= FEW_IMAGES or evidence.given.folds:
        return None
    if not evidence.can_fold:
        return Diagnosis(f"{few_images(evidence.num_validation)}. Add images.", {})
    return Diagnosis(f"{few_images(evidence.num_validation)}. Measure on every image.", {"folds": NUM_FOLDS})


def _check_fit(evidence: FitEvidence) -> Diagnosis | None:
    """Find over- or underfitting; training accuracy is measured with dropout, so the gap is larger than it seems."""
    training, validation = _training_accuracy(evidence), evidence.best.val_accuracy
    if math.isnan(training):
        return None
    counts = [
        (round(accuracy * total), total)
        for accuracy, total in ((training, evidence.num_train), (validation, evidence.num_validation))
    ]
    accuracies = f"training accuracy {100 * training:.1f} %, validation accuracy {100 * validation:.1f} %."
    if difference_interval(*counts)[0] > OVERFITTING_GAP:
        words = f"overfitting: {accuracies} More images of the confused classes help most."
        return Diagnosis(words, _stronger(evidence.advice.overfitting, evidence.given))
    if training < UNDERFITTING and validation < UNDERFITTING:
        longer = {"time_limit": ""} if getattr(evidence.given, "time_limit", "") else evidence.advice.underfitting
        words = f"underfitting: {accuracies} Even the training images are not learned yet; train more."
        return Diagnosis(words, _stronger(longer, evidence.given))
    return None


def _training_accuracy(evidence: FitEvidence) -> float:
    """Give the accuracy on the training images; of weights that a phase started from, that of the phase before."""
    if evidence.best.epoch:
        return evidence.best.accuracy
    before = [record for record in evidence.history if record.phase != evidence.best.phase]
    epoch = best_epoch(before) if before else 0
    return next((record.accuracy for record in before if record.epoch == epoch), math.nan)


def _stronger(advised: Mapping[str, Any], given: Any) -> Mapping[str, Any]:
    """Leave out of the advised options what was given as high, or higher."""
    return {name: value for name, value in advised.items() if isinstance(value, str) or value > getattr(given, name)}
