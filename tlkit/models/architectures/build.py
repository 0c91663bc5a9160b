"""Builds a network of the course from its row: pixels in, features out."""

from importlib import import_module
from typing import Any

import keras

from tlkit.models.architectures.layers import ArchitectureOptions
from tlkit.models.architectures.registry import Architecture
from tlkit.models.backbones import TF, check_size
from tlkit.models.build import preprocess
from tlkit.utils.color import LUMA


def build_architecture(
    row: Architecture, image_size: int, changes: dict[str, Any] | None = None, grey: bool = False, seed: int = 0
) -> keras.Model:
    """A network without its last layer, with random weights drawn from `seed`.

    in:  float32 (batch, image_size, image_size, 3), RGB, 0 to 255
    out: float32 (batch, num_features)
    changes: what differs from the paper's, by the names of `Variant`
    grey: whether it sees one channel of brightness instead of three colours
    raises: OptionError where it cannot be built for this image size
    """
    check_size(row, image_size)
    keras.utils.set_random_seed(seed)
    pixels = keras.Input((image_size, image_size, 3), name="pixels")
    values = preprocess(TF, brightness(pixels) if grey else pixels)
    build = getattr(import_module(f"tlkit.models.architectures.{row.file}"), row.function)
    return keras.Model(
        pixels, build(values, ArchitectureOptions(**row.own | (changes or {})), **row.options), name=row.name
    )


def brightness(pixels: Any) -> Any:
    """One channel of three, without a parameter: (batch, height, width, 1), 0 to 255."""
    weighted = keras.layers.Rescaling([3 * share for share in LUMA], name="luma")(pixels)
    return keras.ops.mean(weighted, axis=-1, keepdims=True)
