"""Linear probes: how well a linear classifier does on the averages of a network's feature maps, depth by depth.

Where the last map, made for ImageNet's classes, tells the classes apart better than a finer one
below it, the photos are like ImageNet's; where the finer one does, they are not (Alain and Bengio
2016; Kornblith 2019).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from tlkit.data.deal import unit_hash

ALL = "all"  # the name of all depths together
FOLDS = 5
RIDGE = 0.3  # times the number of features; chosen on three folders, docs/decisions/011
MOST_IMAGES = 4000  # more tell no more
SPREAD = 1e-3  # added to the deviation of a feature, so that a constant one stays harmless


def probe_depths(
    features: np.ndarray, labels: np.ndarray, groups: Sequence[str], depths: Mapping[str, slice]
) -> dict[str, float]:
    """Cross-validated accuracy of a ridge classifier, for each depth and for all depths together.

    features: float (images, length), standardized here over all images
    groups: of equal pixels; a group never lies on both sides of a fold
    depths: columns by name
    returns: accuracy by name, and as `ALL` on all columns
    """
    places = np.array([unit_hash(group, seed=FOLDS) for group in groups])
    rows = np.argsort(places, kind="stable")[:MOST_IMAGES]
    folds = (places[rows] / (places[rows].max() + 1e-9) * FOLDS).astype(int)
    values = _standardized(features[rows])
    targets = np.eye(int(labels.max()) + 1, dtype=np.float32)[labels[rows]]
    columns = {**depths, ALL: slice(None)}
    return {name: _cross_validated(values[:, part], targets, folds) for name, part in columns.items()}


def _standardized(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float32)
    standardized: np.ndarray = (values - values.mean(axis=0)) / (values.std(axis=0) + SPREAD)
    return standardized


def _cross_validated(values: np.ndarray, targets: np.ndarray, folds: np.ndarray) -> float:
    """The share of images that the classifier of the other folds gets right."""
    parts = [folds == fold for fold in range(FOLDS)]
    squares = [values[part].T @ values[part] for part in parts]
    products = [values[part].T @ (targets[part] - targets.mean(axis=0)) for part in parts]
    right = 0
    for part, square, product in zip(parts, squares, products, strict=True):
        ridge = RIDGE * values.shape[1] * np.eye(values.shape[1], dtype=np.float32)
        weights = np.linalg.solve(sum(squares) - square + ridge, sum(products) - product)
        scores = values[part] @ weights  # without the classes' shares, which would win where images are few
        right += int((scores.argmax(axis=1) == targets[part].argmax(axis=1)).sum())
    return right / len(values)
