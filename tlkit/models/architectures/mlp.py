"""The linear classifier, and the multi-layer perceptron (Rumelhart, Hinton and Williams 1986)."""

from typing import Any

import keras

from tlkit.models.architectures.layers import ArchitectureOptions, dense


def build_linear(pixels: Any, variant: ArchitectureOptions) -> Any:
    """The pixels in one row; the classifier's last layer is all there is to learn.

    28 × 28 grey pixels and ten classes: 784 × 10 weights and 10 biases, 7,850 parameters.
    """
    return keras.layers.Flatten(name="vectorised")(pixels)


def build_mlp(pixels: Any, variant: ArchitectureOptions) -> Any:
    """Vectorised pixels through hidden layers, two by default.

    28 × 28 grey pixels, 200 and 80 units, ten classes: 157,000 + 16,080 + 810 = 173,890 parameters.
    """
    values = keras.layers.Flatten(name="vectorised")(pixels)
    for place, units in enumerate(variant.hidden, start=1):
        values = dense(values, variant.units(units), f"hidden_{place}")
        values = variant.finish(values, f"hidden_{place}")
        values = variant.drop(values, f"hidden_{place}_dropout")
    return values
