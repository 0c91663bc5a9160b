"""Training of a classifier on features: epochs, early stopping, recovery.

The loop over epochs is our own: the order of images and every random draw depend on the seed and
the epoch alone, and Keras's `fit` spends a tenth of a second per epoch around a small head.
"""

import math
import time

import numpy as np

from tlkit.errors import ModelError
from tlkit.evaluation.metrics import confusion_matrix, macro_f1
from tlkit.training.loop.batches import Batch, Samples, in_batches, mix, prefetch, steps_per_epoch
from tlkit.training.loop.checkpoint import Checkpoint, TrainingState
from tlkit.training.loop.history import BALANCED_LOSS, MACRO_F1, EpochRecord, best_epoch, plateau_factor
from tlkit.training.loop.learner import Learner
from tlkit.training.loop.losses import divergence_bound, smooth_labels
from tlkit.training.loop.plan import FitPlan
from tlkit.utils.progress import Progress

PREDICT_BATCH = 256  # images evaluated at a time, at most
JUDGED = 1 << 14  # images whose probabilities are held at a time
LR_REDUCTION = 0.3  # of the learning rate, after a divergence
MAX_DIVERGENCES = 3
OUT_OF_MEMORY_MESSAGES = ("RESOURCE_EXHAUSTED", "OOM when allocating")  # of TensorFlow and JAX


def fit(
    learner: Learner,
    train: Samples,
    validation: Samples,
    plan: FitPlan,
    progress: Progress,
    checkpoint: Checkpoint | None = None,
) -> TrainingState:
    """Train a classifier, and leave it with the weights of the best epoch.

    If a batch does not fit into memory, the batch size is halved; if the loss diverges, training
    restarts from the best weights at a lower learning rate, three times at most.

    Args:
        checkpoint: training continues from it where it exists, and writes it after epochs

    Returns:
        One record per epoch, and what a person should know

    Raises:
        ModelError: if neither helps
        RunError: for a damaged checkpoint
    """
    state = _start(learner, (train, validation), plan, checkpoint)
    with progress.stage(plan.phase, plan.epochs, "epochs") as advance:
        advance(state.epoch)
        while not state.ended:
            if record := _try_epoch(learner, (train, validation), plan, state):
                state.history.append(record)
                if best_epoch(state.history) == record.epoch:
                    with learner.averaged():
                        state.best = learner.get_weights()
                state.ended = _should_stop(state, plan) or _is_out_of_time(state, plan)
                progress.on_epoch_end(record.as_row() | {"best_epoch": best_epoch(state.history)})
                advance(1)
            if checkpoint and (record or state.ended):
                checkpoint.save(learner, state)
    learner.set_weights(state.best)
    return state


def _start(
    learner: Learner, samples: tuple[Samples, Samples], plan: FitPlan, checkpoint: Checkpoint | None
) -> TrainingState:
    """Give the state to train from, with a new optimizer, or that of the checkpoint."""
    num_images = len(samples[0].targets)

    def prepare(state: TrainingState) -> None:
        """Give the learner an optimizer."""
        _prepare(learner, plan, state, num_images)

    if checkpoint and (saved := checkpoint.load(learner, prepare)):
        return saved
    state = TrainingState(learner.get_weights(), min(plan.batch_size, num_images))
    prepare(state)
    if plan.keep_initial_weights:
        unknown = {"learning_rate": 0.0, "loss": math.nan, "accuracy": math.nan, "seconds": 0.0}
        state.history.append(EpochRecord(phase=plan.phase, epoch=0, **unknown, **_evaluate(learner, samples[1], plan)))
    return state


def _prepare(learner: Learner, plan: FitPlan, state: TrainingState, num_images: int) -> None:
    steps = (plan.epochs - state.restarted_at) * steps_per_epoch(num_images, state.batch_size)
    learner.prepare(plan, steps, state.lr_scale)


def _should_stop(state: TrainingState, plan: FitPlan) -> bool:
    """Stop after the last epoch, or if none was better for as many epochs as the patience."""
    return state.epoch == plan.epochs or state.epoch - best_epoch(state.history) >= plan.patience


def _is_out_of_time(state: TrainingState, plan: FitPlan) -> bool:
    """Stop, with a note, if another epoch like the last would end too late."""
    if time.perf_counter() + state.epoch_seconds <= plan.end:
        return False
    state.notes.append(
        f"--time-limit ended phase '{plan.phase}' after {state.epoch} of {plan.epochs} epochs, which took longer than "
        "estimated."
    )
    return True


def _try_epoch(
    learner: Learner, samples: tuple[Samples, Samples], plan: FitPlan, state: TrainingState
) -> EpochRecord | None:
    """Train an epoch; None where it failed, with the training put back to where it can continue."""
    try:
        record = _epoch(learner, *samples, plan, state)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        halve_batch_size(state, plan)
    else:
        if not has_diverged(record, divergence_bound(plan.loss, samples[1].targets.shape[1])):
            return record
        reduce_learning_rate(state, record, plan)
    if not state.ended:
        learner.set_weights(state.best)
        state.restarted_at = state.epoch
        _prepare(learner, plan, state, len(samples[0].targets))
    return None


def _epoch(learner: Learner, train: Samples, validation: Samples, plan: FitPlan, state: TrainingState) -> EpochRecord:
    started, epoch = time.perf_counter(), state.epoch + 1
    learner.start_epoch(
        plan.seed, epoch, plateau_factor([record.score for record in state.history[state.restarted_at :]])
    )
    features, order = train.shuffled(plan.seed, epoch)

    def make_batch(_: int, indices: np.ndarray) -> tuple[np.ndarray, Batch]:
        """Make the batch of a step, before anything that depends on the network."""
        targets = smooth_labels(train.targets[indices], plan.label_smoothing)
        return indices, (features[indices], targets, train.weights[indices])

    steps, ends = in_batches(order, state.batch_size), [time.perf_counter()]
    for step, (indices, (images, labels, weights)) in enumerate(prefetch(make_batch, steps)):
        attacked = train.adversary.attack(images, indices, epoch) if train.adversary else images
        batch = mix((attacked, labels, weights), plan.mixing, np.random.default_rng((plan.seed, epoch, step)))
        loss, accuracy = learner.step(batch)
        ends.append(time.perf_counter())
    with learner.averaged():
        measured = _evaluate(learner, validation, plan)
    if train.adversary:
        measured["val_criterion"] = -float(epoch)  # the last is best: the loss on undamaged images would keep the start
    state.epoch_seconds = _without_graph(ends, time.perf_counter() - started)
    return EpochRecord(
        phase=plan.phase,
        epoch=epoch,
        learning_rate=learner.learning_rate,
        loss=float(loss),
        accuracy=float(accuracy),
        seconds=round(time.perf_counter() - started, 3),
        **measured,
    )


def _without_graph(ends: list[float], seconds: float) -> float:
    """Give the seconds of an epoch as if its first step had taken no longer than the others."""
    lengths = np.diff(ends)
    return seconds - max(0.0, float(lengths[0] - np.mean(lengths[1:]))) if len(lengths) > 1 else seconds


def _evaluate(learner: Learner, samples: Samples, plan: FitPlan) -> dict[str, float]:
    """Compute the loss against the smoothed labels and the accuracy; and the criterion, if that is another."""
    size, (count, num_classes) = min(PREDICT_BATCH, plan.batch_size), samples.targets.shape
    parts = list[tuple[np.ndarray, np.ndarray, np.ndarray]]()
    for first in range(0, count, JUDGED // size * size):  # so that no more probabilities are in memory at a time
        part = slice(first, min(first + JUDGED // size * size, count))
        starts, targets = range(first, part.stop, size), samples.targets[part]
        probabilities = np.concatenate([learner.predict(samples.features[k : k + size]) for k in starts])
        losses = learner.losses(smooth_labels(targets, plan.label_smoothing), probabilities)
        parts.append((losses, targets.argmax(axis=1), probabilities.argmax(axis=1)))
    losses, labels, predicted = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    measured = {"val_loss": float(np.mean(losses)), "val_accuracy": float(np.mean(predicted == labels))}
    if plan.criterion == MACRO_F1:
        measured["val_criterion"] = -macro_f1(confusion_matrix(labels, predicted, num_classes))
    elif plan.criterion == BALANCED_LOSS:
        measured["val_criterion"] = float(np.mean([losses[labels == label].mean() for label in np.unique(labels)]))
    return measured


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error of any backend means that memory did not suffice."""
    names = ("ResourceExhaustedError", "OutOfMemoryError")
    named = isinstance(error, MemoryError) or type(error).__name__ in names
    return named or any(words in str(error) for words in OUT_OF_MEMORY_MESSAGES)  # Keras wraps errors of eager steps


def halve_batch_size(state: TrainingState, plan: FitPlan) -> None:
    """Train on smaller batches from here on.

    Raises:
        ModelError: if a batch is one image already
    """
    if state.batch_size == 1:
        raise ModelError(
            f"not enough memory to train phase '{plan.phase}', even with a batch size of 1; "
            "use a smaller --image-size, a higher --cut or --freeze all."
        ) from None
    state.batch_size //= 2
    state.notes.append(f"not enough memory: phase '{plan.phase}' used a batch size of {state.batch_size}.")


def has_diverged(record: EpochRecord, bound: float) -> bool:
    """Tell whether an epoch's loss is not a number, or above a bound."""
    return not np.isfinite([record.loss, record.val_loss]).all() or record.loss > bound


def reduce_learning_rate(state: TrainingState, record: EpochRecord, plan: FitPlan) -> None:
    """Continue at a lower learning rate; after the last time end with the best epoch so far.

    Raises:
        ModelError: if there is none
    """
    learning_rate = plan.optimizer.learning_rate
    what = f"the loss diverged in epoch {record.epoch} of phase '{plan.phase}' ({record.loss:.3g})"
    state.divergences += 1
    if state.divergences <= MAX_DIVERGENCES:
        state.lr_scale *= LR_REDUCTION
        reduced = learning_rate * state.lr_scale
        state.notes.append(f"{what}; training restarted from the best weights at a learning rate of {reduced:.2g}.")
    elif state.history:
        state.ended = True
        state.notes.append(f"{what} at each learning rate tried; the best earlier epoch was used.")
    else:
        raise ModelError(f"{what}, also at lower learning rates; use a {plan.lr_option} far below {learning_rate:g}.")
