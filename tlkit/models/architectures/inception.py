"""A small network of the modules of inception v2 and v3 (Szegedy 2015, arXiv:1512.00567)."""

from typing import Any

import keras

from tlkit.models.architectures.layers import ArchitectureOptions, apply_batch_norm, average_pool, convolve, max_pool

FLAT = 7  # length of the flattened windows, as on the paper's 17 × 17 maps


def build_inception_small(pixels: Any, variant: ArchitectureOptions) -> Any:
    """Build one module of each of the paper's three kinds, with a grid reduction between them.

    Factorized (figure 5): two 3 × 3 instead of 5 × 5, 18 weights instead of 25. Flattened (figure 6):
    7 × 1 after 1 × 7 instead of 7 × 7, 14 weights instead of 49. Spread (figure 7): 1 × 3 beside 3 × 1
    on the coarsest map. Grid reduction (figure 10): convolutions and a pooling with a stride of 2 side
    by side, so that no map loses channels before it is reduced. Every convolution has a batch norm.
    The network is our own; the paper's is `inception_v3`. Ten classes: 979,754 parameters.
    """
    values = _layer(pixels, 32, 3, "conv1", variant, strides=2 if pixels.shape[1] >= 64 else 1)
    values = _layer(values, 64, 3, "conv2", variant)
    values = max_pool(values, 3, 2, "pool2", padding="same")
    values = factorized(values, 32, "factorized", variant)
    values = reduced(values, 64, "reduced_1", variant)
    values = flattened(values, 64, "flattened", variant)
    values = reduced(values, 64, "reduced_2", variant)
    values = spread(values, 96, "spread", variant)
    return variant.apply_dropout(average_pool(values), "dropout")


def factorized(values: Any, filters: int, name: str, variant: ArchitectureOptions) -> Any:
    """Put side by side: 1 × 1; 3 × 3; 3 × 3 twice; pooling."""
    middle = _layer(_layer(values, filters, 1, f"{name}_b1", variant), filters, 3, f"{name}_b2", variant)
    large = _layer(values, filters, 1, f"{name}_c1", variant)
    for number in (2, 3):
        large = _layer(large, filters, 3, f"{name}_c{number}", variant)
    return _module(values, [middle, large], filters, name, variant)


def flattened(values: Any, filters: int, name: str, variant: ArchitectureOptions) -> Any:
    """Put side by side: 1 × 1; 1 × 7 and 7 × 1; the same twice; pooling."""
    middle = _flat(_layer(values, filters, 1, f"{name}_b1", variant), filters, f"{name}_b", variant)
    large = _layer(values, filters, 1, f"{name}_c1", variant)
    for letter in ("c", "d"):
        large = _flat(large, filters, f"{name}_{letter}", variant)
    return _module(values, [middle, large], filters, name, variant)


def spread(values: Any, filters: int, name: str, variant: ArchitectureOptions) -> Any:
    """Put side by side: 1 × 1; 1 × 3 beside 3 × 1; the same after a 3 × 3; pooling."""
    middle = _layer(values, filters, 1, f"{name}_b1", variant)
    large = _layer(_layer(values, filters, 1, f"{name}_c1", variant), filters, 3, f"{name}_c2", variant)
    branches = [
        _layer(branch, filters // 2, size, f"{name}_{letter}_{size[0]}x{size[1]}", variant)
        for branch, letter in ((middle, "b"), (large, "c"))
        for size in ((1, 3), (3, 1))
    ]
    return _module(values, branches, filters, name, variant)


def reduced(values: Any, filters: int, name: str, variant: ArchitectureOptions) -> Any:
    """Halve the resolution and add channels: 3 × 3 with a stride of 2; the same after a 3 × 3; pooling."""
    middle = _layer(values, filters, 3, f"{name}_b1", variant, strides=2)
    large = _layer(_layer(values, filters, 1, f"{name}_c1", variant), filters, 3, f"{name}_c2", variant)
    large = _layer(large, filters, 3, f"{name}_c3", variant, strides=2)
    pooled = max_pool(values, 3, 2, f"{name}_pool", padding="same")
    return keras.layers.Concatenate(name=name)([middle, large, pooled])


def _module(values: Any, branches: list[Any], filters: int, name: str, variant: ArchitectureOptions) -> Any:
    """Put the branches beside those that every module has: 1 × 1, and a pooling with a projection."""
    small = _layer(values, filters, 1, f"{name}_a1", variant)
    pooled = keras.layers.AveragePooling2D(3, 1, padding="same", name=f"{name}_pool")(values)
    projected = _layer(pooled, filters, 1, f"{name}_project", variant)
    return keras.layers.Concatenate(name=name)([small, *branches, projected])


def _flat(values: Any, filters: int, name: str, variant: ArchitectureOptions) -> Any:
    for size in ((1, FLAT), (FLAT, 1)):
        values = _layer(values, filters, size, f"{name}_{size[0]}x{size[1]}", variant)
    return values


def _layer(
    values: Any, filters: int, size: int | tuple[int, int], name: str, variant: ArchitectureOptions, **options: Any
) -> Any:
    values = convolve(values, variant.units(filters), size, name, use_bias=False, **options)
    return variant.activate(apply_batch_norm(values, f"{name}_bn"), f"{name}_{variant.activation}")
