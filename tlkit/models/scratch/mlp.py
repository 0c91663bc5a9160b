"""The multi-layer perceptron: fully connected hidden layers (Rumelhart, Hinton and Williams 1986)."""

from typing import Any

import keras

from tlkit.models.scratch.parts import Variant, dense


def build_mlp(pixels: Any, variant: Variant) -> Any:
    """Vectorised pixels through hidden layers, two by default.

    28 × 28 grey pixels, 200 and 80 units, ten classes: 157,000 + 16,080 + 810 = 173,890 parameters.
    """
    values = keras.layers.Flatten(name="vectorised")(pixels)
    for place, units in enumerate(variant.hidden, start=1):
        values = dense(values, variant.units(units), f"hidden_{place}")
        values = variant.finish(values, f"hidden_{place}")
        values = variant.drop(values, f"hidden_{place}_dropout")
    return values
