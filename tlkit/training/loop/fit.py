"""Trains what lies above a cut, by Keras, on the features at the cut.

The loop over epochs is our own: the order of images and every random draw depend on the seed and
the epoch alone, and Keras's `fit` spends a tenth of a second per epoch around a small head.
"""

import math
import time

import keras
import numpy as np

from tlkit.errors import ModelError
from tlkit.evaluation.metrics import confusion_matrix, macro_f1
from tlkit.training.hyperparameters import steps_per_epoch
from tlkit.training.loop.batches import Samples, batch_indices, mix, prefetch
from tlkit.training.loop.checkpoint import Checkpoint, Epoch, TrainingState, seed_draws
from tlkit.training.loop.losses import LOSSES, smooth_labels
from tlkit.training.loop.optimizers import compile_model, ema_weights, plateau_factor
from tlkit.training.loop.plan import FitPlan
from tlkit.utils.progress import Progress

HISTORY_COLUMNS = ("phase", "epoch", "learning_rate", "loss", "accuracy", "val_loss", "val_accuracy", "seconds")
PREDICT_ROWS = 256  # rows evaluated at a time, at most


def fit(
    upper: keras.Model,
    train: Samples,
    validation: Samples,
    plan: FitPlan,
    progress: Progress,
    checkpoint: Checkpoint | None = None,
) -> TrainingState:
    """Train a model on features, and leave it with the weights of the best epoch.

    Where memory does not suffice, batches are halved; where the loss grows beyond all bounds,
    training goes on from the best weights so far at a smaller rate, three times at most.

    checkpoint: what the training goes on from where it is there, and what it writes as it goes
    returns: one row per epoch, with `HISTORY_COLUMNS`, and what a person should know
    raises: ModelError where memory or a rate cannot be made to do; RunError for a damaged checkpoint
    """
    keras.utils.set_random_seed(plan.seed)
    standing = _begin(upper, (train, validation), plan, checkpoint)
    with progress.stage(plan.phase, plan.epochs, "epochs") as advance:
        advance(epochs_of(standing.history))
        while not standing.ended:
            if row := _try_epoch(upper, (train, validation), plan, standing):
                standing.history.append(row)
                if best_epoch(standing.history) == row["epoch"]:
                    with ema_weights(upper, plan):
                        standing.best = upper.get_weights()
                standing.ended = _should_stop(standing.history, plan)
                progress.epoch(row)
                advance(1)
            if checkpoint and (row or standing.ended):
                checkpoint.save(upper, standing)
    upper.set_weights(standing.best)
    return standing


def epochs_of(history: list[Epoch]) -> int:
    """How many epochs a history tells of."""
    return int(history[-1]["epoch"]) if history else 0


def best_epoch(history: list[Epoch]) -> int:
    """The epoch whose weights `fit` leaves behind: counted from 1, 0 for what it started from."""
    scores = scores_of(history)
    return int(history[scores.index(min(scores))]["epoch"])


def scores_of(history: list[Epoch]) -> list[tuple[float, ...]]:
    """How good each epoch is, less is better: by its loss; where F1 decides, by that first."""
    losses = [math.inf if math.isnan(row["val_loss"]) else row["val_loss"] for row in history]
    return [(-row["f1"], loss) if "f1" in row else (loss,) for row, loss in zip(history, losses, strict=True)]


def _begin(
    upper: keras.Model, samples: tuple[Samples, Samples], plan: FitPlan, checkpoint: Checkpoint | None
) -> TrainingState:
    """Where the training stands, with the model compiled accordingly."""
    num_images = len(samples[0].targets)

    def prepare(standing: TrainingState) -> None:
        _compile(upper, plan, standing, num_images)

    if checkpoint and (kept := checkpoint.load(upper, prepare)):
        return kept
    standing = TrainingState(upper.get_weights(), min(plan.batch_size, num_images))
    prepare(standing)
    if plan.keeps_start:
        standing.history.append(_start(upper, samples[1], plan))
    return standing


def _compile(upper: keras.Model, plan: FitPlan, standing: TrainingState, num_images: int) -> None:
    steps = (plan.epochs - standing.since) * steps_per_epoch(num_images, standing.batch_size)
    compile_model(upper, plan, plan.learning_rate * standing.rate, steps)


def _should_stop(history: list[Epoch], plan: FitPlan) -> bool:
    epoch = epochs_of(history)
    return epoch == plan.epochs or epoch - best_epoch(history) >= plan.patience


def _try_epoch(
    upper: keras.Model, samples: tuple[Samples, Samples], plan: FitPlan, standing: TrainingState
) -> Epoch | None:
    """An epoch; or None where it failed, with the training put back to where it can go on."""
    try:
        row = _epoch(upper, *samples, plan, standing)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        halve_batch_size(standing, plan)
    else:
        if not has_diverged(row, samples[1].targets.shape[1]):
            return row
        reduce_learning_rate(standing, row, plan)
    if not standing.ended:
        upper.set_weights(standing.best)
        standing.since = epochs_of(standing.history)
        _compile(upper, plan, standing, len(samples[0].targets))
    return None


def _epoch(upper: keras.Model, train: Samples, validation: Samples, plan: FitPlan, standing: TrainingState) -> Epoch:
    started = time.perf_counter()
    epoch = epochs_of(standing.history) + 1
    if plan.decay == "plateau":
        share = plateau_factor(scores_of(standing.history[standing.since :]))
        upper.optimizer.learning_rate = plan.learning_rate * standing.rate * share
    seed_draws(upper, plan.seed, epoch)
    logs = _steps(upper, train, plan, standing.batch_size, epoch)
    rate = float(keras.ops.convert_to_numpy(upper.optimizer.learning_rate))
    with ema_weights(upper, plan):
        measured = _evaluate(upper, validation, plan)
    row = {"phase": plan.phase, "epoch": epoch, "learning_rate": rate}
    row |= {name: float(np.mean([log[name] for log in logs])) for name in ("loss", "accuracy")}
    return row | measured | {"seconds": round(time.perf_counter() - started, 3)}


def _steps(upper: keras.Model, train: Samples, plan: FitPlan, batch_size: int, epoch: int) -> list[dict[str, float]]:
    """Every step of an epoch: loss and accuracy of each on what it has seen."""
    features, targets, logs = train.in_epoch(epoch), smooth_labels(train.targets, plan.label_smoothing), []

    def batch_of(step: int, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        random = np.random.default_rng((plan.seed, epoch, step))
        return mix((features[rows], targets[rows], train.weights[rows]), plan.mixing, random)

    for batch in prefetch(batch_of, batch_indices(len(targets), batch_size, plan.seed, epoch)):
        upper.reset_metrics()
        logs.append(upper.train_on_batch(*batch, return_dict=True))
    return logs


def _start(upper: keras.Model, validation: Samples, plan: FitPlan) -> Epoch:
    """The row of the weights a training starts from; nothing is known of its loss on training images."""
    unknown = {"learning_rate": 0.0, "loss": np.nan, "accuracy": np.nan}
    return {"phase": plan.phase, "epoch": 0} | unknown | _evaluate(upper, validation, plan) | {"seconds": 0.0}


def _evaluate(upper: keras.Model, samples: Samples, plan: FitPlan) -> dict[str, float]:
    """The loss against the smoothed labels and the accuracy; and the macro-F1, where that decides."""
    rows = min(PREDICT_ROWS, plan.batch_size)
    starts = range(0, len(samples.targets), rows)
    shares = np.concatenate([upper.predict_on_batch(samples.features[k : k + rows]) for k in starts])
    loss = float(LOSSES[plan.loss]()(smooth_labels(samples.targets, plan.label_smoothing), shares))
    labels, predicted = samples.targets.argmax(axis=1), shares.argmax(axis=1)
    found = {"val_loss": loss, "val_accuracy": float(np.mean(predicted == labels))}
    return found | ({"f1": macro_f1(confusion_matrix(labels, predicted, shares.shape[1]))} if plan.by_f1 else {})


DIVERGENCE_FACTOR = 5.0  # times the loss of a classifier that knows nothing; at most 10, for Keras's loss ends at 16
LR_REDUCTION = 0.3  # of the rate, after a divergence
MAX_DIVERGENCES = 3
SAID = ("RESOURCE_EXHAUSTED", "OOM when allocating")  # by TensorFlow and JAX


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of any backend means that memory did not suffice."""
    names = ("ResourceExhaustedError", "OutOfMemoryError")
    named = isinstance(error, MemoryError) or type(error).__name__ in names
    return named or any(words in str(error) for words in SAID)  # Keras wraps errors of eager steps


def halve_batch_size(standing: TrainingState, plan: FitPlan) -> None:
    """raises: ModelError where a batch is one image already"""
    if standing.batch_size == 1:
        raise ModelError(
            f"memory does not suffice to train the {plan.phase} on one image at a time; "
            "choose a smaller --image-size, a higher --cut or --freeze all."
        ) from None
    standing.batch_size //= 2
    standing.notes.append(f"memory did not suffice; the {plan.phase} was trained in batches of {standing.batch_size}.")


def has_diverged(row: Epoch, num_classes: int) -> bool:
    """Whether an epoch ended in no number, or far above the loss of a classifier that knows nothing."""
    bound = min(10.0, DIVERGENCE_FACTOR * math.log(num_classes))
    return not np.isfinite([row["loss"], row["val_loss"]]).all() or row["loss"] > bound


def reduce_learning_rate(standing: TrainingState, row: Epoch, plan: FitPlan) -> None:
    """Go on at a smaller rate; after the last time end with what there is.

    raises: ModelError where there is nothing
    """
    what = f"the training of the {plan.phase} diverged in epoch {row['epoch']} (its loss was {row['loss']:.3g})"
    standing.divergences += 1
    if standing.divergences <= MAX_DIVERGENCES:
        standing.rate *= LR_REDUCTION
        rate = plan.learning_rate * standing.rate
        standing.notes.append(f"{what}; it went on from the best weights before, at a rate of {rate:.2g}.")
    elif standing.history:
        standing.ended = True
        standing.notes.append(f"{what}, at every rate tried; the best epoch before was kept.")
    else:
        raise ModelError(
            f"{what}, at smaller rates, too; choose a {plan.rate_option} far below {plan.learning_rate:g}."
        )
