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
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from parts import ready_extractor

from tlkit.data.folder import ImageFolder, read_folder
from tlkit.data.image import DecodedImage, ImageSpec, decode_image
from tlkit.data.sources.files import read_file
from tlkit.engines.base import Engine, run_in_batches
from tlkit.errors import ImageError
from tlkit.features.extract import extract
from tlkit.features.extractor import FrozenExtractor, completed
from tlkit.settings.training import FinetuneSettings
from tlkit.training.finetune import finetune_recipe
from tlkit.training.network import NetworkRecipe
from tlkit.utils.parallel import CHUNK, count_workers, in_chunks
from tlkit.utils.progress import Silent


def decode(chunks: list[list[Path]], image: ImageSpec) -> None:
    """Read and decode, caching nothing."""
    with ThreadPoolExecutor(count_workers()) as pool:
        for _ in pool.map(partial(_decode_chunk, image=image), chunks):
            pass


def _decode_chunk(files: list[Path], image: ImageSpec) -> int:
    return sum(read_photo(file, image) is not None for file in files)


def read_photo(file: Path, image: ImageSpec) -> DecodedImage | None:
    """Decode one file; None if it is not an image."""
    try:
        return decode_image(read_file(file), image)
    except ImageError:
        return None


def infer(chunks: list[np.ndarray], engine: Engine) -> None:
    """Run the network, one new session per thread, as the stage does."""
    own = threading.local()

    def work(rows: np.ndarray) -> int:
        if not hasattr(own, "session"):
            own.session = engine.session()
        return len(run_in_batches(engine, own.session, rows))

    with ThreadPoolExecutor(count_workers()) as pool:
        for _ in pool.map(work, chunks):
            pass


def stage(folder: ImageFolder, extractor: FrozenExtractor, image: ImageSpec) -> None:
    """Run the feature stage as it is, with nothing cached."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TLKIT_CACHE"] = cache
        extract(folder, completed(extractor), image, Silent())


def pixels_of(files: list[Path], image: ImageSpec) -> list[np.ndarray]:
    """Decode every readable image, in chunks."""
    with ThreadPoolExecutor(count_workers()) as pool:
        photos = [photo for photo in pool.map(lambda file: read_photo(file, image), files) if photo]
    return [np.stack([photo.pixels for photo in chunk]) for chunk in in_chunks(photos, CHUNK)]


def seconds_of(work: Callable[[], None]) -> float:
    """Wall seconds of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(data: Path, recipe: NetworkRecipe, repeats: int) -> dict[str, list[float]]:
    """Measure the seconds of each part, once per repeat, one part after the other."""
    folder, extractor, image = read_folder(data), ready_extractor(recipe), recipe.image
    pixels = pixels_of(folder.files, image)
    files = list(in_chunks(folder.files, CHUNK))
    parts: dict[str, Callable[[], None]] = {
        "decode": partial(decode, files, image),
        "engine": partial(infer, pixels, extractor.engine),
        "stage": partial(stage, folder, extractor, image),
    }
    infer(pixels[:8], extractor.engine)
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
    figures = measure(options.data, finetune_recipe(FinetuneSettings(precision=options.precision)), options.repeats)
    for name, values in figures.items():
        print(f"{name:6}  min {min(values):.3f}  median {np.median(values):.3f}  max {max(values):.3f}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
