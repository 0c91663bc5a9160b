"""Loss functions of Keras, and ours as one of them."""

from collections.abc import Callable
from typing import Any

import keras

MIN_PROBABILITY = 1e-37  # above the smallest of float32, so that its logarithm is finite


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
