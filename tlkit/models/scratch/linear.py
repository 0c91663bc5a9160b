"""The linear classifier: softmax(XW + b) on vectorised pixels."""

from typing import Any

import keras

from tlkit.models.scratch.parts import Variant


def build_linear(pixels: Any, variant: Variant) -> Any:
    """The pixels in one row; the classifier's last layer is all there is to learn.

    28 × 28 grey pixels and ten classes: 784 × 10 weights and 10 biases, 7,850 parameters.
    """
    return keras.layers.Flatten(name="vectorised")(pixels)
