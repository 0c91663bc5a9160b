"""The neocognitron (Fukushima 1980, Biological Cybernetics 36:193), in the form it is used today."""

from typing import Any

import keras

from tlkit.models.architectures.layers import ArchitectureOptions, convolve

STAGES = (24, 38, 50, 64)  # planes of cells by stage


def build_neocognitron(pixels: Any, variant: ArchitectureOptions) -> Any:
    """Four stages of S-cells, which find a feature, and C-cells, which find it again where it has shifted a little.

    S-layer: every plane looks for one feature in a 3 × 3 window of all planes below, a convolution with
    a rectifier. C-layer: every cell gathers a 3 × 3 window of S-cells of its own plane, here by the
    average, with a stride of 2.

    In 1980 the planes were learnt layer by layer without labels: the S-cell that answered most was made
    to answer more, and inhibitory V-cells divided each answer by the strength of its input. Here all
    weights are learnt together from labels, by backpropagation; there are no V-cells, and the last layer
    is the classifier. Three colours, ten classes, 32 × 32 pixels: 57,502 parameters.
    """
    values = pixels
    for stage, planes in enumerate(STAGES, start=1):
        values = convolve(values, variant.units(planes), 3, f"s{stage}")
        values = variant.finish(values, f"s{stage}")
        values = keras.layers.AveragePooling2D(3, 2, padding="same", name=f"c{stage}")(values)
    return keras.layers.Flatten(name="vectorised")(values)
