"""The learning-rate range test (Smith 2017): the rate grows from step to step until the loss does, too."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

from tlkit.data.folder import read_folder
from tlkit.models.fold_batch_norm import fold_batch_norms
from tlkit.settings.training import FinetuneSettings
from tlkit.training.blocks_phase import prepare_blocks
from tlkit.training.finetune import resolve
from tlkit.training.hyperparameters import plan_head
from tlkit.training.loop.batches import Samples, batch_indices
from tlkit.training.loop.losses import is_imbalanced, smooth_labels
from tlkit.training.loop.optimizers import compile_model
from tlkit.training.loop.plan import FitPlan
from tlkit.training.network import read_images
from tlkit.training.phases import Below, augmented_training_images, build_top, one_hot, sample_weights, train_top
from tlkit.utils.progress import Progress, Silent

LOWEST, HIGHEST, STEPS = 1e-6, 1.0, 120
SMOOTHING = 0.9  # of the moving average of the loss
STOP_FACTOR = 3.0  # times the first loss, where the test ends
SUGGESTION_DIVISOR = 10.0  # the suggestion is so many times below the rate of the least loss


@dataclass(frozen=True)
class RateCurve:
    """What a range test saw.

    rates      rising
    losses     at each rate, a moving average
    suggested  a rate to train with
    option     that sets it
    phase      what was trained
    """

    rates: list[float]
    losses: list[float]
    suggested: float
    option: str
    phase: str


def find_rate(data: str | Path, settings: FinetuneSettings, progress: Progress | None = None) -> RateCurve:
    """Try rates from 1e-6 to 1 on what `finetune` would train last; nothing is kept.

    settings: freeze "auto" tries the head
    raises: DataError, ModelError, OptionError
    """
    settings = resolve(settings)
    settings = replace(settings, freeze="all") if settings.freeze == "auto" else settings
    progress = progress or Silent()
    upper, train, plan = _prepared(data, settings, progress)
    return range_test(upper, train, plan, progress)


def range_test(upper: keras.Model, train: Samples, plan: FitPlan, progress: Progress) -> RateCurve:
    """Take `STEPS` steps at rates from `LOWEST` to `HIGHEST`, or until the loss bursts; the weights are put back."""
    network, weights = fold_batch_norms(upper, plan.shifts).network, upper.get_weights()
    compile_model(network, replace(plan, decay="constant", warm_up=0.0, ema=0.0), LOWEST, STEPS)
    rates = np.geomspace(LOWEST, HIGHEST, STEPS).tolist()
    losses: list[float] = []
    with progress.stage("rates", STEPS, "steps") as advance:
        for rate, rows in zip(rates, _batches(train, plan), strict=False):
            network.optimizer.learning_rate = rate
            network.reset_metrics()
            batch = (
                train.in_epoch(1)[rows],
                smooth_labels(train.targets[rows], plan.label_smoothing),
                train.weights[rows],
            )
            losses.append(float(network.train_on_batch(*batch, return_dict=True)["loss"]))
            advance(1)
            if not losses[-1] < STOP_FACTOR * losses[0]:
                break
    upper.set_weights(weights)
    smooth = moving_average(losses)
    return RateCurve(rates[: len(smooth)], smooth, suggest_rate(rates, smooth), plan.rate_option, plan.phase)


def moving_average(losses: Sequence[float]) -> list[float]:
    """Exponential, freed of its start at zero (Kingma 2014); what is no number is left out at the end."""
    averages, value = [], 0.0
    for count, loss in enumerate(losses, 1):
        value = SMOOTHING * value + (1 - SMOOTHING) * loss
        averages.append(value / (1 - SMOOTHING**count))
    return [average for average in averages if np.isfinite(average)]


def suggest_rate(rates: Sequence[float], losses: Sequence[float]) -> float:
    """A tenth of the rate at which the loss was least, as one digit.

    >>> suggest_rate([1e-3, 1e-2, 1e-1], [2.0, 1.0, 3.0])
    0.001
    """
    return float(f"{rates[int(np.argmin(losses))] / SUGGESTION_DIVISOR:.0e}")


def _batches(train: Samples, plan: FitPlan) -> list[np.ndarray]:
    """Enough batches for the test, pass after pass over the images."""
    size, found = min(plan.batch_size, len(train.targets)), list[np.ndarray]()
    while len(found) < STEPS:
        found.extend(batch_indices(len(train.targets), size, plan.seed, len(found)))
    return found


def _prepared(data: str | Path, settings: FinetuneSettings, progress: Progress) -> tuple[keras.Model, Samples, FitPlan]:
    """What would be trained last: the blocks, the head, or everything."""
    read = read_images(read_folder(data), settings, progress)
    split = read.split
    if settings.freeze == "lower":
        headed = train_top(read.network, Below(read.extracted, read.lower.file), split, settings, progress)
        blocks = prepare_blocks(read.network, headed, split, settings, progress)
        return blocks.upper, blocks.seen, blocks.plan
    seen = augmented_training_images(read.lower, split.train, settings, progress)
    look = read.extracted.rows if settings.freeze == "none" else read.extracted.values
    train = Samples(seen or look(split.train), one_hot(split.train), sample_weights(split.train, settings))
    plan = plan_head(settings, len(split.train), is_imbalanced(split.train.labels))
    return build_top(read.network, split, settings)[1], train, plan
