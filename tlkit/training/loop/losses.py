"""Losses, label smoothing, class weights."""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

MIN_PROBABILITY = 1e-37  # above the smallest of float32, so that its logarithm is finite
DIVERGENCE_FACTOR = 5.0  # times the loss of an untrained classifier
MAX_CROSS_ENTROPY = 10.0  # for Keras's ends at 16


class MulticlassHinge(keras.losses.Loss):  # type: ignore[misc]
    """The hinge loss of the multiclass SVM: the sum over j ≠ y of max(0, s_j − s_y + 1) (Weston and Watkins 1998).

    The scores s are what the softmax is taken of. It shifts all of them alike, so the differences of the logarithms
    of its probabilities are those of the scores. For an image mixed of two classes (MixUp) the loss is the mean of
    both, weighted by its target.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Compute the loss of each image.

        Args:
            y_true: (images, classes), rows sum to 1, with one or two classes above 0
            y_pred: probabilities (images, classes)
        """
        scores = keras.ops.log(keras.ops.maximum(y_pred, MIN_PROBABILITY))
        weights, classes = keras.ops.top_k(keras.ops.cast(y_true, scores.dtype), 2)
        of_classes = keras.ops.take_along_axis(scores, classes, axis=-1)  # (images, 2)
        margins = keras.ops.maximum(scores[:, None, :] - of_classes[:, :, None] + 1.0, 0.0)
        return keras.ops.sum(weights * (keras.ops.sum(margins, axis=-1) - 1.0), axis=-1)  # 1 is that of j = y


LOSSES: dict[str, Callable[..., keras.losses.Loss]] = {
    "cross-entropy": keras.losses.CategoricalCrossentropy,
    "mean-squared-error": keras.losses.MeanSquaredError,
    "focal": keras.losses.CategoricalFocalCrossentropy,  # Lin 2017, gamma 2
    "hinge": MulticlassHinge,
}
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
