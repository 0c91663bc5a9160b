"""Writes docs/commands.md from what the commands print: `python -m tests.write_commands`."""

from collections.abc import Iterator
from pathlib import Path

import click
from click.testing import CliRunner

from tlkit.cli import main

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"
START = """# Commands

What every command prints for `--help`, on a terminal of 80 columns. Made by `make docs`.
"""


def commands(group: click.Command = main, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command and sub-command, in the order of their help pages."""
    yield words
    if isinstance(group, click.Group):
        for name in group.list_commands(click.Context(group)):
            yield from commands(group.commands[name], (*words, name))


def help_of(words: tuple[str, ...]) -> str:
    """Give the long help page of a command."""
    return CliRunner(env={"COLUMNS": "80"}).invoke(main, [*words, "--help"], prog_name="tlkit").output


def page() -> str:
    """docs/commands.md as it should be."""
    parts = [f"## {' '.join(('tlkit', *words))}\n\n```text\n{help_of(words)}```\n" for words in commands()]
    return "\n".join([START, *parts])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
