"""Figures of a candidate beside its accuracy: precision@5 of its features, and the epsilon that fools it."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import numpy as np

from tlkit.data.image import DecodedImage
from tlkit.errors import DataError
from tlkit.inference.inputs import NamedInput
from tlkit.inference.predictor import Predictor
from tlkit.robustness.attacks import pgd
from tlkit.robustness.gradient import LossGradient
from tlkit.robustness.square import square_attack
from tlkit.runs.manifest import MODEL
from tlkit.runs.run import Run
from tlkit.runs.trust import load_run_network
from tlkit.search.metrics import precision_at_k
from tlkit.utils.parallel import CHUNK, count_workers, in_chunks, ordered_map, single_threaded_blas
from tlkit.utils.storage import Location

NUM_NEAREST = 5
MAX_RANKED = 2000  # validation images that are queries, and neighbors of each other
MAX_ATTACKED = {"pgd": 50, "square": 20}  # correctly classified validation images
EPSILONS = (1, 2, 4, 8, 16, 32, 64, 128)  # gray levels, tried one after the other
STEPS, QUERIES = 10, 100  # of PGD; of the Square attack for each image
FOOLED = 0.5  # fraction of the attacked images
UNREADABLE = "no validation image that counts can be read."

Row = dict[str, str]
Item = TypeVar("Item")


def measure_retrieval(run: Run, root: Location) -> float:
    """Measure precision@5: how many of the five nearest validation images are of the class of an image, 0 to 1.

    Nearest is by the cosine of what the classifier of the run gets: features of a network, values of a descriptor, or
    pixels. The image itself and images with equal pixels do not count as its neighbors.

    Args:
        root: folder of the images

    Raises:
        DataError: if no image can be read, or none has a neighbor
    """
    rows = [row for row in run.read_rows("split.csv") if row["split"] == "validation"]
    predictor = Predictor(run)

    def extract(chunk: list[Row]) -> list[tuple[Row, np.ndarray]]:
        """Compute the features of a few images; one that cannot be read is left out."""
        read = _read_squares(predictor, root, chunk)
        if not read:
            return []
        features = predictor.network.extract(np.stack([pixels for _, pixels in read]))
        return [(row, vector.ravel()) for (row, _), vector in zip(read, features, strict=True)]

    with single_threaded_blas(), ThreadPoolExecutor(count_workers()) as pool:
        chunks = ordered_map(pool, extract, in_chunks(_spread(rows, MAX_RANKED), CHUNK))
        found = [item for chunk in chunks for item in chunk]
    if not found:
        raise DataError(UNREADABLE)
    features = np.stack([vector for _, vector in found])
    labels, groups = _labels(run, [row for row, _ in found]), np.array([row["group"] for row, _ in found])
    precision = precision_at_k(features, labels, NUM_NEAREST, groups)
    if not precision.num_queries:
        raise DataError("there are no two different validation images.")
    return precision.value


def measure_epsilon(run: Run, root: Location) -> float | None:
    """Find the smallest epsilon at which an attack changes half of the correct answers, in gray levels.

    The values are powers of two. The adversarial images are whole gray levels, and the run's own engine classifies
    them.

    Args:
        root: folder of the images

    Returns:
        None if no epsilon is enough

    Raises:
        DataError: if no image can be read
    """
    kind, predictor = attack_of(run), Predictor(run)
    correct = [row for row in run.read_rows("predictions_val.csv") if row["class"] == row["label"]]
    read = _read_squares(predictor, root, _spread(correct, MAX_ATTACKED[kind]))
    if not read:
        raise DataError(UNREADABLE)
    labels, images = _labels(run, [row for row, _ in read]), np.stack([pixels for _, pixels in read])

    def classify(squares: np.ndarray) -> np.ndarray:
        """Compute the probabilities that predict answers with."""
        return predictor.classify(predictor.network.extract(squares))

    change: Callable[[int], np.ndarray] = partial(
        square_attack, classify, images, labels, queries=QUERIES, options=(False, 0)
    )
    if kind == "pgd":
        change = partial(pgd, LossGradient(load_run_network(run, False)), images, labels, steps=STEPS)
    for epsilon in EPSILONS:
        if np.mean(classify(change(epsilon)).argmax(axis=1) != labels) >= FOOLED:
            return float(epsilon)
    return None


def attack_of(run: Run) -> str:
    """Name the attack that finds a run's epsilon: "pgd" along the gradient of a network, else "square"."""
    return "pgd" if MODEL in run.manifest.sha256 else "square"


def _read_squares(predictor: Predictor, root: Location, rows: Sequence[Row]) -> list[tuple[Row, np.ndarray]]:
    """Read the squares that the network gets; an image that cannot be read is left out."""
    files = [root / row["path"] for row in rows]
    decoded = [NamedInput(str(file), file).decode(predictor.manifest.image, identify=False) for file in files]
    return [(row, item.pixels) for row, item in zip(rows, decoded, strict=True) if isinstance(item, DecodedImage)]


def _labels(run: Run, rows: Sequence[Row]) -> np.ndarray:
    names = {name: label for label, name in enumerate(run.manifest.class_names)}
    return np.array([names[row["class"]] for row in rows], np.int32)


def _spread(items: Sequence[Item], max_items: int) -> Sequence[Item]:
    """Take at most `max_items` items, evenly spaced."""
    if len(items) <= max_items:
        return items
    return [items[index] for index in np.linspace(0, len(items) - 1, max_items).round().astype(int)]
