"""VGG (Simonyan and Zisserman 2014, arXiv:1409.1556): deep networks of 3 × 3 convolutions only."""

from typing import Any

import keras

from tlkit.models.architectures.layers import ArchitectureOptions, convolve, dense, max_pool

FILTERS = (64, 128, 256, 512, 512)  # by block
CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}  # columns A B D E


def build_vgg(pixels: Any, variant: ArchitectureOptions, depth: int) -> Any:
    """Build five blocks of convolutions, each with a pooling that halves the map, then two hidden layers.

    224 × 224 pixels and 1,000 classes: 132,863,336 parameters with 11 layers, 133,047,848 with 13,
    138,357,544 with 16 and 143,667,240 with 19; table 2 of the paper rounds them to 133, 133, 138 and 144 millions.
    """
    values = pixels
    for block, (filters, count) in enumerate(zip(FILTERS, CONVOLUTIONS[depth], strict=True), start=1):
        for number in range(1, count + 1):
            name = f"block{block}_conv{number}"
            values = variant.normalize_and_activate(convolve(values, variant.units(filters), 3, name), name)
        values = max_pool(values, 2, 2, f"block{block}_pool")
    values = keras.layers.Flatten(name="vectorized")(values)
    for name in ("fc6", "fc7"):
        values = variant.normalize_and_activate(dense(values, variant.units(4096), name), name)
        values = variant.apply_dropout(values, f"{name}_dropout")
    return values
