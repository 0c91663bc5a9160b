"""Do decoding and inference overlap? The feature stage against its two halves, each alone on the same threads.

    python benchmarks/feature_stage.py DATA [--repeats 3] [--precision bfloat16]

decode  read and decode every file; the pixels are thrown away
engine  the network over pixels that lie in memory, in the chunks the stage uses
stage   `extract` into an empty feature cache, with what it writes
ratio   stage / (decode + engine)
The last line is JSON: images, and one figure per repeat for each of these.
"""

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from parts import ready_lower

from tlkit.data.folder import ImageFolder, read_folder
from tlkit.data.image import DecodedImage, read_photo
from tlkit.engines.base import Engine, run_in_batches
from tlkit.features.extract import extract
from tlkit.features.extractor import FeatureExtractor
from tlkit.settings.training import FinetuneSettings
from tlkit.training.finetune import resolve
from tlkit.utils.parallel import CHUNK, count_workers, in_chunks
from tlkit.utils.progress import Silent

Size = tuple[int, str]


def decode(chunks: list[list[Path]], size: Size) -> None:
    """Read and decode, keeping nothing."""
    with ThreadPoolExecutor(count_workers()) as pool:
        for _ in pool.map(partial(_decode_chunk, size=size), chunks):
            pass


def _decode_chunk(files: list[Path], size: Size) -> int:
    return sum(isinstance(read_photo(file, *size), DecodedImage) for file in files)


def infer(chunks: list[np.ndarray], engine: Engine) -> None:
    """Run the network, one session per thread as the stage does, each opened anew."""
    own = threading.local()

    def work(rows: np.ndarray) -> int:
        if not hasattr(own, "session"):
            own.session = engine.session()
        return len(run_in_batches(engine, own.session, rows))

    with ThreadPoolExecutor(count_workers()) as pool:
        for _ in pool.map(work, chunks):
            pass


def stage(folder: ImageFolder, lower: FeatureExtractor, size: Size) -> None:
    """The feature stage as it is, with nothing kept from before."""
    ready: Future[FeatureExtractor] = Future()
    ready.set_result(lower)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TLKIT_CACHE"] = cache
        extract(folder, ready, size, Silent())


def pixels_of(files: list[Path], size: Size) -> list[np.ndarray]:
    """Every readable image, decoded, in chunks."""
    with ThreadPoolExecutor(count_workers()) as pool:
        photos = [
            item for item in pool.map(lambda file: read_photo(file, *size), files) if isinstance(item, DecodedImage)
        ]
    return [np.stack([photo.pixels for photo in chunk]) for chunk in in_chunks(photos, CHUNK)]


def seconds_of(work: Callable[[], None]) -> float:
    """Wall seconds of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(data: Path, settings: FinetuneSettings, repeats: int) -> dict[str, list[float]]:
    """Seconds of each part, one per repeat, the parts in turn."""
    folder, lower = read_folder(data), ready_lower(settings)
    size = (settings.image_size, settings.resize)
    pixels = pixels_of(folder.files, size)
    files = list(in_chunks(folder.files, CHUNK))
    parts: dict[str, Callable[[], None]] = {
        "decode": partial(decode, files, size),
        "engine": partial(infer, pixels, lower.engine),
        "stage": partial(stage, folder, lower, size),
    }
    infer(pixels[:8], lower.engine)
    rounds = [{name: seconds_of(part) for name, part in parts.items()} for _ in range(repeats)]
    seconds = {name: [one[name] for one in rounds] for name in parts}
    return seconds | {"ratio": [one["stage"] / (one["decode"] + one["engine"]) for one in rounds]}


def main() -> None:
    """Measure, and print a line per part and the JSON."""
    parser = argparse.ArgumentParser(description="Time the feature stage against decode and engine alone.")
    parser.add_argument("data", type=Path, help="a folder with one subfolder of images per class")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", default="float32")
    options = parser.parse_args()
    figures = measure(options.data, resolve(FinetuneSettings(precision=options.precision)), options.repeats)
    for name, values in figures.items():
        print(f"{name:6}  min {min(values):.3f}  median {np.median(values):.3f}  max {max(values):.3f}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
