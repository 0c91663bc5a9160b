"""Docstrings as the documentation tool reads them: settings have their help, and short lines of sections are items."""

import re
from importlib import import_module
from typing import Any

import griffe

from tlkit import errors

SECTIONS = ("Args:", "Attributes:", "Raises:")
ITEM = re.compile(r"    ([\w, `.]+?)(?: \(.*\))?:(?= |$)")  # the names that begin an item


class HouseStyle(griffe.Extension):
    """Changes docstrings before they are parsed."""

    def on_class_instance(self, *, cls: griffe.Class, **_: Any) -> None:
        """Give a settings class the docstring that it has when it is imported, with the help of every option."""
        if cls.name.endswith("Settings") and cls.docstring and cls.path.startswith("tlkit.settings."):
            runtime = getattr(import_module(cls.module.path), cls.name)
            cls.docstring.value = str(runtime.__doc__)

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Write one item for each name."""
        if obj.docstring:
            obj.docstring.value = "\n".join(one_name_an_item(obj.docstring.value.splitlines()))


def one_name_an_item(lines: list[str]) -> list[str]:
    """Split items of several names, and complete the errors that are only named.

    >>> one_name_an_item(["Raises:", "    DataError", "", "Args:", "    a, b: of both"])[1::2]
    ['    DataError: the image folder cannot be used as it is', 'Args:', '    b: of both']
    """
    found, section = list[str](), ""
    for line in lines:
        if line in SECTIONS:
            section = line
        elif line and not line.startswith(" "):
            section = ""
        item = ITEM.match(line) if section else None
        if section == "Raises:" and re.fullmatch(r"    \w+(, \w+)*", line):
            found += [f"    {name}: {meaning_of(name)}" for name in line.strip().split(", ")]
        elif item and "," in item[1]:
            found += [f"    {name.strip()}{line[item.end(1) :]}" for name in item[1].split(",")]
        else:
            found.append(line)
    return found


def meaning_of(name: str) -> str:
    """Say when an error is raised, as its class does."""
    first = (getattr(errors, name, None) or ValueError).__doc__ or ""
    words = first.partition("\n")[0].rstrip(".").partition(";")[0]
    return words[:1].lower() + words[1:]
