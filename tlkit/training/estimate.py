"""Time and disk space of a training, estimated from a few seconds of measurements on this machine."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import keras
import numpy as np

from tlkit.data.augment import ViewTransform
from tlkit.data.folder import ImageFolder
from tlkit.data.image import ImageSpec, decode_image
from tlkit.data.reader import DataOptions, read_data
from tlkit.data.sources.files import read_file
from tlkit.engines.base import Engine, EngineSpec, ThreadedRunner
from tlkit.errors import ImageError, OptionError
from tlkit.features.extractor import ExtractorSpec, build_extractor
from tlkit.models.fold_batch_norm import fold_batch_norms
from tlkit.models.sources import NetworkSource
from tlkit.training.loop.cost import GRAPH_SECONDS, CostEstimate, measure_slowness
from tlkit.training.loop.fit import is_out_of_memory
from tlkit.utils.parallel import count_workers
from tlkit.utils.progress import Stopwatch
from tlkit.utils.storage import Location

MEASURED_FILES = 24
MEASURED_VIEWS = 8  # files, all views of each
MEASURED_SECONDS = 2.0  # after which no further file is taken
LARGER_STEP = 16  # images in the larger of the training steps that are timed; a quarter in the smaller


@dataclass(frozen=True)
class Throughput:
    """Seconds an image takes on all cores together: to be read and decoded, and to pass the frozen network."""

    decode: float
    infer: float


@dataclass(frozen=True)
class EstimateInput:
    """The inputs of an estimate.

    Attributes:
        network: without a head
        engine: runs it, up to the features a head is trained on
        files: images to measure with
        images: how many there are to train on, and how many held out
    """

    network: keras.Model
    engine: Engine
    files: Sequence[Location]
    image: ImageSpec
    images: tuple[int, int]
    num_classes: int

    @cached_property
    def head_step(self) -> dict[int, float]:
        """Seconds of a training step of the head, by batch size, as far as they are measured.

        Two strategies that train the same head share its measurement, so that one that contains the other never
        seems to be the quicker one.
        """
        return {}

    @cached_property
    def slowness(self) -> float:
        """Seconds this machine takes for one second of the figures above."""
        return measure_slowness()

    @cached_property
    def throughput(self) -> Throughput:
        """Measured on some of the files, once."""
        return measure_throughput(self.files, self.engine, self.image)


class Estimable(Protocol):
    """A recipe whose strategies can be estimated: `NetworkRecipe`."""

    @property
    def settings(self) -> Any:
        """Its settings."""

    @property
    def source(self) -> NetworkSource:
        """The source of the network."""

    @property
    def image(self) -> ImageSpec:
        """The square it sees."""

    @property
    def engine(self) -> EngineSpec:
        """The engine of its frozen part."""

    def changed(self, options: Mapping[str, Any]) -> "Estimable":
        """Change some options."""

    def estimate(self, inputs: EstimateInput) -> CostEstimate:
        """Estimate what its phases take once the features, or the pixels, are there."""


def estimate_costs(data: str | Location, recipe: Estimable, stopwatch: Stopwatch) -> dict[str, CostEstimate]:
    """Estimate every strategy on a folder of images, without cached features; nothing is trained.

    Args:
        stopwatch: has run since the start of the command; until the engine is ready, a training takes as long

    Raises:
        DataError
        ModelError
    """
    folder = read_data(data, DataOptions(**recipe.settings.data_options))
    source, spec = recipe.source, ExtractorSpec(recipe.image, recipe.engine)
    with ThreadPoolExecutor(1) as background:
        network = background.submit(source.build)
        engine = build_extractor(background, network.result, source.identity(), spec).result().engine
    prepared = stopwatch.total()
    images = _count_subsets(folder, recipe.settings.validation_split + recipe.settings.test_split)
    inputs = EstimateInput(network.result(), engine, folder.files, recipe.image, images, folder.num_classes)
    speed, count = inputs.throughput, len(folder)
    reading = {"all": speed.decode + speed.infer, "lower": speed.decode + speed.infer, "none": speed.decode}
    costs = {}
    for freeze, seconds in reading.items():
        with suppress(OptionError):  # it cannot be cut, or there is no disk for it
            cost = recipe.changed({"freeze": freeze}).estimate(inputs)
            costs[freeze] = replace(cost, fixed_seconds=prepared + count * seconds + cost.fixed_seconds)
    return costs


def _count_subsets(folder: ImageFolder, fraction: float) -> tuple[int, int]:
    """Count training and held-out images before the files are read."""
    given = sum(bool(subset) and subset != "train" for subset in folder.subsets)
    held_out = given + round((len(folder) - given) * (0.0 if given else fraction))
    return max(1, len(folder) - held_out), held_out


def measure_throughput(files: Sequence[Location], engine: Engine, image: ImageSpec) -> Throughput:
    """Decode some files spread over a folder, and run them, in as many threads as a real pass has."""
    chosen = files[:: max(1, len(files) // MEASURED_FILES)]
    first = chosen[: count_workers()]  # always measured
    runner, end = ThreadedRunner(engine), time.perf_counter() + MEASURED_SECONDS

    def decode_and_infer(file: Location) -> tuple[float, float] | None:
        """Time both steps for one file; None for an unreadable file."""
        started = time.perf_counter()
        if started > end and file not in first:
            return None
        try:
            pixels = decode_image(read_file(file), image).pixels
        except ImageError:
            pixels = np.zeros((image.size, image.size, 3), np.uint8)
        decoded = time.perf_counter()
        runner(pixels[None])
        return decoded - started, time.perf_counter() - decoded

    with ThreadPoolExecutor(count_workers()) as pool:
        timings = [seconds for seconds in pool.map(decode_and_infer, chosen) if seconds]
    timings = timings[len(first) :] or timings  # the first open their sessions
    decode, infer = (float(np.median(column)) / count_workers() for column in zip(*timings, strict=True))
    return Throughput(decode, infer)


def measure_views(files: Sequence[Location], image: ImageSpec, views: ViewTransform) -> float:
    """Measure the seconds that all views of an image take on all cores together, with reading and decoding it."""
    timings = []
    for file in files[:: max(1, len(files) // MEASURED_VIEWS)][:MEASURED_VIEWS]:
        started = time.perf_counter()
        with suppress(ImageError):
            decode_image(read_file(file), image, views)
            timings.append(time.perf_counter() - started)
    return float(np.median(timings)) / count_workers() if timings else 0.0


def step_seconds(network: keras.Model, batch_size: int, product_dtype: str = "float32") -> float:
    """Measure one training step on a whole batch, as `fit_top` takes it; the network stays as it is.

    Steps on a few images and on a few more are timed without compiling a graph, which takes
    longer than they do; what they do not have in common is the time of the images.
    """
    network = fold_batch_norms(network, product_dtype=product_dtype).network
    weights, many = network.get_weights(), min(LARGER_STEP, batch_size)
    network.compile(keras.optimizers.SGD(0.0), keras.losses.CategoricalCrossentropy(), run_eagerly=True)
    try:
        while True:
            try:
                return _seconds_per_image(network, many) * batch_size
            except Exception as error:
                if many == 1 or not is_out_of_memory(error):
                    raise
                many //= 2
    finally:
        network.set_weights(weights)


def graph_seconds(top: keras.Model, inputs: EstimateInput) -> float:
    """Estimate the seconds that the graphs and files of a trained network take."""
    return GRAPH_SECONDS * len(top.layers) * inputs.slowness


def _seconds_per_image(network: keras.Model, many: int) -> float:
    few = many // 4
    _time_step(network, many)
    larger = min(_time_step(network, many) for _ in range(2))
    smaller = min(_time_step(network, few) for _ in range(2)) if few else 0.0
    return max(larger - smaller, larger / many) / (many - few)


def _time_step(network: keras.Model, num_images: int) -> float:
    num_classes = network.output.shape[-1]
    values = np.random.default_rng(0).random((num_images, *network.input.shape[1:]), dtype=np.float32)
    targets = np.eye(num_classes, dtype=np.float32)[np.arange(num_images) % num_classes]
    started = time.perf_counter()
    network.train_on_batch(values, targets)
    return time.perf_counter() - started
