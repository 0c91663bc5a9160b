"""Backbones of KerasHub: `--backbone hub:PRESET`, a folder that KerasHub saved, or the name of a preset in its cache.

The preset's layers become one flat network from pixels to an average of its last feature map. All of it stays frozen:
where such a network may be cut, and which of its batch norms may be trained, is not known.
"""

import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlkit.errors import ModelError, OptionError, require
from tlkit.models.keras_setup import start_keras
from tlkit.models.sources import FreshStart
from tlkit.utils.silence import silenced_stderr

PREFIX = "hub:"
IMAGE_SIZE = 224  # where no other is asked for, in pixels
OFFLINE = {"HF_HUB_OFFLINE": "1", "KAGGLE_HUB_OFFLINE": "1"}  # nothing is downloaded


@dataclass(frozen=True)
class HubBackbone(FreshStart):
    """A backbone of KerasHub with the weights of a preset, as a `NetworkSource`.

    Attributes:
        preset: a folder, or the name of a preset that KerasHub has cached
    """

    preset: str
    image_size: int

    is_pretrained = True

    @property
    def name(self) -> str:
        """Its name, as `--backbone` takes it."""
        return PREFIX + self.preset

    def build(self) -> Any:
        """Build it; see `NetworkSource`.

        Raises:
            ModelError: if KerasHub or the preset is missing, or the preset is not a network of images
        """
        require("keras-hub", "hub", f"--backbone {PREFIX}")
        keras = start_keras()
        with silenced_stderr(), _offline():
            import keras_hub

            body, converter = self._load(keras_hub)
        from tlkit.models.build import connect_to_pixels

        values = pixels = keras.Input((self.image_size, self.image_size, 3), name="pixels")
        if converter is not None and (converter.scale is not None or converter.offset is not None):
            scale = 1.0 if converter.scale is None else converter.scale
            values = keras.layers.Rescaling(scale, converter.offset or 0.0, name="preprocessing")(values)
        try:
            flat = connect_to_pixels(keras.Model(body.input, body.output), pixels, values, None)
        except (ValueError, TypeError, AttributeError) as error:
            raise self._unusable(error) from None
        if len(flat.output.shape) != 4:
            raise self._unusable(f"its output has the shape {flat.output.shape}")
        return keras.Model(pixels, keras.layers.GlobalAveragePooling2D(name="pooled")(flat.output), name="hub_backbone")

    def _load(self, keras_hub: Any) -> tuple[Any, Any]:
        """Load the backbone and what scales its pixels; the latter is None where the preset has none."""
        shape = (self.image_size, self.image_size, 3)
        try:
            try:
                body = keras_hub.models.Backbone.from_preset(self.preset, image_shape=shape)
            except TypeError:  # a backbone without this argument takes the size of its preset
                body = keras_hub.models.Backbone.from_preset(self.preset)
        except Exception as error:  # KerasHub, Hugging Face and Kaggle have errors of their own
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")
            raise ModelError(
                f"the preset '{self.preset}' of KerasHub cannot be loaded ({reason}); give a folder that KerasHub "
                "saved, or load the preset once with keras_hub.models.Backbone.from_preset, which downloads it."
            ) from None
        try:
            return body, keras_hub.layers.ImageConverter.from_preset(self.preset)
        except Exception:  # a folder of a backbone alone
            return body, None

    def _unusable(self, reason: object) -> ModelError:
        words = (str(reason).strip().splitlines() or [""])[0][:200].rstrip(".")
        return ModelError(f"'{self.name}' is not a network of RGB images of {self.image_size} pixels ({words}).")

    def identity(self, cut: str = "") -> tuple[object, ...] | None:
        """Give None: its weights are known only once it is built."""
        return None


def hub_backbone(name: str, image_size: int, freeze: str) -> HubBackbone | None:
    """Find the source that the name of a backbone means; None for a name without `hub:`.

    Args:
        image_size: in pixels; 0 for the default
        freeze: "all", or "auto" to choose it

    Raises:
        OptionError: if a part of it would be trained
        ModelError: if KerasHub is not installed
    """
    if not name.startswith(PREFIX):
        return None
    if freeze not in ("auto", "all"):
        raise OptionError(f"--freeze is {freeze}, but a backbone of KerasHub stays frozen; use --freeze all.")
    require("keras-hub", "hub", f"--backbone {PREFIX}")
    preset = name.removeprefix(PREFIX)
    if not preset:
        raise OptionError(f"--backbone is '{name}'; expected a preset, e.g. hub:my_preset or hub:resnet_18_imagenet.")
    folder = Path(preset).expanduser()
    return HubBackbone(str(folder.resolve()) if folder.is_dir() else preset, image_size or IMAGE_SIZE)


@contextmanager
def _offline() -> Any:
    """Forbid downloads as long as it lasts."""
    before = {name: os.environ.get(name) for name in OFFLINE}
    os.environ.update(OFFLINE)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
