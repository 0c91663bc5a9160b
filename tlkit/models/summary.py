"""The network that `tlkit summary` shows: by name, as its paper has it, or the one of a run."""

from pathlib import Path

import keras

from tlkit.models.backbones import Backbone, check_size
from tlkit.models.classifier import Head, attach_head
from tlkit.models.networks import Network, find_trainable
from tlkit.models.scratch.build import build_network
from tlkit.settings import SummarySettings


def named_network(name: str, settings: SummarySettings) -> keras.Model:
    """A network with its last layer and random weights; width and colours vary in networks of the course only.

    raises: OptionError
    """
    return built(find_trainable(name), settings)


def built(row: Backbone | Network, settings: SummarySettings) -> keras.Model:
    """The network of a row, likewise."""
    size, num_classes = settings.image_size or row.image_size, settings.num_classes
    if isinstance(row, Backbone):
        check_size(row, size)
        build = getattr(keras.applications, row.constructor)
        whole: keras.Model = build(weights=None, input_shape=(size, size, 3), classes=num_classes, **row.options)
        return whole
    body = build_network(row, size, {"width": settings.width}, settings.grey)
    whole = attach_head(body, Head(0.0, False, ()), num_classes)
    whole.name = row.name
    return whole


def is_run(name: str) -> bool:
    """Whether a folder is meant, rather than a network."""
    return Path(name).is_dir() or "/" in name
