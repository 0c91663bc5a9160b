"""The interface between the loop over epochs and what it trains: a Keras model, or a head in NumPy."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np

from tlkit.training.loop.batches import Batch
from tlkit.training.loop.plan import FitPlan


class Learner(Protocol):
    """A classifier with an optimizer, trained batch by batch."""

    @property
    def learning_rate(self) -> float:
        """The learning rate that the last step has left."""

    def prepare(self, plan: FitPlan, steps: int, lr_scale: float) -> None:
        """Start with a new optimizer.

        Args:
            steps: in all
            lr_scale: of the learning rate
        """

    def start_epoch(self, seed: int, epoch: int, lr_factor: float) -> None:
        """Make every random draw depend on seed and epoch, and forget the means of the epoch before.

        Args:
            lr_factor: of the learning rate, where its schedule is "plateau"
        """

    def step(self, batch: Batch) -> tuple[Any, Any]:
        """Take a step, and give the means of loss and accuracy over the epoch so far."""

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Give probabilities, float32 (images, classes)."""

    def losses(self, targets: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """Compute the loss of each image."""

    def averaged(self) -> AbstractContextManager[None]:
        """Put the moving average of the weights into the classifier for a while, where one is kept."""

    def get_weights(self) -> list[np.ndarray]:
        """Copy the weights."""

    def set_weights(self, weights: Sequence[np.ndarray]) -> None:
        """Replace the weights."""

    def get_state(self) -> list[np.ndarray]:
        """Give the weights and what the optimizer keeps, for a checkpoint."""

    def set_state(self, state: Sequence[np.ndarray]) -> None:
        """Continue from a checkpoint."""
