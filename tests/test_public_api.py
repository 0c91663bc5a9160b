"""Every public name is documented: what goes in, what comes out, which errors, with shapes and units."""

import inspect
import re
from dataclasses import fields, is_dataclass
from functools import cache

import pytest

import tlkit

TAKES_SETTINGS = {"ImageClassifier", "FeatureExtractor"}  # the parameters of `__init__` are fields of settings


@cache
def public(kind):
    """The public classes or functions, by name."""
    return {name: item for name in tlkit.__all__ if kind(item := getattr(tlkit, name))}


def classes():
    return public(inspect.isclass)


def settings():
    """The settings, whose fields have `help` instead of a docstring."""
    return {name: owner for name, owner in classes().items() if name.endswith("Settings")}


def sections(text):
    """The sections of a docstring, by name, each as one text."""
    parts = re.split(r"^(Args|Attributes|Returns|Raises|Yields):\n", inspect.cleandoc(text or ""), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def named(section):
    """The names that the lines of a section begin with."""
    starts = re.findall(r"^ {4}([\w, ]+):", section, re.MULTILINE)
    return {name.strip() for start in starts for name in start.split(",")}


def problems(name, function, owner=None):
    """What the docstring of a function leaves out; for a method, its class may explain a parameter."""
    found, signature = sections(function.__doc__), inspect.signature(function)
    parameters = {item for item in signature.parameters if item != "self"}
    explained = named(found.get("Args", "")) | set(
        re.findall(r"`(\w+)`", owner.__doc__ + function.__doc__ if owner else "")
    )
    missing = [f"{name}: {item}" for item in sorted(parameters - explained)]
    missing += [f"{name}: no parameter {item}" for item in sorted(named(found.get("Args", "")) - parameters)]
    gives = signature.return_annotation not in (None, "None", inspect.Signature.empty)
    if not owner:
        missing += [f"{name}: Returns"] * (gives and not {"Returns", "Yields"} & found.keys())
        missing += [f"{name}: Raises"] * ("Raises" not in found)
    return missing


def methods(owner):
    """The public methods of a class, and `__init__` where it is written there."""
    for name, item in vars(owner).items():
        function = getattr(item, "__func__", item)
        is_own = inspect.isfunction(function) and function.__module__.startswith("tlkit.")
        if is_own and (not name.startswith("_") or (name == "__init__" and not is_dataclass(owner))):
            yield name, inspect.unwrap(function)


def test_functions_say_what_they_take_give_and_raise():
    assert [
        problem for name, function in public(inspect.isfunction).items() for problem in problems(name, function)
    ] == []
    assert len(public(inspect.isfunction)) > 15


def test_methods_say_what_they_take():
    wrong = []
    for name, owner in classes().items():
        for method, function in methods(owner):
            if method == "__init__" and (name in TAKES_SETTINGS or "Attributes" in sections(owner.__doc__)):
                continue
            wrong += problems(f"{name}.{method}", function, owner)
    assert wrong == []


def test_classes_say_what_their_attributes_are():
    wrong = []
    for name, owner in classes().items():
        if is_dataclass(owner) and name not in settings():
            known = named(sections(owner.__doc__).get("Attributes", ""))
            text = owner.__doc__  # a pair, such as a value and its interval, may be explained together
            wrong += [
                f"{name}.{item.name}"
                for item in fields(owner)
                if item.name not in known and f"`{item.name}`" not in text
            ]
    assert wrong == []


def test_settings_have_help_for_every_field():
    wrong = [
        f"{name}.{item.name}"
        for name, owner in settings().items()
        for item in fields(owner)
        if not item.metadata.get("help")
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("doc", "expected"),
    [
        ("Do.\n\n    Args:\n        a: x\n\n    Returns:\n        y\n\n    Raises:\n        E\n    ", []),
        ("Do.\n\n    Raises:\n        E\n    ", ["f: a", "f: Returns"]),
        ("Do.\n\n    Args:\n        a, b: x\n\n    Returns:\n        y\n    ", ["f: no parameter b", "f: Raises"]),
    ],
)
def test_what_is_missing_is_found(doc, expected):
    def f(a) -> int: ...

    f.__doc__ = doc
    assert problems("f", f) == expected
