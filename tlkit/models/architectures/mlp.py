"""The linear classifier, and the multi-layer perceptron (Rumelhart, Hinton and Williams 1986)."""

from typing import Any

import keras

from tlkit.models.architectures.layers import ArchitectureOptions, dense


def build_linear(pixels: Any, variant: ArchitectureOptions) -> Any:
    """Flatten the pixels; the classifier's last layer, which `attach_head` adds, is the only one with weights.

    28 × 28 gray pixels and ten classes: 784 × 10 weights and 10 biases, 7,850 parameters.
    """
    return keras.layers.Flatten(name="vectorized")(pixels)


def build_mlp(pixels: Any, variant: ArchitectureOptions) -> Any:
    """Pass the flattened pixels through hidden layers, two by default.

    28 × 28 gray pixels, 200 and 80 units, ten classes: 157,000 + 16,080 + 810 = 173,890 parameters.
    """
    values = keras.layers.Flatten(name="vectorized")(pixels)
    for number, units in enumerate(variant.hidden, start=1):
        values = dense(values, variant.units(units), f"hidden_{number}")
        values = variant.normalize_and_activate(values, f"hidden_{number}")
        values = variant.apply_dropout(values, f"hidden_{number}_dropout")
    return values
