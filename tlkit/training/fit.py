"""Trains what lies above a cut, by Keras, on the features at the cut.

The loop over epochs is our own: the order of images and every random draw depend on the seed and
the epoch alone, and Keras's `fit` spends a tenth of a second per epoch around a small head.
"""

import time
from dataclasses import dataclass

import keras
import numpy as np

from tlkit.errors import ModelError
from tlkit.progress import Progress
from tlkit.training.recipe import steps_per_epoch

HISTORY_COLUMNS = ("phase", "epoch", "learning_rate", "loss", "accuracy", "val_loss", "val_accuracy", "seconds")
PREDICT_ROWS = 256  # rows evaluated at a time


@dataclass(frozen=True)
class Samples:
    """Features (images, …) and one-hot float32 labels (images, classes)."""

    features: np.ndarray
    targets: np.ndarray


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


def fit(
    upper: keras.Model, train: Samples, validation: Samples, plan: Plan, progress: Progress
) -> list[dict[str, float]]:
    """Train a model on features, and leave it with the weights of the lowest validation loss.

    returns: one row per epoch, with `HISTORY_COLUMNS` but the phase
    raises: ModelError where the loss is no number any more
    """
    keras.utils.set_random_seed(plan.seed)
    batch_size = min(plan.batch_size, len(train.targets))
    _compile(upper, plan, steps_per_epoch(len(train.targets), batch_size))
    history: list[dict[str, float]] = []
    best: list[np.ndarray] = upper.get_weights()
    with progress.stage("training", plan.epochs, "epochs") as advance:
        for epoch in range(1, plan.epochs + 1):
            history.append(_epoch(upper, train, validation, plan, epoch))
            _require_finite(history[-1], plan)
            advance(1)
            if best_epoch(history) == epoch:
                best = upper.get_weights()
            if epoch - best_epoch(history) >= plan.patience:
                break
    upper.set_weights(best)
    return history


def best_epoch(history: list[dict[str, float]]) -> int:
    """The epoch, counted from 1, whose weights `fit` leaves behind."""
    return 1 + int(np.argmin(np.nan_to_num([row["val_loss"] for row in history], nan=np.inf)))


def batches(num_images: int, batch_size: int, seed: int, epoch: int) -> np.ndarray:
    """The positions of the images of every step of an epoch: (steps, batch_size).

    Every image once, in an order that depends on seed and epoch; the last batch is filled up
    with the first images, so that all have one size and none is too small for a batch norm.
    """
    order = np.random.default_rng((seed, epoch)).permutation(num_images)
    filled = np.resize(order, steps_per_epoch(num_images, batch_size) * batch_size)
    return filled.reshape(-1, batch_size)


def _epoch(upper: keras.Model, train: Samples, validation: Samples, plan: Plan, epoch: int) -> dict[str, float]:
    started = time.perf_counter()
    logs = []
    for rows in batches(len(train.targets), min(plan.batch_size, len(train.targets)), plan.seed, epoch):
        upper.reset_metrics()
        logs.append(upper.train_on_batch(train.features[rows], train.targets[rows], return_dict=True))
    loss, accuracy = _evaluate(upper, validation, plan.label_smoothing)
    return {
        "epoch": epoch,
        "learning_rate": float(keras.ops.convert_to_numpy(upper.optimizer.learning_rate)),
        "loss": float(np.mean([log["loss"] for log in logs])),
        "accuracy": float(np.mean([log["accuracy"] for log in logs])),
        "val_loss": loss,
        "val_accuracy": accuracy,
        "seconds": round(time.perf_counter() - started, 3),
    }


def _require_finite(row: dict[str, float], plan: Plan) -> None:
    if not np.isfinite([row["loss"], row["val_loss"]]).all():
        raise ModelError(
            f"the loss was no number any more in epoch {row['epoch']}; "
            f"choose a --learning-rate below {plan.learning_rate:g}."
        )


def _evaluate(upper: keras.Model, samples: Samples, label_smoothing: float) -> tuple[float, float]:
    """Cross-entropy against the smoothed labels, and accuracy."""
    starts = range(0, len(samples.targets), PREDICT_ROWS)
    shares = np.concatenate([upper.predict_on_batch(samples.features[k : k + PREDICT_ROWS]) for k in starts])
    smooth = samples.targets * (1 - label_smoothing) + label_smoothing / samples.targets.shape[1]
    loss = -np.mean(np.sum(smooth * np.log(np.clip(shares, 1e-7, 1)), axis=1))
    return float(loss), float(np.mean(shares.argmax(axis=1) == samples.targets.argmax(axis=1)))


def _compile(upper: keras.Model, plan: Plan, steps: int) -> None:
    """AdamW with a cosine to zero; biases and norms are spared the decay."""
    schedule = keras.optimizers.schedules.CosineDecay(plan.learning_rate, plan.epochs * steps)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=plan.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=plan.label_smoothing)
    upper.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)
