"""Every settings class that a command takes, and tools to try values on all of them."""

from dataclasses import fields, is_dataclass
from typing import get_type_hints

from tlkit.errors import OptionError
from tlkit.settings import commands, training
from tlkit.settings.base import unwrap_optional

NEEDED = {"ClassicSettings": {"descriptor": "hog"}}  # what a class does not do without
CLASSES = [
    owner
    for module in (training, commands)
    for owner in vars(module).values()
    if is_dataclass(owner) and owner.__module__ == module.__name__ and "__post_init__" in vars(owner)
]
FIELDS = [(owner, item) for owner in CLASSES for item in fields(owner)]
NUMBERS = [
    (owner, item) for owner, item in FIELDS if unwrap_optional(get_type_hints(owner)[item.name])[0] in (int, float)
]


def make(owner, **values):
    return owner(**NEEDED.get(owner.__name__, {}) | values)


def refusal(owner, **values):
    """What a class says against these values; "" where it takes them."""
    try:
        make(owner, **values)
    except OptionError as error:
        return str(error)
    return ""
