"""What a training's history tells, in plain words, with the next command to try."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tlkit.settings.training import TrainingSettings

HIGH_LOSS = 1.2  # times the loss of a classifier that knows nothing, in the first epoch
FEW_IMAGES = 100  # held out, below which an accuracy is known to ten points at best
OVERFITTING_GAP = 0.12  # of accuracy, between training and validation, that is overfitting
UNDERFITTING = 0.8  # of the training images right at the end, below which there is more to learn

Epoch = dict[str, Any]


@dataclass(frozen=True)
class Diagnosis:
    """One finding.

    words  what was seen, and what it means
    next   options to try, as typed
    """

    words: str
    next: str


@dataclass(frozen=True)
class FitEvidence:
    """What a diagnosis is made from.

    history  of every phase
    kept     the row of the epoch whose weights were kept
    """

    history: list[Epoch]
    kept: Epoch
    num_classes: int
    num_validation: int
    settings: TrainingSettings


def diagnose(seen: FitEvidence) -> list[Diagnosis]:
    """What is the matter, the gravest first; nothing where nothing is."""
    return [found for check in (_rate, _few, _fit) if (found := check(seen))]


def _rate(seen: FitEvidence) -> Diagnosis | None:
    first = next((row for row in seen.history if row["epoch"] == 1), None)
    bound = HIGH_LOSS * math.log(seen.num_classes)
    if not first or not first["loss"] > bound or seen.settings.loss != "cross-entropy":
        return None
    rate = max(row["learning_rate"] for row in seen.history if row["phase"] == first["phase"])
    return Diagnosis(
        f"the first epoch's loss was {first['loss']:.2f}, more than {bound:.2f} (1.2 times that of a classifier that "
        "knows nothing): the learning rate is too high.",
        f"--learning-rate {rate / 3:.1g}, or `tlkit lr-find`",
    )


def _few(seen: FitEvidence) -> Diagnosis | None:
    if seen.num_validation >= FEW_IMAGES:
        return None
    return Diagnosis(f"{few_images(seen.num_validation)}.", "--folds 5, which measures on every image")


def few_images(num_validation: int) -> str:
    """What is the matter with fewer than `FEW_IMAGES`."""
    return f"too few images to validate on ({num_validation}) to tell a good classifier from a fair one"


def _fit(seen: FitEvidence) -> Diagnosis | None:
    """Over- or underfitting; training accuracy is measured with dropout, so the gap is rather larger."""
    training, validation = seen.kept["accuracy"], seen.kept["val_accuracy"]
    if math.isnan(training):
        return None
    for is_so, words, advice in FITS:
        if is_so(training, validation):
            said = f"{training:.2f} of the training and {validation:.2f} of the validation images are right: "
            return Diagnosis(said + words, advice(seen.settings))
    return None


Fit = tuple[Callable[[float, float], bool], str, Callable[[TrainingSettings], str]]
FITS: tuple[Fit, ...] = (
    (
        lambda training, validation: training - validation > OVERFITTING_GAP,
        "it learns the training images by heart (overfitting).",
        lambda settings: (
            "more photos of the mistaken classes, "
            + ("--dropout 0.7" if settings.freeze == "all" else "--augment medium")
        ),
    ),
    (
        lambda training, validation: training < UNDERFITTING and validation < UNDERFITTING,
        "it could learn more (underfitting).",
        lambda settings: {"all": "--freeze lower", "lower": "--upper-epochs 20", "none": "more --epochs"}.get(
            settings.freeze, "--freeze lower"
        ),
    ),
)
