"""AlexNet (Krizhevsky, Sutskever and Hinton 2012, NeurIPS)."""

from typing import Any

import keras

from tlkit.models.architectures.layers import ArchitectureOptions, convolve, dense, max_pool


def build_alexnet(pixels: Any, variant: ArchitectureOptions) -> Any:
    """Five convolutions and two hidden layers with rectifiers and dropout.

    Convolutions 2, 4 and 5 are in two groups, which were two graphics cards: their filters are
    5 × 5 × 48, 3 × 3 × 192 and 3 × 3 × 192. 227 × 227 pixels (224 in the paper, whose sizes do not
    fit each other) and 1,000 classes: 60,965,224 parameters, as Caffe's reference model has them.

    Left out: local response normalization, which later papers found to bring nothing (Simonyan 2014);
    with --batch-norm, each layer has a batch norm in its place.
    """
    values = _layer(pixels, 96, 11, "conv1", variant, strides=4, padding="valid")
    values = max_pool(values, 3, 2, "pool1")
    values = max_pool(_layer(values, 256, 5, "conv2", variant, groups=2), 3, 2, "pool2")
    values = _layer(values, 384, 3, "conv3", variant)
    values = _layer(values, 384, 3, "conv4", variant, groups=2)
    values = max_pool(_layer(values, 256, 3, "conv5", variant, groups=2), 3, 2, "pool5")
    values = keras.layers.Flatten(name="vectorised")(values)
    for name in ("fc6", "fc7"):
        values = variant.finish(dense(variant.drop(values, f"{name}_dropout"), variant.units(4096), name), name)
    return values


def _layer(
    values: Any, filters: int, size: int, name: str, variant: ArchitectureOptions, groups: int = 1, **options: Any
) -> Any:
    filters = max(groups, variant.units(filters))
    made = _grouped(values, filters, size, name) if groups > 1 else convolve(values, filters, size, name, **options)
    return variant.finish(made, name)


def _grouped(values: Any, filters: int, size: int, name: str) -> Any:
    """Half of the filters on each half of the channels; Keras's `groups` does not train on every processor."""
    half = values.shape[-1] // 2
    upper, lower = values[..., :half], values[..., half:]
    sides = [(upper, filters // 2, f"{name}_upper"), (lower, filters - filters // 2, f"{name}_lower")]
    parts = [convolve(part, count, size, side) for part, count, side in sides]
    return keras.layers.Concatenate(name=name)(parts)
