"""Residual networks (He, Zhang, Ren and Sun 2015, arXiv:1512.03385), and a plain network without shortcuts."""

from typing import Any

import keras

from tlkit.models.architectures.layers import ArchitectureOptions, apply_batch_norm, average_pool, convolve, max_pool

FILTERS = (64, 128, 256, 512)  # by stage
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}  # table 1
EXPANSION = 4  # of a bottleneck's last convolution
SMALL_FILTERS = (16, 32, 64)  # by stage, of the networks for small images
MIN_STEM_SIZE = 64  # pixels, for the first convolution and pooling of the large networks


def build_resnet(pixels: Any, variant: ArchitectureOptions, depth: int, shortcuts: bool = True) -> Any:
    """Build four stages of blocks; each block adds to its input the output of two or three convolutions.

    From 50 layers on, a block is a bottleneck: 1 × 1 to fewer channels, 3 × 3, 1 × 1 to four times
    as many. Where shapes differ, the shortcut is a 1 × 1 convolution (option B). 1,000 classes:
    11,689,512 parameters with 18 layers, 21,797,672 with 34, 25,557,032 with 50, 44,549,160 with 101 and
    60,192,808 with 152, moving statistics not counted; the plain 34 layers have 21,623,848.

    Images below 64 pixels would be too small after the first convolution and pooling; one 3 × 3
    convolution takes their place.
    """
    values = _stem(pixels, variant)
    for stage, (filters, count) in enumerate(zip(FILTERS, BLOCKS[depth], strict=True), start=2):
        for block in range(1, count + 1):
            stride = 2 if block == 1 and stage > 2 else 1
            build_block = _bottleneck if depth >= 50 else _basic
            name = f"conv{stage}_block{block}"
            residual = build_block(values, variant.units(filters), stride, name, variant)
            values = _join(values, residual, stride, name, variant) if shortcuts else _act(residual, name, variant)
    return variant.apply_dropout(average_pool(values), "dropout")


def build_small_resnet(pixels: Any, variant: ArchitectureOptions, depth: int) -> Any:
    """Build a network for small images (section 4.2): three stages of (depth - 2) / 6 blocks.

    A shortcut has no parameters (option A): every second pixel, and zeros in the new channels. Ten
    classes: 269,722 parameters with 20 layers, 464,154 with 32, 658,586 with 44, 853,018 with 56 and
    1,727,962 with 110.
    """
    values = _act(_normed(convolve(pixels, variant.units(16), 3, "conv1", use_bias=False), "conv1"), "conv1", variant)
    for stage, filters in enumerate(SMALL_FILTERS, start=2):
        for block in range(1, (depth - 2) // 6 + 1):
            stride = 2 if block == 1 and stage > 2 else 1
            name = f"conv{stage}_block{block}"
            residual = _basic(values, variant.units(filters), stride, name, variant)
            values = _add(_subsampled(values, residual.shape[-1], stride), residual, name, variant)
    return variant.apply_dropout(average_pool(values), "dropout")


def _stem(pixels: Any, variant: ArchitectureOptions) -> Any:
    small = pixels.shape[1] < MIN_STEM_SIZE
    size, stride = (3, 1) if small else (7, 2)
    values = _conv(pixels, variant.units(64), size, "conv1", stride)
    values = _act(values, "conv1", variant)
    return values if small else max_pool(values, 3, 2, "pool1", padding="same")


def _basic(values: Any, filters: int, stride: int, name: str, variant: ArchitectureOptions) -> Any:
    values = _act(_conv(values, filters, 3, f"{name}_1", stride), f"{name}_1", variant)
    return _conv(values, filters, 3, f"{name}_2")


def _bottleneck(values: Any, filters: int, stride: int, name: str, variant: ArchitectureOptions) -> Any:
    values = _act(_conv(values, filters, 1, f"{name}_1", stride), f"{name}_1", variant)
    values = _act(_conv(values, filters, 3, f"{name}_2"), f"{name}_2", variant)
    return _conv(values, filters * EXPANSION, 1, f"{name}_3")


def _join(values: Any, residual: Any, stride: int, name: str, variant: ArchitectureOptions) -> Any:
    """Add the residual to the block's input, which passes a convolution where shapes differ."""
    if values.shape[-1] != residual.shape[-1] or stride > 1:
        values = _conv(values, residual.shape[-1], 1, f"{name}_shortcut", stride)
    return _add(values, residual, name, variant)


def _add(values: Any, residual: Any, name: str, variant: ArchitectureOptions) -> Any:
    return _act(keras.layers.Add(name=f"{name}_add")([values, residual]), name, variant)


def _subsampled(values: Any, channels: int, stride: int) -> Any:
    """Take every second pixel, and add channels of zeros, half of them before and half after the old ones."""
    if stride > 1:
        values = values[:, ::stride, ::stride]
    new = channels - values.shape[-1]
    return keras.ops.pad(values, ((0, 0), (0, 0), (0, 0), (new // 2, new - new // 2))) if new else values


def _conv(values: Any, filters: int, size: int, name: str, stride: int = 1) -> Any:
    return _normed(convolve(values, filters, size, name, strides=stride, use_bias=False), name)


def _normed(values: Any, name: str) -> Any:
    return apply_batch_norm(values, f"{name}_bn")


def _act(values: Any, name: str, variant: ArchitectureOptions) -> Any:
    return variant.activate(values, f"{name}_{variant.activation}")
