"""What a training does when memory does not suffice or its loss grows beyond all bounds."""

import math

import numpy as np

from tlkit.errors import ModelError
from tlkit.training.checkpoint import Epoch, Standing
from tlkit.training.plan import Plan

DIVERGED = 5.0  # times the loss of a classifier that knows nothing; at most 10, for Keras's loss ends at 16
SLOWER = 0.3  # of the rate, after a divergence
MOST_DIVERGENCES = 3
SAID = ("RESOURCE_EXHAUSTED", "OOM when allocating")  # by TensorFlow and JAX


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of any backend means that memory did not suffice."""
    names = ("ResourceExhaustedError", "OutOfMemoryError")
    named = isinstance(error, MemoryError) or type(error).__name__ in names
    return named or any(words in str(error) for words in SAID)  # Keras wraps errors of eager steps


def halve_batches(standing: Standing, plan: Plan) -> None:
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
    bound = min(10.0, DIVERGED * math.log(num_classes))
    return not np.isfinite([row["loss"], row["val_loss"]]).all() or row["loss"] > bound


def slow_down(standing: Standing, row: Epoch, plan: Plan) -> None:
    """Go on at a smaller rate; after the last time end with what there is.

    raises: ModelError where there is nothing
    """
    what = f"the training of the {plan.phase} diverged in epoch {row['epoch']} (its loss was {row['loss']:.3g})"
    standing.divergences += 1
    if standing.divergences <= MOST_DIVERGENCES:
        standing.rate *= SLOWER
        rate = plan.learning_rate * standing.rate
        standing.notes.append(f"{what}; it went on from the best weights before, at a rate of {rate:.2g}.")
    elif standing.history:
        standing.ended = True
        standing.notes.append(f"{what}, at every rate tried; the best epoch before was kept.")
    else:
        raise ModelError(
            f"{what}, at smaller rates, too; choose a {plan.rate_option} far below {plan.learning_rate:g}."
        )
