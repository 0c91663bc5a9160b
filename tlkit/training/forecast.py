"""How long a strategy will take and how much disk, from a few seconds of measuring on this machine."""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import keras

from tlkit.data.folder import ImageFolder, read_folder
from tlkit.engines.engine import Engine
from tlkit.errors import OptionError
from tlkit.models.classifier import attach_head
from tlkit.models.cut import batch_norms
from tlkit.settings import FinetuneSettings, TrainingSettings
from tlkit.training.blocks import choose_activations, layer_rates
from tlkit.training.lower import build_in_background, prepare_lower
from tlkit.training.pace import Pace, measure_pace, step_seconds
from tlkit.training.plan import Plan, plan_blocks, plan_head
from tlkit.training.recipe import steps_per_epoch
from tlkit.training.upper import choose_head, trainable_above

EVALUATION = 1 / 3  # of the time of a training step, for as many images


@dataclass(frozen=True)
class Forecast:
    """What a strategy takes.

    fixed      seconds before the first epoch
    per_epoch  seconds
    disk       bytes that are kept in the cache
    """

    fixed: float
    per_epoch: float
    epochs: int
    disk: int

    @property
    def seconds(self) -> float:
        """In all."""
        return self.fixed + self.epochs * self.per_epoch

    def epochs_within(self, seconds: float) -> int:
        """How many of the planned epochs end within so many seconds; perhaps none.

        >>> Forecast(fixed=10, per_epoch=5, epochs=10, disk=0).epochs_within(36)
        5
        """
        if seconds == math.inf:
            return self.epochs
        return max(0, min(self.epochs, int((seconds - self.fixed) // self.per_epoch)))


@dataclass(frozen=True)
class Ready:
    """What a forecast is made from.

    body    the network without a head
    engine  runs it, up to the features of freeze all
    files   images to measure with
    images  how many there are to train on, and how many held out
    """

    body: keras.Model
    engine: Engine
    files: Sequence[Path]
    images: tuple[int, int]
    num_classes: int

    def pace(self, settings: TrainingSettings) -> Pace:
        """Measured on some of the files."""
        return measure_pace(self.files, self.engine, settings.image_size, settings.resize)


def forecast_strategies(data: str | Path, settings: FinetuneSettings) -> dict[str, Forecast]:
    """What every strategy takes on a folder of images, with an empty cache; nothing is trained.

    settings: resolved
    raises: DataError, ModelError
    """
    folder = read_folder(data)
    frozen = replace(settings, freeze="all")
    with ThreadPoolExecutor(1) as background:
        body = build_in_background(background, frozen)
        engine = prepare_lower(background, body, frozen).result().engine
    ready = Ready(body.result(), engine, folder.files, _count_sides(folder, settings), folder.num_classes)
    pace, count = ready.pace(settings), len(folder)
    features = count * (pace.decode + pace.infer)
    found = {"all": _later(forecast_strategy(ready, frozen), features)}
    with suppress(OptionError):  # it cannot be cut, or there is no disk for it
        found["lower"] = _later(forecast_strategy(ready, replace(settings, freeze="lower")), features)
    return found | {"none": _later(forecast_strategy(ready, replace(settings, freeze="none")), count * pace.decode)}


def forecast_strategy(ready: Ready, settings: TrainingSettings) -> Forecast:
    """What a strategy takes once the features of freeze all, or the pixels, are there; head included.

    settings: with the strategy as `freeze`
    raises: OptionError where the network cannot be cut, or no disk is left
    """
    classifier = attach_head(ready.body, choose_head(settings, ready.images[0]), ready.num_classes)
    head = _forecast_head(ready, classifier, settings)
    if isinstance(settings, FinetuneSettings) and settings.freeze == "lower":
        return _forecast_blocks(ready, classifier, settings, head)
    return head


def _forecast_head(ready: Ready, classifier: keras.Model, settings: TrainingSettings) -> Forecast:
    whole = settings.freeze == "none"
    plan = plan_head(settings, ready.images[0])
    cut = classifier.input if whole else ready.body.output
    step = step_seconds(trainable_above(classifier, cut, batch_norms(ready.body)), plan.batch_size)
    size = math.prod(cut.shape[1:]) * (1 if whole else 4)  # bytes: pixels are uint8, features float32
    return _forecast(0.0, step, ready.images, plan, size * sum(ready.images))


def _forecast_blocks(ready: Ready, classifier: keras.Model, settings: FinetuneSettings, head: Forecast) -> Forecast:
    train, held_out = ready.images
    cut, views, _ = choose_activations(ready.body, ready.images, settings)
    pace = ready.pace(settings)
    filling = train * (pace.decode + views * pace.infer) + held_out * (pace.decode + pace.infer)
    plan = plan_blocks(settings, train, layer_rates(classifier, ready.body, settings.layer_decay))
    step = step_seconds(trainable_above(classifier, cut.tensor, batch_norms(classifier)), plan.batch_size)
    disk = head.disk + math.prod(cut.shape) * (2 * views * train + 4 * held_out)
    return _forecast(head.seconds + filling, step, ready.images, plan, disk)


def _forecast(fixed: float, step: float, images: tuple[int, int], plan: Plan, disk: int) -> Forecast:
    """From the time of a step to that of a phase that begins after `fixed` seconds."""
    train, held_out = images
    size = min(plan.batch_size, train)
    steps = steps_per_epoch(train, size) + EVALUATION * held_out / size
    return Forecast(fixed, steps * step * size / plan.batch_size, plan.epochs, disk)


def _later(forecast: Forecast, seconds: float) -> Forecast:
    return replace(forecast, fixed=forecast.fixed + seconds)


def _count_sides(folder: ImageFolder, settings: TrainingSettings) -> tuple[int, int]:
    """Images to train on and held out, before the files are read."""
    given = sum(bool(side) and side != "train" for side in folder.sides)
    share = 0.0 if given else settings.validation_split + settings.test_split
    held_out = given + round((len(folder) - given) * share)
    return max(1, len(folder) - held_out), held_out
