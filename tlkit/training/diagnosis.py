"""Diagnosis of a training from its history, with the next command to try."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tlkit.evaluation.metrics import difference_interval
from tlkit.evaluation.report import Report
from tlkit.training.loop.history import EpochRecord

HIGH_LOSS = 1.2  # times the loss of an untrained classifier, in the first epoch
FEW_IMAGES = 100  # held out, below which an accuracy is known to ten points at best
OVERFITTING_GAP = 0.03  # of accuracy, between training and validation: the whole 95 % interval of the gap lies above
UNDERFITTING = 0.8  # of the training images correct at the end, below which there is more to learn


class Advice(Protocol):
    """The advice of the last phase of a training: `Phase`."""

    overfitting: str
    underfitting: str


@dataclass(frozen=True)
class Diagnosis:
    """One finding.

    finding     what was seen, and what it means
    suggestion  options to try, as typed
    """

    finding: str
    suggestion: str

    def as_json(self) -> dict[str, str]:
        """Give the entry of metrics.json."""
        return {"words": self.finding, "next": self.suggestion}


@dataclass(frozen=True)
class FitEvidence:
    """The evidence for a diagnosis.

    history  of every phase
    best     the epoch whose weights were kept
    loss     its name
    advice   of the last phase
    cross_validated  whether `--folds` measures on every image
    """

    history: Sequence[EpochRecord]
    best: EpochRecord
    num_classes: int
    num_train: int
    num_validation: int
    cross_validated: bool
    loss: str
    advice: Advice


def diagnose(evidence: FitEvidence) -> list[Diagnosis]:
    """Find what is the matter, the gravest first; nothing where nothing is."""
    checks = (_check_learning_rate, _check_num_validation, _check_fit)
    return [finding for check in checks if (finding := check(evidence))]


def few_images(num_validation: int) -> str:
    """Say what is the matter with fewer than `FEW_IMAGES`."""
    return f"only {num_validation} validation images: the accuracy is too uncertain to compare models"


def check_baseline(report: Report) -> Diagnosis | None:
    """Find out whether a classifier is no better than always answering the same class."""
    if report.beats_baseline:
        return None
    name, accuracy = report.baseline
    return Diagnosis(
        f"the accuracy ({100 * report.accuracy:.1f} %) is not significantly better than always answering '{name}' "
        f"({100 * accuracy:.1f} %): nothing was learned, or there are too few images to show it. Check the labels.",
        "`tlkit compare`, which trains simpler and larger models on the same images",
    )


def _check_learning_rate(evidence: FitEvidence) -> Diagnosis | None:
    first = next((record for record in evidence.history if record.epoch == 1), None)
    bound = HIGH_LOSS * math.log(evidence.num_classes)
    if not first or not first.loss > bound or evidence.loss != "cross-entropy":
        return None
    peak = max(record.learning_rate for record in evidence.history if record.phase == first.phase)
    return Diagnosis(
        f"learning rate too high: the loss of the first epoch is {first.loss:.2f}, above {bound:.2f} "
        "(1.2 times the loss of random guessing).",
        f"--learning-rate {peak / 3:.1g}, or `tlkit lr-find`",
    )


def _check_num_validation(evidence: FitEvidence) -> Diagnosis | None:
    if evidence.num_validation >= FEW_IMAGES or evidence.cross_validated:
        return None
    return Diagnosis(f"{few_images(evidence.num_validation)}.", "--folds 5 to measure on every image")


def _check_fit(evidence: FitEvidence) -> Diagnosis | None:
    """Over- or underfitting; training accuracy is measured with dropout, so the gap is rather larger."""
    training, validation = evidence.best.accuracy, evidence.best.val_accuracy
    if math.isnan(training):
        return None
    counts = [
        (round(accuracy * total), total)
        for accuracy, total in ((training, evidence.num_train), (validation, evidence.num_validation))
    ]
    accuracies = f"training accuracy {100 * training:.1f} %, validation accuracy {100 * validation:.1f} %."
    if difference_interval(*counts)[0] > OVERFITTING_GAP:
        return Diagnosis(
            f"overfitting: {accuracies}", f"more images of the confused classes, {evidence.advice.overfitting}"
        )
    if training < UNDERFITTING and validation < UNDERFITTING:
        return Diagnosis(f"underfitting: {accuracies}", evidence.advice.underfitting)
    return None
