"""The neocognitron (Fukushima 1980, Biological Cybernetics 36:193), in its form of today."""

from typing import Any

import keras

from tlkit.models.architectures.layers import ArchitectureOptions, convolve

STAGES = (24, 38, 50, 64)  # planes of cells by stage


def build_neocognitron(pixels: Any, variant: ArchitectureOptions) -> Any:
    """Build four stages of S-cells, which detect a feature, and C-cells, which tolerate a small shift of it.

    S-layer: every plane detects one feature in a 3 × 3 window of all planes of the stage before, a
    convolution with a rectifier. C-layer: every cell averages a 3 × 3 window of S-cells of its own plane,
    with a stride of 2.

    In 1980 the planes were learned layer by layer without labels: the S-cell with the strongest response
    was reinforced, and inhibitory V-cells divided each response by the strength of its input. Here all
    weights are learned together from labels, by backpropagation; there are no V-cells, and the last layer
    is the classifier. Three colors, ten classes, 32 × 32 pixels: 57,502 parameters.
    """
    values = pixels
    for stage, planes in enumerate(STAGES, start=1):
        values = convolve(values, variant.units(planes), 3, f"s{stage}")
        values = variant.normalize_and_activate(values, f"s{stage}")
        values = keras.layers.AveragePooling2D(3, 2, padding="same", name=f"c{stage}")(values)
    return keras.layers.Flatten(name="vectorized")(values)
