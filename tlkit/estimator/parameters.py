"""Constructor parameters of an estimator, made from the options of a settings class."""

import inspect
from collections.abc import Callable, Collection
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

from tlkit.settings.base import describe_options

EstimatorT = TypeVar("EstimatorT", bound=type)


def with_parameters(
    settings_class: type, left_out: Collection[str], **own: tuple[Any, str]
) -> Callable[[EstimatorT], EstimatorT]:
    """Decorate an estimator with an `__init__` that has the options of a settings class, with their defaults.

    scikit-learn reads the signature of `__init__`, so that `get_params`, `set_params` and `clone` work.

    Args:
        left_out: options that are no parameters
        own: parameters that are no options: default and help
    """
    options = {item.name: item.default for item in fields(settings_class) if item.name not in left_out}
    defaults = options | {name: default for name, (default, _) in own.items()}
    texts = [f"    {name}: {text} Default: {default!r}." for name, (default, text) in own.items()]

    def __init__(self: Any, **parameters: Any) -> None:
        if unknown := sorted(parameters.keys() - defaults.keys()):
            raise TypeError(f"unknown parameter '{unknown[0]}'; expected one of {', '.join(sorted(defaults))}.")
        for name, default in defaults.items():
            setattr(self, name, parameters.get(name, default))

    given = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    kind = inspect.Parameter.KEYWORD_ONLY
    named = [inspect.Parameter(name, kind, default=default) for name, default in defaults.items()]
    __init__.__signature__ = inspect.Signature([given, *named])  # type: ignore[attr-defined]

    def decorate(estimator: EstimatorT) -> EstimatorT:
        """Give a class this `__init__`, and the help of its parameters."""
        lines = [inspect.cleandoc(estimator.__doc__ or ""), "", "Args:", *describe_options(settings_class, options)]
        estimator.__doc__ = "\n".join([*lines, *texts])
        estimator.__init__ = __init__  # type: ignore[misc]
        return estimator

    return decorate


def options_of_estimator(estimator: Any, settings_class: type) -> dict[str, Any]:
    """Give the parameters of an estimator that are options, by name; NumPy's scalars as Python's."""
    values = estimator.get_params(deep=False)
    values = {name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()}
    return {item.name: values[item.name] for item in fields(settings_class) if item.name in values}
