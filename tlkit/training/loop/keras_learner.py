"""A Keras model as the loop trains it."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import keras
import numpy as np

from tlkit.training.loop.batches import Batch
from tlkit.training.loop.keras_losses import LOSSES
from tlkit.training.loop.optimizers import compile_model, ema_weights
from tlkit.training.loop.plan import FitPlan


class KerasLearner:
    """A Keras model as a `Learner`."""

    def __init__(self, model: keras.Model) -> None:
        self.model = model

    def prepare(self, plan: FitPlan, steps: int, lr_scale: float) -> None:
        """Compile the model with a new optimizer."""
        keras.utils.set_random_seed(plan.seed)
        compile_model(self.model, plan.optimizer, LOSSES[plan.loss](), steps, lr_scale)
        self._plan, self._peak = plan, plan.optimizer.learning_rate * lr_scale

    def start_epoch(self, seed: int, epoch: int, lr_factor: float) -> None:
        """Seed its layers, and reset its metrics."""
        if self._plan.optimizer.schedule == "plateau":
            self.model.optimizer.learning_rate = self._peak * lr_factor
        seed_draws(self.model, seed, epoch)
        self.model.reset_metrics()

    def step(self, batch: Batch) -> tuple[Any, Any]:
        """Take a step as Keras's `train_on_batch` does, but keep the metrics.

        To reset them takes as long as a small step.
        """
        means: Mapping[str, Any]
        if self.model.train_function is None:  # not built since the model was compiled
            means = self.model.train_on_batch(*batch, return_dict=True)
        else:
            means = self.model.train_function(iter((batch,)))
        return means["loss"], means["accuracy"]

    @property
    def learning_rate(self) -> float:
        """The learning rate that the optimizer has reached."""
        return float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Give probabilities."""
        return np.asarray(self.model.predict_on_batch(features))

    def losses(self, targets: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """Compute the loss of each image."""
        measure = LOSSES[self._plan.loss](reduction=None)
        return np.asarray(keras.ops.convert_to_numpy(measure(targets, probabilities)))

    def averaged(self) -> AbstractContextManager[None]:
        """Put the moving average of the weights into the model for a while, where one is kept."""
        return ema_weights(self.model, self._plan.optimizer)

    def get_weights(self) -> list[np.ndarray]:
        """Copy the weights."""
        return list(self.model.get_weights())

    def set_weights(self, weights: Sequence[np.ndarray]) -> None:
        """Replace the weights."""
        self.model.set_weights(list(weights))

    def get_state(self) -> list[np.ndarray]:
        """Give the variables of the model and of the optimizer."""
        return [np.asarray(variable) for variable in self._variables()]

    def set_state(self, state: Sequence[np.ndarray]) -> None:
        """Continue from a checkpoint."""
        for variable, value in zip(self._variables(), state, strict=True):
            variable.assign(value)

    def _variables(self) -> list[Any]:
        self.model.optimizer.build(self.model.trainable_variables)
        return [*self.model.weights, *self.model.optimizer.variables]


def seed_draws(model: keras.Model, seed: int, epoch: int) -> None:
    """Make every random draw of an epoch, such as dropout's, depend on seed, epoch and layer alone.

    Layers that draw are counted from the output down, so that a network and its top draw alike.
    """
    generators = [getattr(layer, "seed_generator", None) for layer in reversed(model.layers)]
    for rank, generator in enumerate(generator for generator in generators if generator is not None):
        drawn = np.random.SeedSequence((seed, epoch, rank)).generate_state(2)
        generator.state.assign(drawn.astype(generator.state.dtype))
