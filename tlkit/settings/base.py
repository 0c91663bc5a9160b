"""What a settings class is made of: fields with help and limits, and the check of their values."""

import math
import operator
from collections.abc import Callable
from dataclasses import asdict, field, fields
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from tlkit.errors import OptionError


def setting(default: Any, group: str, help: str, **limits: float | bool) -> Any:
    """A field with its default, its group on the help page, a help text that states the unit, and limits.

    limits: `min`, `max` (inclusive), `above`, `below` (exclusive)
    """
    return field(default=default, metadata={"group": group, "help": help, "limits": limits})


def validate(settings: Any) -> None:
    """raises: OptionError for the first value that is not of its field's type or within its limits."""
    kinds = get_type_hints(type(settings))
    for item in fields(settings):
        value, option = getattr(settings, item.name), option_name(item.name)
        kind, may_be_none = unwrap_optional(kinds[item.name])
        if value is None and may_be_none:
            continue
        if choices := get_args(kind):
            if value not in choices:
                raise OptionError(f"{option} is {value!r}; expected one of {', '.join(choices)}.")
        elif not _is_a(value, kind):
            raise OptionError(f"{option} is {value!r}; expected a value of type {kind.__name__}.")
        _check_limits(option, value, item.metadata["limits"])


def unwrap_optional(hint: Any) -> tuple[Any, bool]:
    """A field's type without its None, and whether it may be None.

    >>> kind_of(float | None), kind_of(int)
    ((<class 'float'>, True), (<class 'int'>, False))
    """
    if get_origin(hint) is Literal or NoneType not in get_args(hint):
        return hint, False
    return next(kind for kind in get_args(hint) if kind is not NoneType), True


def option_name(field_name: str) -> str:
    """The option of a field.

    >>> option_name("image_size")
    '--image-size'
    """
    return "--from" if field_name == "from_run" else "--" + field_name.replace("_", "-")


def to_json(settings: Any) -> dict[str, Any]:
    """The settings as `settings.json` keeps them."""
    return asdict(settings)


def _is_a(value: Any, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


LIMITS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "min": ("at least", operator.ge),
    "max": ("at most", operator.le),
    "above": ("more than", operator.gt),
    "below": ("less than", operator.lt),
}


def _check_limits(option: str, value: Any, limits: dict[str, float]) -> None:
    for name, bound in limits.items():
        words, holds = LIMITS[name]
        if not holds(value, bound):
            raise OptionError(f"{option} is {value}; expected {words} {bound}.")
