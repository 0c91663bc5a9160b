"""Build an architecture from its entry in the registry, from pixels to features."""

from importlib import import_module
from typing import Any

import keras

from tlkit.models.architectures.layers import ArchitectureOptions
from tlkit.models.architectures.registry import Architecture
from tlkit.models.backbones import TF, check_size
from tlkit.models.build import preprocess
from tlkit.utils.color import LUMA


def build_architecture(
    spec: Architecture, image_size: int, changes: dict[str, Any] | None = None, gray: bool = False, seed: int = 0
) -> keras.Model:
    """Build an architecture without its last layer, with random weights drawn from `seed`.

    in:  float32 (batch, image_size, image_size, 3), RGB, 0 to 255
    out: float32 (batch, num_features)

    Args:
        changes: what differs from the paper, by the names of `ArchitectureOptions`
        gray: whether its input is one channel of brightness instead of three colors

    Raises:
        OptionError: if it cannot be built for this image size
    """
    check_size(spec, image_size)
    keras.utils.set_random_seed(seed)
    pixels = keras.Input((image_size, image_size, 3), name="pixels")
    values = preprocess(TF, brightness(pixels) if gray else pixels)
    variant = ArchitectureOptions(**spec.defaults | (changes or {}))
    build = getattr(import_module(f"tlkit.models.architectures.{spec.file}"), spec.function)
    return keras.Model(pixels, build(values, variant, **spec.arguments), name=spec.name)


def brightness(pixels: Any) -> Any:
    """Weigh three channels to one of brightness, without parameters: (batch, height, width, 1), 0 to 255."""
    weighted = keras.layers.Rescaling([3 * weight for weight in LUMA], name="luma")(pixels)
    return keras.ops.mean(weighted, axis=-1, keepdims=True)
