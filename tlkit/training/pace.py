"""How fast this machine is at what a training does, measured in a second or two."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from tlkit.data.decode import read_file
from tlkit.data.pixels import decode_photo
from tlkit.engines.engine import Engine, RowRunner
from tlkit.errors import ImageError
from tlkit.training.setbacks import is_out_of_memory
from tlkit.workers import count_workers

MEASURED_FILES = 24
MEASURED_SECONDS = 2.0  # after which no further file is taken
MORE = 16  # images in the larger of the training steps that are timed; a quarter in the smaller


@dataclass(frozen=True)
class Pace:
    """Seconds an image takes on all cores together: to be read and decoded, and to pass the frozen network."""

    decode: float
    infer: float


def measure_pace(files: Sequence[Path], engine: Engine, image_size: int, resize: str) -> Pace:
    """Decode some files spread over a folder, and run them, in as many threads as a real pass has."""
    chosen = files[:: max(1, len(files) // MEASURED_FILES)]
    first = chosen[: count_workers()]  # always measured
    runner, end = RowRunner(engine), time.perf_counter() + MEASURED_SECONDS

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
    return Pace(decode, infer)


def step_seconds(network: keras.Model, batch_size: int) -> float:
    """Seconds of one training step on a whole batch; the network stays as it is.

    Steps on a few images and on a few more are timed without compiling a graph, which takes
    longer than they do; what they do not have in common is the time of the images.
    """
    weights, more = network.get_weights(), min(MORE, batch_size)
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
        return decode_photo(read_file(file), image_size, resize).pixels
    except ImageError:
        return np.zeros((image_size, image_size, 3), np.uint8)
