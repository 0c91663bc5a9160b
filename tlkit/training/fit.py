"""Trains what lies above a cut, by Keras, on the features at the cut.

The loop over epochs is our own: the order of images and every random draw depend on the seed and
the epoch alone, and Keras's `fit` spends a tenth of a second per epoch around a small head.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from tlkit.errors import ModelError
from tlkit.features import KeptRows
from tlkit.progress import Progress
from tlkit.training.checkpoint import Checkpoint, seed_draws
from tlkit.training.recipe import steps_per_epoch

HISTORY_COLUMNS = ("phase", "epoch", "learning_rate", "loss", "accuracy", "val_loss", "val_accuracy", "seconds")
Epoch = dict[str, Any]  # one row of the history
PREDICT_ROWS = 256  # rows evaluated at a time


@dataclass(frozen=True)
class Samples:
    """Features (images, …), in memory or on disk, and one-hot float32 labels (images, classes)."""

    features: np.ndarray | KeptRows
    targets: np.ndarray


@dataclass(frozen=True)
class Plan:
    """How to train: passes, images per step, AdamW's largest rate and decay, patience in epochs.

    phase         what `history.csv` calls it
    warm_up       share of the steps in which the rate rises from 0
    rates         of the rate, by the path of a variable: how much of it moves that one; 1 where not named
    keeps_start   whether the weights it starts from are kept where no epoch is better; history then
                  has an epoch 0
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    label_smoothing: float
    patience: int
    seed: int
    phase: str = "head"
    warm_up: float = 0.0
    rates: Mapping[str, float] = field(default_factory=dict)
    keeps_start: bool = False


def fit(
    upper: keras.Model,
    train: Samples,
    validation: Samples,
    plan: Plan,
    progress: Progress,
    checkpoint: Checkpoint | None = None,
) -> list[Epoch]:
    """Train a model on features, and leave it with the weights of the lowest validation loss.

    checkpoint: what the training goes on from where it is there, and what it writes as it goes
    returns: one row per epoch, with `HISTORY_COLUMNS`
    raises: ModelError where the loss is no number any more; RunError for a damaged checkpoint
    """
    keras.utils.set_random_seed(plan.seed)
    _compile(upper, plan, steps_per_epoch(len(train.targets), min(plan.batch_size, len(train.targets))))
    best, history, ended = _begin(upper, validation, plan, checkpoint)
    with progress.stage(plan.phase, plan.epochs, "epochs") as advance:
        advance(passed := epochs_of(history))
        for epoch in range(passed + 1, plan.epochs + 1 if not ended else 0):
            history.append(_epoch(upper, train, validation, plan, epoch))
            _require_finite(history[-1], plan)
            advance(1)
            if best_epoch(history) == epoch:
                best = upper.get_weights()
            ended = epoch == plan.epochs or epoch - best_epoch(history) >= plan.patience
            if checkpoint:
                checkpoint.save(upper, best, history, is_last=ended)
            if ended:
                break
    upper.set_weights(best)
    return history


def epochs_of(history: list[Epoch]) -> int:
    """How many epochs a history tells of."""
    return int(history[-1]["epoch"]) if history else 0


def _begin(
    upper: keras.Model, validation: Samples, plan: Plan, checkpoint: Checkpoint | None
) -> tuple[list[np.ndarray], list[Epoch], bool]:
    """The best weights and the history so far, and whether training has ended."""
    if checkpoint and (kept := checkpoint.load(upper)):
        return kept
    return upper.get_weights(), [_start(upper, validation, plan)] if plan.keeps_start else [], False


def best_epoch(history: list[Epoch]) -> int:
    """The epoch whose weights `fit` leaves behind: counted from 1, 0 for what it started from."""
    return int(history[int(np.argmin(np.nan_to_num([row["val_loss"] for row in history], nan=np.inf)))]["epoch"])


def batches(num_images: int, batch_size: int, seed: int, epoch: int) -> np.ndarray:
    """The positions of the images of every step of an epoch: (steps, batch_size).

    Every image once, in an order that depends on seed and epoch; the last batch is filled up
    with the first images, so that all have one size and none is too small for a batch norm.
    """
    order = np.random.default_rng((seed, epoch)).permutation(num_images)
    filled = np.resize(order, steps_per_epoch(num_images, batch_size) * batch_size)
    return filled.reshape(-1, batch_size)


def _epoch(upper: keras.Model, train: Samples, validation: Samples, plan: Plan, epoch: int) -> Epoch:
    started = time.perf_counter()
    logs = []
    features = train.features.in_epoch(epoch) if isinstance(train.features, KeptRows) else train.features
    seed_draws(upper, plan.seed, epoch)
    for rows in batches(len(train.targets), min(plan.batch_size, len(train.targets)), plan.seed, epoch):
        upper.reset_metrics()
        logs.append(upper.train_on_batch(features[rows], train.targets[rows], return_dict=True))
    loss, accuracy = _evaluate(upper, validation, plan.label_smoothing)
    return {
        "phase": plan.phase,
        "epoch": epoch,
        "learning_rate": float(keras.ops.convert_to_numpy(upper.optimizer.learning_rate)),
        "loss": float(np.mean([log["loss"] for log in logs])),
        "accuracy": float(np.mean([log["accuracy"] for log in logs])),
        "val_loss": loss,
        "val_accuracy": accuracy,
        "seconds": round(time.perf_counter() - started, 3),
    }


def _start(upper: keras.Model, validation: Samples, plan: Plan) -> Epoch:
    """The row of the weights a training starts from; nothing is known of its loss on training images."""
    loss, accuracy = _evaluate(upper, validation, plan.label_smoothing)
    unknown = {"learning_rate": 0.0, "loss": np.nan, "accuracy": np.nan}
    return {"phase": plan.phase, "epoch": 0} | unknown | {"val_loss": loss, "val_accuracy": accuracy, "seconds": 0.0}


def _require_finite(row: Epoch, plan: Plan) -> None:
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
    """AdamW with a rise from 0 and a cosine back to it; biases and norms are spared the decay."""
    total = plan.epochs * steps
    rise = round(plan.warm_up * total)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0 if rise else plan.learning_rate, total - rise, warmup_target=plan.learning_rate, warmup_steps=rise
    )
    optimizer = LayerwiseAdamW(plan.rates, schedule, weight_decay=plan.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=plan.label_smoothing)
    upper.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)


class LayerwiseAdamW(keras.optimizers.AdamW):  # type: ignore[misc]
    """AdamW with a rate of its own for each variable (layer-wise decay: Howard and Ruder 2018).

    rates: share of the learning rate by a variable's path; 1 where not named
    """

    def __init__(self, rates: Mapping[str, float], *positional: Any, **options: Any) -> None:
        super().__init__(*positional, **options)
        self._rate_by_path = dict(rates)
        self._rates: list[float] = []

    def build(self, variables: list[Any]) -> None:
        """See `keras.optimizers.Optimizer`."""
        super().build(variables)
        self._rates = [self._rate_by_path.get(variable.path, 1.0) for variable in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """See `keras.optimizers.Optimizer`."""
        rate = self._rates[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * rate)
