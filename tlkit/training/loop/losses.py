"""Label smoothing, class weights, and the loss of a training that diverged. It imports no Keras."""

import math
from collections.abc import Callable

import numpy as np

DIVERGENCE_FACTOR = 5.0  # times the loss of an untrained classifier
MAX_CROSS_ENTROPY = 10.0  # for Keras's ends at 16


WEIGHTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "none": np.ones_like,
    "balanced": lambda counts: 1 / counts,
    "sqrt": lambda counts: 1 / np.sqrt(counts),
}


def divergence_bound(loss: str, num_classes: int) -> float:
    """Give the loss above which a training has diverged.

    >>> round(divergence_bound("cross-entropy", 3), 2), divergence_bound("hinge", 3)
    (5.49, 10.0)
    """
    if loss == "hinge":
        return DIVERGENCE_FACTOR * (num_classes - 1)
    return min(MAX_CROSS_ENTROPY, DIVERGENCE_FACTOR * math.log(num_classes))


def smooth_labels(targets: np.ndarray, smoothing: float) -> np.ndarray:
    """Smooth one-hot labels (Szegedy 2015): float32 (images, classes), rows sum to 1.

    >>> smooth_labels(np.eye(2, dtype=np.float32)[:1], 0.1).tolist()
    [[0.949999988079071, 0.05000000074505806]]
    """
    smooth: np.ndarray = (targets * (1 - smoothing) + smoothing / targets.shape[1]).astype(np.float32)
    return smooth


def class_balanced_weights(labels: np.ndarray, kind: str) -> np.ndarray:
    """Weigh images in the loss by the size of their class: float32 (images,), mean 1."""
    counts = np.bincount(labels).astype(np.float64)
    weights = WEIGHTS[kind](np.maximum(counts, 1))[labels]
    scaled: np.ndarray = (weights / weights.mean()).astype(np.float32)
    return scaled
