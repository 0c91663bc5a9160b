"""Records of epochs, which make a history. It imports no Keras."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

HISTORY_COLUMNS = ("phase", "epoch", "learning_rate", "loss", "accuracy", "val_loss", "val_accuracy", "seconds")


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of a phase.

    epoch               counted from 1; 0 for the weights a phase started from
    learning_rate       at its last step
    loss, accuracy      on the training images, while they were trained on; NaN for epoch 0
    val_loss            on the validation images, against smoothed labels; likewise val_accuracy
    val_f1              macro-F1 on the validation images, where that decides which epoch is best
    """

    phase: str
    epoch: int
    learning_rate: float
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    seconds: float
    val_f1: float | None = None

    @property
    def score(self) -> tuple[float, ...]:
        """The quality of the epoch, less is better: its loss; where F1 decides, that first."""
        loss = math.inf if math.isnan(self.val_loss) else self.val_loss
        return (loss,) if self.val_f1 is None else (-self.val_f1, loss)

    def as_row(self) -> dict[str, Any]:
        """Give the row of history.csv, by `HISTORY_COLUMNS`."""
        return {name: getattr(self, name) for name in HISTORY_COLUMNS}


def best_epoch(history: Sequence[EpochRecord]) -> int:
    """Find the epoch whose weights are kept: counted from 1, 0 for the weights a phase started from."""
    return min(history, key=lambda record: record.score).epoch
