"""GoogLeNet (Szegedy 2014, arXiv:1409.4842), made of inception modules."""

from typing import Any

import keras

from tlkit.models.architectures.layers import ArchitectureOptions, average_pool, convolve, dense, max_pool

MODULES = {  # table 1: 1×1, 3×3 reduce, 3×3, 5×5 reduce, 5×5, pool projection
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
POOLED_AFTER = ("3b", "4e")
AUXILIARY_DROPOUT = 0.7


def build_googlenet(pixels: Any, variant: ArchitectureOptions) -> Any:
    """Build twenty-two layers with weights: three convolutions, nine inception modules, one classifier.

    224 × 224 pixels and 1,000 classes: 6,998,552 parameters; 13,378,280 with the two auxiliary
    classifiers of the training, like Caffe's reference model. Left out: local response
    normalization, as in `alexnet`.
    """
    values = _layer(pixels, 64, 7, "conv1", variant, strides=2)
    values = max_pool(values, 3, 2, "pool1", padding="same")
    values = _layer(values, 64, 1, "conv2_reduce", variant)
    values = _layer(values, 192, 3, "conv2", variant)
    values = max_pool(values, 3, 2, "pool2", padding="same")
    for name, filters in MODULES.items():
        values = inception(values, filters, f"inception_{name}", variant)
        if name in POOLED_AFTER:
            values = max_pool(values, 3, 2, f"pool{name[0]}", padding="same")
    return variant.apply_dropout(average_pool(values), "dropout")


def build_auxiliary(values: Any, variant: ArchitectureOptions, name: str) -> Any:
    """Build an auxiliary classifier up to its last layer: average, 1 × 1 convolution, hidden layer, dropout."""
    size = min(5, values.shape[1])
    values = keras.layers.AveragePooling2D(size, 3, name=f"{name}_pool")(values)
    values = keras.layers.Flatten(name=f"{name}_vectorized")(_layer(values, 128, 1, f"{name}_conv", variant))
    values = variant.normalize_and_activate(dense(values, variant.units(1024), f"{name}_fc"), f"{name}_fc")
    return keras.layers.Dropout(AUXILIARY_DROPOUT, name=f"{name}_dropout")(values)


def inception(values: Any, filters: tuple[int, ...], name: str, variant: ArchitectureOptions) -> Any:
    """Put windows of 1 × 1, 3 × 3 and 5 × 5 and a pooling side by side; 1 × 1 convolutions reduce channels first."""
    one, reduce3, three, reduce5, five, projected = filters
    small = _layer(values, one, 1, f"{name}_1x1", variant)
    middle = _layer(_layer(values, reduce3, 1, f"{name}_3x3_reduce", variant), three, 3, f"{name}_3x3", variant)
    large = _layer(_layer(values, reduce5, 1, f"{name}_5x5_reduce", variant), five, 5, f"{name}_5x5", variant)
    pooled = _layer(max_pool(values, 3, 1, f"{name}_pool", padding="same"), projected, 1, f"{name}_project", variant)
    return keras.layers.Concatenate(name=name)([small, middle, large, pooled])


def _layer(values: Any, filters: int, size: int, name: str, variant: ArchitectureOptions, **options: Any) -> Any:
    return variant.normalize_and_activate(convolve(values, variant.units(filters), size, name, **options), name)
