"""The learning-rate range test (Smith 2017): the learning rate grows from step to step until the loss does, too."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from tlkit.data.reader import DataOptions, read_data
from tlkit.models.fold_batch_norm import fold_batch_norms
from tlkit.settings.base import settings_or_options
from tlkit.settings.training import SETTINGS_BY_COMMAND, FinetuneSettings, NetworkSettings
from tlkit.training.loop.batches import Samples, batch_indices
from tlkit.training.loop.keras_losses import LOSSES
from tlkit.training.loop.losses import smooth_labels
from tlkit.training.loop.optimizers import compile_model
from tlkit.training.loop.plan import FitPlan
from tlkit.training.network import NetworkRecipe
from tlkit.training.option_effects import LR_FIND, refuse_without_effect
from tlkit.training.phases import fit_top, new_classifier
from tlkit.training.resume import RECIPES
from tlkit.utils.progress import Progress, Silent
from tlkit.utils.storage import Location

LOWEST, HIGHEST, STEPS = 1e-6, 1.0, 120
SMOOTHING = 0.9  # of the moving average of the loss
STOP_FACTOR = 3.0  # times the first loss, where the test ends


@dataclass(frozen=True)
class RateCurve:
    """Learning rates and losses of a range test.

    Attributes:
        rates: learning rates, rising
        losses: at each, a moving average
        suggested: where the loss falls most steeply
        lowest: where the loss is lowest, too high to train with
        option: that sets it
        phase: what was trained
    """

    rates: list[float]
    losses: list[float]
    suggested: float
    lowest: float
    option: str
    phase: str


def find_learning_rate(
    data: str | Location, settings: NetworkSettings | None = None, progress: Progress | None = None, **options: Any
) -> RateCurve:
    """Try learning rates from 1e-6 to 1 on what `finetune` or `train` would train last; nothing is kept.

    Args:
        settings: of a training from scratch, or of an adaptation, where freeze "auto" tries the head
        options: fields of `FinetuneSettings`, in place of `settings`

    Raises:
        DataError
        ModelError
        OptionError
    """
    kind: Any = type(settings) if type(settings) in SETTINGS_BY_COMMAND.values() else FinetuneSettings
    recipe = _recipe_to_try(settings_or_options(kind, settings, options, data=data))
    progress = progress or Silent()
    folder = read_data(data, DataOptions(**recipe.settings.data_options)).surveyed()
    recipe = recipe.adapted_to(folder)
    dataset = recipe.load(folder, progress)
    train = dataset.split.train
    classifier = new_classifier(recipe, dataset.network, len(train), train.num_classes)
    recipe.source.transfer_head(classifier, train.class_names)
    *before, last = recipe.phases()
    for phase in before:
        inputs = phase.prepare(recipe, classifier, dataset, progress)
        fit_top(inputs.model, inputs.train, inputs.validation, inputs.plan, progress)
    inputs = last.prepare(recipe, classifier, dataset, progress)
    return range_test(inputs.model, inputs.train, inputs.plan, progress)


def _recipe_to_try(settings: NetworkSettings) -> NetworkRecipe:
    """Make the recipe whose last phase is tried, without options that change nothing here.

    Raises:
        OptionError
        ModelError
        RunError
    """
    recipe: NetworkRecipe = RECIPES[type(settings)](settings).with_decided_freeze("all")
    recipe = RECIPES[type(settings)](recipe.settings)  # refuses what has no effect in the strategy that is tried
    refuse_without_effect(settings, LR_FIND, {"num_phases": len(recipe.phases())})
    return recipe


def range_test(top: keras.Model, train: Samples, plan: FitPlan, progress: Progress) -> RateCurve:
    """Take `STEPS` steps at learning rates from `LOWEST` to `HIGHEST`, or until the loss diverges.

    The weights are put back.
    """
    folded = fold_batch_norms(top, plan.train_bn_offsets, plan.product_dtype)
    network, weights = folded.network, top.get_weights()
    config = replace(plan.optimizer, learning_rate=LOWEST, schedule="constant", warm_up=0.0, ema=0.0)
    compile_model(network, config, LOSSES[plan.loss](), STEPS)
    rates = np.geomspace(LOWEST, HIGHEST, STEPS).tolist()
    losses: list[float] = []
    with progress.stage("rates", STEPS, "") as advance:
        for rate, indices in zip(rates, _batches(train, plan), strict=False):
            network.optimizer.learning_rate = rate
            network.reset_metrics()
            targets = smooth_labels(train.targets[indices], plan.label_smoothing)
            batch = train.in_epoch(1)[indices], targets, train.weights[indices]
            losses.append(float(network.train_on_batch(*batch, return_dict=True)["loss"]))
            advance(1)
            if not losses[-1] < STOP_FACTOR * losses[0]:
                advance(STEPS - len(losses))  # higher learning rates would only diverge more
                break
    top.set_weights(weights)
    smooth = moving_average(losses)
    lowest = rates[int(np.argmin(smooth))]
    return RateCurve(rates[: len(smooth)], smooth, suggest_rate(rates, smooth), lowest, plan.lr_option, plan.phase)


def moving_average(losses: Sequence[float]) -> list[float]:
    """Average exponentially, without the bias of a start at zero (Kingma 2014); infinite averages are left out."""
    averages, value = [], 0.0
    for count, loss in enumerate(losses, 1):
        value = SMOOTHING * value + (1 - SMOOTHING) * loss
        averages.append(value / (1 - SMOOTHING**count))
    return [average for average in averages if np.isfinite(average)]


def suggest_rate(rates: Sequence[float], losses: Sequence[float]) -> float:
    """Suggest the learning rate at which the loss falls most steeply on its way to the minimum, as one digit.

    The slope is by the logarithm of the learning rate. Where the loss never falls, the lowest rate is suggested.

    >>> suggest_rate([1e-4, 1e-3, 1e-2, 1e-1, 1.0], [2.3, 2.2, 1.5, 1.0, 4.0])
    0.01
    """
    lowest = int(np.argmin(losses))
    if not lowest:
        return float(f"{rates[0]:.0e}")
    slopes = np.gradient(losses, np.log(rates[: len(losses)]))
    return float(f"{rates[int(np.argmin(slopes[: lowest + 1]))]:.0e}")


def _batches(train: Samples, plan: FitPlan) -> list[np.ndarray]:
    """Draw enough batches for the test, in several passes over the images."""
    size, batches = min(plan.batch_size, len(train.targets)), list[np.ndarray]()
    while len(batches) < STEPS:
        batches.extend(batch_indices(len(train.targets), size, plan.seed, len(batches)))
    return batches
