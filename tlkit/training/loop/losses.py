"""Losses, label smoothing, class weights."""

from collections.abc import Callable

import keras
import numpy as np

IMBALANCE_RATIO = 3.0  # times as many images in the commonest class as in the rarest, from which on F1 decides

LOSSES: dict[str, Callable[[], keras.losses.Loss]] = {
    "cross-entropy": keras.losses.CategoricalCrossentropy,
    "mean-squared-error": keras.losses.MeanSquaredError,
    "focal": keras.losses.CategoricalFocalCrossentropy,  # Lin 2017, gamma 2
}
WEIGHTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "none": np.ones_like,
    "balanced": lambda counts: 1 / counts,
    "sqrt": lambda counts: 1 / np.sqrt(counts),
}


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


def is_imbalanced(labels: np.ndarray) -> bool:
    """Tell whether the commonest class has so many times as many images as the rarest that accuracy misleads."""
    counts = np.bincount(labels)
    return bool(counts.max() >= IMBALANCE_RATIO * max(1, counts[counts > 0].min()))
