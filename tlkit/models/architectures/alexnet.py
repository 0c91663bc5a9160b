"""AlexNet (Krizhevsky, Sutskever and Hinton 2012, NeurIPS)."""

from typing import Any

import keras

from tlkit.models.architectures.layers import ArchitectureOptions, convolve, dense, max_pool


def build_alexnet(pixels: Any, variant: ArchitectureOptions) -> Any:
    """Build five convolutions and two hidden layers with rectifiers and dropout.

    Convolutions 2, 4 and 5 are in two groups, which were two graphics cards: their filters are
    5 × 5 × 48, 3 × 3 × 192 and 3 × 3 × 192. 227 × 227 pixels (224 in the paper, whose sizes do not
    fit each other) and 1,000 classes: 60,965,224 parameters, like Caffe's reference model.

    Left out: local response normalization, in which later papers found no benefit (Simonyan 2014);
    with --batch-norm, each layer has a batch norm in its place.
    """
    values = _layer(pixels, 96, 11, "conv1", variant, strides=4, padding="valid")
    values = max_pool(values, 3, 2, "pool1")
    values = max_pool(_layer_in_two_groups(values, 256, 5, "conv2", variant), 3, 2, "pool2")
    values = _layer(values, 384, 3, "conv3", variant)
    values = _layer_in_two_groups(values, 384, 3, "conv4", variant)
    values = max_pool(_layer_in_two_groups(values, 256, 3, "conv5", variant), 3, 2, "pool5")
    values = keras.layers.Flatten(name="vectorized")(values)
    for name in ("fc6", "fc7"):
        values = variant.apply_dropout(values, f"{name}_dropout")
        values = variant.normalize_and_activate(dense(values, variant.units(4096), name), name)
    return values


def _layer(values: Any, filters: int, size: int, name: str, variant: ArchitectureOptions, **options: Any) -> Any:
    values = convolve(values, variant.units(filters), size, name, **options)
    return variant.normalize_and_activate(values, name)


def _layer_in_two_groups(values: Any, filters: int, size: int, name: str, variant: ArchitectureOptions) -> Any:
    """Apply half of the filters to each half of the channels; Keras's `groups` does not train on every processor."""
    filters = max(2, variant.units(filters))
    half = values.shape[-1] // 2
    first = convolve(values[..., :half], filters // 2, size, f"{name}_upper")
    second = convolve(values[..., half:], filters - filters // 2, size, f"{name}_lower")
    values = keras.layers.Concatenate(name=name)([first, second])
    return variant.normalize_and_activate(values, name)
