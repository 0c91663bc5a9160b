"""The history of a training: one record per epoch, and which epoch is best. It imports no Keras."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

LOSS, MACRO_F1, BALANCED_LOSS = "loss", "macro-F1", "balanced loss"  # on the validation images; the last: of each class
IMBALANCE_RATIO = 3.0  # times as many training images in the commonest class as in the rarest: the loss misleads
MIN_F1_IMAGES = 5  # of every class, held out: the F1 of fewer jumps with a single image
SELECTED_BY = {  # in words
    MACRO_F1: "macro-F1",
    BALANCED_LOSS: f"the mean of the classes' losses, because a class has fewer than {MIN_F1_IMAGES} validation images",
}
PLATEAU_PATIENCE, PLATEAU_FACTOR = 3, 0.3  # after 3 epochs without a better one, times 0.3
HISTORY_COLUMNS = ("phase", "epoch", "learning_rate", "loss", "accuracy", "val_loss", "val_accuracy", "seconds")


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of a phase.

    Attributes:
        epoch: counted from 1; 0 for the weights a phase started from
        learning_rate: at its last step
        loss, accuracy: on the training images, while they were trained on; NaN for epoch 0
        val_loss: on the validation images, against smoothed labels; likewise val_accuracy
        val_criterion: what decides which epoch is best, where that is not the loss: less is better
    """

    phase: str
    epoch: int
    learning_rate: float
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    seconds: float
    val_criterion: float | None = None

    @property
    def score(self) -> tuple[float, ...]:
        """The quality of the epoch, less is better: its loss; where another criterion decides, that first."""
        values = (self.val_loss,) if self.val_criterion is None else (self.val_criterion, self.val_loss)
        return tuple(math.inf if math.isnan(value) else value for value in values)

    def as_row(self) -> dict[str, Any]:
        """Give the row of history.csv, by `HISTORY_COLUMNS`."""
        return {name: getattr(self, name) for name in HISTORY_COLUMNS}


def best_epoch(history: Sequence[EpochRecord]) -> int:
    """Find the epoch whose weights are kept: counted from 1, 0 for the weights a phase started from."""
    return min(history, key=lambda record: record.score).epoch


def choose_criterion(training_labels: np.ndarray, validation_labels: np.ndarray) -> str:
    """Choose what decides which epoch is best: the loss, unless it misleads, for classes are of very different sizes.

    Then it is the macro-F1; and where a class has too few validation images for that, the mean of the classes' losses.
    """
    if not is_imbalanced(training_labels):
        return LOSS
    counts = np.bincount(validation_labels, minlength=int(training_labels.max()) + 1)
    return MACRO_F1 if counts.min() >= MIN_F1_IMAGES else BALANCED_LOSS


def is_imbalanced(labels: np.ndarray) -> bool:
    """Tell whether the commonest class has at least `IMBALANCE_RATIO` times the images of the rarest."""
    counts = np.bincount(labels)
    return bool(counts.max() >= IMBALANCE_RATIO * max(1, counts[counts > 0].min()))


def plateau_factor(scores: Sequence[Any]) -> float:
    """Compute what is left of the learning rate after epochs with these scores; less is better.

    >>> plateau_factor([3, 2, 2, 2]), round(plateau_factor([3, 2, 2, 2, 2]), 3), plateau_factor([])
    (1.0, 0.3, 1.0)
    """
    best, waited, factor = None, 0, 1.0
    for score in scores:
        is_better = best is None or score < best
        best, waited = (score, 0) if is_better else (best, waited + 1)
        if waited == PLATEAU_PATIENCE:
            factor, waited = factor * PLATEAU_FACTOR, 0
    return factor
