"""Building blocks of the settings classes: fields with help and limits, and the check of their values."""

import inspect
import math
import operator
import os
import shlex
from collections.abc import Callable, Collection
from dataclasses import Field, asdict, field, fields, is_dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from tlkit.errors import OptionError
from tlkit.utils.locations import Location, RemotePath

LIMITS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "min": ("at least", operator.ge),
    "max": ("at most", operator.le),
    "above": ("more than", operator.gt),
    "below": ("less than", operator.lt),
}
OPTION_NAMES = {
    "k": "-k",
    "from_run": "--from",
    "for_command": "--for",
    "class_name": "--class",
}  # whose fields would have the names of keywords

SettingsT = TypeVar("SettingsT")


def setting(default: Any, group: str, help: str, **limits: float | bool) -> Any:
    """Make a field with its default, its group on the help page, a help text that states the unit, and limits.

    Args:
        limits: `min`, `max` (inclusive), `above`, `below` (exclusive)
    """
    return field(default=default, metadata={"group": group, "help": help, "limits": limits})


def documented(settings_class: type[SettingsT]) -> type[SettingsT]:
    """Put the help of every option into the docstring of a settings class, and only what was changed into its repr.

    Decorates the dataclass, so that `help(FinetuneSettings)` and notebooks show what the help page of the command has.
    """
    options = describe_options(settings_class, [item.name for item in fields(settings_class)])  # type: ignore[arg-type]
    settings_class.__doc__ = "\n".join([inspect.cleandoc(settings_class.__doc__ or ""), "", "Attributes:", *options])
    settings_class.__repr__ = _show_changes  # type: ignore[method-assign]
    return settings_class


def describe_options(settings_class: type, names: Collection[str]) -> list[str]:
    """Write one line per option, as a section of a docstring has it."""
    hints = get_type_hints(settings_class)
    options = [item for item in fields(settings_class) if item.name in names]
    return [_describe_option(item, hints[item.name]) for item in options]


def _describe_option(item: Field[Any], hint: Any) -> str:
    """Write one line of an "Attributes:" section, as Google's style has it."""
    value_type, may_be_none = unwrap_optional(hint)
    value_type, is_repeated = unwrap_repeated(value_type)
    kind = "tuple of " * is_repeated + (" | ".join(map(repr, get_args(value_type))) or value_type.__name__)
    limits = ", ".join(f"{LIMITS[name][0]} {bound}" for name, bound in item.metadata["limits"].items())
    text = item.metadata["help"] + (f" {limits.capitalize()}." if limits else "")
    if "Default: " not in text:
        preset = " (that of `augment`)" if item.default is None and item.metadata["group"] == "Augmentation" else ""
        text += f" Default: {item.default!r}{preset}."
    return f"    {item.name} ({kind}{' | None' * may_be_none}): {text}"


def _show_changes(settings: Any) -> str:
    changed = [item for item in fields(settings) if getattr(settings, item.name) != item.default]
    return (
        f"{type(settings).__name__}({', '.join(f'{item.name}={getattr(settings, item.name)!r}' for item in changed)})"
    )


def validate(settings: Any) -> None:
    """Check every value of a settings object.

    Raises:
        OptionError: for the first value that is not of its field's type or within its limits
    """
    hints = get_type_hints(type(settings))
    for item in fields(settings):
        value, option = getattr(settings, item.name), option_name(item.name)
        value_type, may_be_none = unwrap_optional(hints[item.name])
        if value is None and may_be_none:
            continue
        value_type, is_repeated = unwrap_repeated(value_type)
        if is_repeated and not isinstance(value, tuple):
            raise OptionError(f"{option} is {value!r}; expected a tuple of values.")
        for single in value if is_repeated else (value,):
            _check_value(option, single, value_type)
            _check_limits(option, single, item.metadata["limits"])


def _check_value(option: str, value: Any, value_type: Any) -> None:
    if choices := get_args(value_type):
        if value not in choices:
            raise OptionError(f"{option} is {value!r}; expected one of {', '.join(choices)}.")
    elif not _has_type(value, value_type):
        raise OptionError(f"{option} is {value!r}; expected a value of type {value_type.__name__}.")


def _has_type(value: Any, value_type: type) -> bool:
    if value_type is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, value_type) and (value_type is bool or not isinstance(value, bool))


def _check_limits(option: str, value: Any, limits: dict[str, float]) -> None:
    for name, bound in limits.items():
        words, holds = LIMITS[name]
        if not holds(value, bound):
            raise OptionError(f"{option} is {value}; expected {words} {bound}.")


def unwrap_optional(hint: Any) -> tuple[Any, bool]:
    """Take None out of a field's type, and tell whether it was in it.

    >>> unwrap_optional(float | None), unwrap_optional(int)
    ((<class 'float'>, True), (<class 'int'>, False))
    """
    if get_origin(hint) is Literal or NoneType not in get_args(hint):
        return hint, False
    return next(member for member in get_args(hint) if member is not NoneType), True


def unwrap_repeated(hint: Any) -> tuple[Any, bool]:
    """Take the type of one value out of a field's type, and tell whether it is the tuple of a repeatable option.

    >>> unwrap_repeated(tuple[str, ...]), unwrap_repeated(int)
    ((<class 'str'>, True), (<class 'int'>, False))
    """
    return (get_args(hint)[0], True) if get_origin(hint) is tuple else (hint, False)


def option_name(field_name: str) -> str:
    """Name the command-line option of a field.

    >>> option_name("image_size")
    '--image-size'
    """
    return OPTION_NAMES.get(field_name) or "--" + field_name.replace("_", "-")


def typed_option(field_name: str, value: Any) -> str:
    """Name the option as it is typed for a value: a switch that is off begins with --no.

    >>> typed_option("head_first", False), typed_option("views", 3)
    ('--no-head-first', '--views')
    """
    return f"--no-{option_name(field_name)[2:]}" if value is False else option_name(field_name)


def command_line(command: str, settings: Any, data: Location) -> str:
    """Write the command for these settings, as a shell reads it from the current folder.

    >>> from tlkit.settings.training import FinetuneSettings
    >>> command_line("finetune", FinetuneSettings(folds=5, head_first=False), Path("my photos"))
    "tlkit finetune 'my photos' --folds 5 --no-head-first"
    """
    here = Path.cwd()
    folder = str(data.relative_to(here) if data.is_relative_to(here) else data)
    words = ["tlkit", command, f"./{folder}" if folder.startswith("-") else folder]
    for item in fields(settings):
        value = getattr(settings, item.name)
        if value != item.default:
            for single in value if isinstance(value, tuple) else (value,):
                words += [typed_option(item.name, single), *([] if isinstance(single, bool) else [str(single)])]
    return shlex.join(words)


def settings_or_options(
    settings_class: type[SettingsT], settings: SettingsT | None, options: dict[str, Any], **paths: Any
) -> SettingsT:
    """Make settings of single options, where no settings are given.

    Args:
        paths: arguments that come before the settings, by name; settings in the place of one are a common mistake

    Raises:
        OptionError: if both are given, an option is none of these settings, or an argument is of another type

    >>> from tlkit.settings.commands import PredictSettings
    >>> settings_or_options(PredictSettings, None, {"top_k": 3}).top_k
    3
    """
    _check_types(settings_class, settings, paths)
    if settings is not None and options:
        raise OptionError(
            f"settings and the option {option_name(next(iter(options)))} are both given; give one of them."
        )
    names = [item.name for item in fields(settings_class)]  # type: ignore[arg-type]
    if unknown := [name for name in options if name not in names]:
        raise OptionError(f"unknown option '{unknown[0]}'; expected one of {', '.join(sorted(names))}.")
    return settings if settings is not None else settings_class(**options)


def _check_types(settings_class: type, settings: Any, paths: dict[str, Any]) -> None:
    """Check the types of settings and paths.

    Raises:
        OptionError: for settings of another class, and for a path that is none
    """
    name = settings_class.__name__
    for argument, value in paths.items():
        if value is not None and not isinstance(value, str | os.PathLike | RemotePath):
            hint = f" Give settings by name: settings={name}(...)." if is_dataclass(value) else ""
            raise OptionError(f"{argument} is of type {type(value).__name__}; expected a path.{hint}")
    if settings is not None and not isinstance(settings, settings_class):
        raise OptionError(f"settings is of type {type(settings).__name__}; expected {name}, or options such as seed=1.")


def to_json(settings: Any) -> dict[str, Any]:
    """Turn settings into the dictionary that `settings.json` holds."""
    stored = [item.name for item in fields(settings) if item.metadata.get("is_stored", True)]
    return {name: value for name, value in asdict(settings).items() if name in stored}
