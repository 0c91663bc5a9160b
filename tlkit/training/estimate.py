"""Time and disk that a strategy needs, from a few seconds of measuring on this machine."""

import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

from tlkit.data.decode import read_file
from tlkit.data.folder import ImageFolder, read_folder
from tlkit.data.image import decode_image
from tlkit.engines.base import Engine, ThreadedRunner
from tlkit.errors import ImageError, OptionError
from tlkit.features.extractor import build_in_background, prepare_extractor
from tlkit.models.cut import batch_norm_names
from tlkit.models.head import attach_head
from tlkit.settings.training import FinetuneSettings, TrainingSettings
from tlkit.training.blocks_phase import choose_activations, layer_lr_multipliers
from tlkit.training.hyperparameters import plan_blocks, plan_head, steps_per_epoch
from tlkit.training.loop.fit import is_out_of_memory
from tlkit.training.loop.plan import FitPlan
from tlkit.training.phases import choose_head, trainable_top
from tlkit.utils.parallel import count_workers


@dataclass(frozen=True)
class Throughput:
    """Seconds an image takes on all cores together: to be read and decoded, and to pass the frozen network."""

    decode: float
    infer: float


EVALUATION = 1 / 3  # of the time of a training step, for as many images


@dataclass(frozen=True)
class CostEstimate:
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
class EstimateInput:
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

    def pace(self, settings: TrainingSettings) -> Throughput:
        """Measured on some of the files."""
        return measure_throughput(self.files, self.engine, settings.image_size, settings.resize)


def estimate_costs(data: str | Path, settings: FinetuneSettings) -> dict[str, CostEstimate]:
    """What every strategy takes on a folder of images, with an empty cache; nothing is trained.

    settings: resolved
    raises: DataError, ModelError
    """
    folder = read_folder(data)
    frozen = replace(settings, freeze="all")
    with ThreadPoolExecutor(1) as background:
        body = build_in_background(background, frozen)
        engine = prepare_extractor(background, body, frozen).result().engine
    ready = EstimateInput(body.result(), engine, folder.files, _count_subsets(folder, settings), folder.num_classes)
    pace, count = ready.pace(settings), len(folder)
    features = count * (pace.decode + pace.infer)
    found = {"all": _later(estimate_cost(ready, frozen), features)}
    with suppress(OptionError):  # it cannot be cut, or there is no disk for it
        found["lower"] = _later(estimate_cost(ready, replace(settings, freeze="lower")), features)
    return found | {"none": _later(estimate_cost(ready, replace(settings, freeze="none")), count * pace.decode)}


def estimate_cost(ready: EstimateInput, settings: TrainingSettings) -> CostEstimate:
    """What a strategy takes once the features of freeze all, or the pixels, are there; head included.

    settings: with the strategy as `freeze`
    raises: OptionError where the network cannot be cut, or no disk is left
    """
    classifier = attach_head(ready.body, choose_head(settings, ready.images[0]), ready.num_classes)
    head = _estimate_head(ready, classifier, settings)
    if isinstance(settings, FinetuneSettings) and settings.freeze == "lower":
        return _estimate_blocks(ready, classifier, settings, head)
    return head


def _estimate_head(ready: EstimateInput, classifier: keras.Model, settings: TrainingSettings) -> CostEstimate:
    whole = settings.freeze == "none"
    plan = plan_head(settings, ready.images[0])
    cut = classifier.input if whole else ready.body.output
    step = step_seconds(trainable_top(classifier, cut, batch_norm_names(ready.body)), plan.batch_size)
    size = math.prod(cut.shape[1:]) * (1 if whole else 4)  # bytes: pixels are uint8, features float32
    return _estimate(0.0, step, ready.images, plan, size * sum(ready.images))


def _estimate_blocks(
    ready: EstimateInput, classifier: keras.Model, settings: FinetuneSettings, head: CostEstimate
) -> CostEstimate:
    train, held_out = ready.images
    cut, views, _ = choose_activations(ready.body, ready.images, settings)
    pace = ready.pace(settings)
    filling = train * (pace.decode + views * pace.infer) + held_out * (pace.decode + pace.infer)
    plan = plan_blocks(settings, train, layer_lr_multipliers(classifier, ready.body, settings.layer_decay))
    step = step_seconds(trainable_top(classifier, cut.tensor, batch_norm_names(classifier)), plan.batch_size)
    disk = head.disk + math.prod(cut.shape) * (2 * views * train + 4 * held_out)
    return _estimate(head.seconds + filling, step, ready.images, plan, disk)


def _estimate(fixed: float, step: float, images: tuple[int, int], plan: FitPlan, disk: int) -> CostEstimate:
    """From the time of a step to that of a phase that begins after `fixed` seconds."""
    train, held_out = images
    size = min(plan.batch_size, train)
    steps = steps_per_epoch(train, size) + EVALUATION * held_out / size
    return CostEstimate(fixed, steps * step * size / plan.batch_size, plan.epochs, disk)


def _later(forecast: CostEstimate, seconds: float) -> CostEstimate:
    return replace(forecast, fixed=forecast.fixed + seconds)


def _count_subsets(folder: ImageFolder, settings: TrainingSettings) -> tuple[int, int]:
    """Images to train on and held out, before the files are read."""
    given = sum(bool(side) and side != "train" for side in folder.sides)
    share = 0.0 if given else settings.validation_split + settings.test_split
    held_out = given + round((len(folder) - given) * share)
    return max(1, len(folder) - held_out), held_out


MEASURED_FILES = 24
MEASURED_SECONDS = 2.0  # after which no further file is taken
LARGER_STEP = 16  # images in the larger of the training steps that are timed; a quarter in the smaller


def measure_throughput(files: Sequence[Path], engine: Engine, image_size: int, resize: str) -> Throughput:
    """Decode some files spread over a folder, and run them, in as many threads as a real pass has."""
    chosen = files[:: max(1, len(files) // MEASURED_FILES)]
    first = chosen[: count_workers()]  # always measured
    runner, end = ThreadedRunner(engine), time.perf_counter() + MEASURED_SECONDS

    def decode_and_infer(file: Path) -> tuple[float, float] | None:
        started = time.perf_counter()
        if started > end and file not in first:
            return None
        pixels = _pixels(file, image_size, resize)
        decoded = time.perf_counter()
        runner(pixels[None])
        return decoded - started, time.perf_counter() - decoded

    with ThreadPoolExecutor(count_workers()) as pool:
        found = [seconds for seconds in pool.map(decode_and_infer, chosen) if seconds]
    found = found[len(first) :] or found  # the first open their sessions
    decode, infer = (float(np.median(column)) / count_workers() for column in zip(*found, strict=True))
    return Throughput(decode, infer)


def step_seconds(network: keras.Model, batch_size: int) -> float:
    """Seconds of one training step on a whole batch; the network stays as it is.

    Steps on a few images and on a few more are timed without compiling a graph, which takes
    longer than they do; what they do not have in common is the time of the images.
    """
    weights, more = network.get_weights(), min(LARGER_STEP, batch_size)
    network.compile(keras.optimizers.SGD(0.0), keras.losses.CategoricalCrossentropy(), run_eagerly=True)
    try:
        while True:
            try:
                return _seconds_per_image(network, more) * batch_size
            except Exception as error:
                if more == 1 or not is_out_of_memory(error):
                    raise
                more //= 2
    finally:
        network.set_weights(weights)


def _seconds_per_image(network: keras.Model, more: int) -> float:
    few = more // 4
    _timed_step(network, more)
    many = min(_timed_step(network, more) for _ in range(2))
    shared = min(_timed_step(network, few) for _ in range(2)) if few else 0.0
    return max(many - shared, many / more) / (more - few)


def _timed_step(network: keras.Model, rows: int) -> float:
    num_classes = network.output.shape[-1]
    values = np.random.default_rng(0).random((rows, *network.input.shape[1:]), dtype=np.float32)
    targets = np.eye(num_classes, dtype=np.float32)[np.arange(rows) % num_classes]
    started = time.perf_counter()
    network.train_on_batch(values, targets)
    return time.perf_counter() - started


def _pixels(file: Path, image_size: int, resize: str) -> np.ndarray:
    try:
        return decode_image(read_file(file), image_size, resize).pixels
    except ImageError:
        return np.zeros((image_size, image_size, 3), np.uint8)
