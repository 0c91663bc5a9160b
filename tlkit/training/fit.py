"""Trains what lies above a cut, by Keras, on the features at the cut."""

import time
from dataclasses import dataclass

import keras
import numpy as np

from tlkit.progress import Progress
from tlkit.training.recipe import steps_per_epoch

HISTORY_COLUMNS = ("phase", "epoch", "learning_rate", "loss", "accuracy", "val_loss", "val_accuracy", "seconds")
STEPS_AT_ONCE = 16  # steps Keras runs before it returns to Python: on a small head, half the time


@dataclass(frozen=True)
class Samples:
    """Features (images, …) and int32 labels (images,)."""

    features: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Plan:
    """How to train: passes, images per step, AdamW's first rate and decay, patience in epochs."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    label_smoothing: float
    patience: int
    seed: int


def fit(upper: keras.Model, train: Samples, validation: Samples, plan: Plan, progress: Progress) -> list[dict[str, float]]:
    """Train a model on features, and leave it with the weights of the lowest validation loss.

    returns: one row per epoch, with `HISTORY_COLUMNS` but the phase
    """
    keras.utils.set_random_seed(plan.seed)
    batch_size = min(plan.batch_size, len(train.labels))
    steps = steps_per_epoch(len(train.labels), batch_size)
    upper.compile(
        _optimizer(plan, steps),
        keras.losses.CategoricalCrossentropy(label_smoothing=plan.label_smoothing),
        metrics=["accuracy"],
        steps_per_execution=min(STEPS_AT_ONCE, steps),
    )
    stopping = keras.callbacks.EarlyStopping(monitor="val_loss", patience=plan.patience, restore_best_weights=True)
    with progress.stage("training", plan.epochs, "epochs") as advance:
        log = _Log(advance)
        upper.fit(
            train.features,
            _one_hot(train.labels, upper),
            batch_size=batch_size,
            epochs=plan.epochs,
            validation_data=(validation.features, _one_hot(validation.labels, upper)),
            validation_batch_size=256,
            callbacks=[stopping, log],
            verbose=0,
        )
    return log.rows


def best_epoch(history: list[dict[str, float]]) -> int:
    """The epoch, counted from 1, whose weights `fit` leaves behind."""
    return 1 + int(np.argmin([row["val_loss"] for row in history]))


def _one_hot(labels: np.ndarray, upper: keras.Model) -> np.ndarray:
    return np.eye(upper.output.shape[-1], dtype=np.float32)[labels]


def _optimizer(plan: Plan, steps: int) -> keras.optimizers.Optimizer:
    """AdamW with a cosine to zero; biases and norms are spared the decay."""
    schedule = keras.optimizers.schedules.CosineDecay(plan.learning_rate, plan.epochs * steps)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=plan.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


class _Log(keras.callbacks.Callback):
    """One row per epoch, and a tick on the progress bar."""

    def __init__(self, advance) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.rows: list[dict[str, float]] = []
        self._advance, self._started = advance, time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Keras calls this."""
        now = time.perf_counter()
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        seconds = round(now - self._started, 3)
        self.rows.append({"epoch": epoch + 1, "learning_rate": rate, **(logs or {}), "seconds": seconds})
        self._started = now
        self._advance(1)
