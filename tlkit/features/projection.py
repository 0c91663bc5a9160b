"""A map of images: their features in two dimensions, and the file of a run that holds it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from tlkit.data.folder import ImageFolder
from tlkit.errors import OptionError, RunError, require
from tlkit.models.keras_setup import start_keras
from tlkit.runs.manifest import IMAGE_MAP
from tlkit.runs.run import Run

MAX_IMAGES = 500  # of a run's map
MIN_NEIGHBORS = 4  # rows that t-SNE and UMAP need; of fewer they are the PCA
PERPLEXITY = 30  # of t-SNE: about the number of neighbors that count, as the paper has it
NUM_NEIGHBORS = 15  # of UMAP, as the paper has it
START_DEVIATION = 1e-4  # of the points that t-SNE starts from


@dataclass(frozen=True)
class ImageMap:
    """Images as points; images with similar features are near each other.

    Attributes:
        paths: relative to DATA
        class_names: the class of each image
        points: float32 (images, 2)
    """

    paths: tuple[str, ...]
    class_names: tuple[str, ...]
    points: np.ndarray


def project(features: np.ndarray, method: str = "pca", seed: int = 0) -> np.ndarray:
    """Project features to two dimensions.

    PCA keeps distances as well as a plane can. t-SNE (van der Maaten and Hinton 2008) and UMAP (McInnes et al. 2018)
    keep neighbors; the distance between two clusters and the size of a cluster mean little there. Both start from the
    PCA, so that the large structure is that of the data (Kobak and Linderman 2021).

    Args:
        features: (images, …), any number of values each, all finite
        method: "pca", "tsne" or "umap"
        seed: of t-SNE and UMAP; PCA draws nothing

    Returns:
        float32 (images, 2); the same for the same features, method and seed on one machine

    Raises:
        OptionError: for an unknown method
        ModelError: if the method's package is not installed

    >>> square = np.array([[0, 0], [4, 0], [0, 1], [4, 1]])
    >>> project(square).tolist()
    [[-2.0, -0.5], [2.0, -0.5], [-2.0, 0.5], [2.0, 0.5]]
    """
    if method not in ("pca", *EMBEDDINGS):
        raise OptionError(f"the method is {method!r}; expected one of pca, {', '.join(EMBEDDINGS)}.")
    rows = np.asarray(features, np.float64).reshape(len(features), math.prod(np.shape(features)[1:]))
    if method == "pca":
        return _pca(rows).astype(np.float32)
    package, embed = EMBEDDINGS[method]
    require(*package)
    points = _pca(rows)
    if len(rows) >= MIN_NEIGHBORS and points.any():
        points = embed(rows, points, seed)
    return points.astype(np.float32)


def _pca(rows: np.ndarray) -> np.ndarray:
    """Project rows on the two directions of the largest variance; the largest entry of each direction is positive."""
    points = np.zeros((len(rows), 2))
    if not rows.size:
        return points
    centered = rows - rows.mean(axis=0)
    if len(rows) < rows.shape[1]:  # the same directions from a smaller matrix
        variances, vectors = np.linalg.eigh(centered @ centered.T)
        directions = vectors[:, :-3:-1].T @ centered
        lengths = np.linalg.norm(directions, axis=1, keepdims=True)
        is_real = lengths > 1e-7 * np.sqrt(max(variances[-1], 0))  # the others are rounding
        directions = np.divide(directions, lengths, where=is_real, out=np.zeros_like(directions))
    else:
        directions = np.linalg.svd(centered, full_matrices=False)[2][:2]
    peaks = np.take_along_axis(directions, np.abs(directions).argmax(axis=1, keepdims=True), axis=1)
    points[:, : len(directions)] = centered @ (directions * np.sign(peaks)).T
    return points


def _tsne(rows: np.ndarray, start: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.manifold import TSNE

    start = (start / start[:, 0].std() * START_DEVIATION).astype(np.float32)
    perplexity = min(PERPLEXITY, (len(rows) - 1) / 3)
    points: np.ndarray = TSNE(perplexity=perplexity, init=start, random_state=seed, n_jobs=1).fit_transform(rows)
    return points


def _umap(rows: np.ndarray, start: np.ndarray, seed: int) -> np.ndarray:
    if find_spec("tensorflow"):
        start_keras()  # umap imports TensorFlow, too, which otherwise writes to stderr
    from umap import UMAP

    init = start.astype(np.float32) if np.ptp(start, axis=0).all() else "random"  # it divides by their extent
    neighbors = min(NUM_NEIGHBORS, len(rows) - 1)
    points: np.ndarray = UMAP(n_neighbors=neighbors, init=init, random_state=seed, n_jobs=1).fit_transform(rows)
    return points


EMBEDDINGS: dict[str, tuple[tuple[str, str, str], Callable[[np.ndarray, np.ndarray, int], np.ndarray]]] = {
    "tsne": (("scikit-learn", "classic", "a t-SNE map"), _tsne),
    "umap": (("umap-learn", "umap", "a UMAP map"), _umap),
}


def map_positions(num_images: int) -> np.ndarray:
    """Choose the images of a run's map: at most 500, evenly from all, so that classes keep their proportions.

    >>> map_positions(3).tolist(), len(map_positions(2527)), map_positions(2527)[:3].tolist()
    ([0, 1, 2], 500, [0, 5, 10])
    """
    return np.linspace(0, num_images - 1, min(num_images, MAX_IMAGES)).astype(int)


def write_map(run: Run, images: ImageFolder, features: np.ndarray) -> None:
    """Write a run's map.csv: path, class, and x and y of the PCA of at most 500 images.

    Args:
        features: of these images, float32 (images, …)
    """
    positions = map_positions(len(images))
    points = project(features[positions])
    rows: list[Sequence[Any]] = [
        (images.paths[position], images.class_names[images.labels[position]], f"{x:.6g}", f"{y:.6g}")
        for position, (x, y) in zip(positions, points.tolist(), strict=True)
    ]
    run.write_rows(IMAGE_MAP, ("path", "class", "x", "y"), rows)


def read_map(run: Run) -> ImageMap:
    """Read the map of a finished run, from map.csv.

    Raises:
        RunError: if it is missing or damaged
    """
    rows = run.read_rows(IMAGE_MAP)
    try:
        points = np.array([(float(row["x"]), float(row["y"])) for row in rows], np.float32)
        if len(rows) > MAX_IMAGES or not np.isfinite(points).all():
            raise ValueError(f"it has more than {MAX_IMAGES} rows, or a point that is not finite")
    except (ValueError, OverflowError) as error:
        file = run.path / IMAGE_MAP
        raise RunError(f"'{file}' is damaged ({error}); restore it or train again.") from None
    return ImageMap(tuple(row["path"] for row in rows), tuple(row["class"] for row in rows), points)
