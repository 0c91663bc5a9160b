"""Amount and form of a command's output: `--json`, `--quiet` and `--verbose`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from tlkit.cli.help import GroupedOption

QUIET, NORMAL, VERBOSE = range(3)
KEY = "tlkit.reporting"  # of the context's `meta`


@dataclass
class Reporting:
    """Form and amount of output that were asked for, and how far the command has come.

    run: folder of the run that is being made; None before there is one
    epochs: done and planned ones of the running stage; None for a stage of something else
    """

    as_json: bool = False
    verbosity: int = NORMAL
    run: Path | None = None
    epochs: tuple[int, int] | None = None


def reporting() -> Reporting:
    """Give how the running command reports."""
    context = click.get_current_context(silent=True)
    found: Reporting = context.meta.setdefault(KEY, Reporting()) if context else Reporting()
    return found


def report_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--json`, `--quiet` and `--verbose`; `reporting` tells which were given."""

    def keep(ctx: click.Context, parameter: click.Parameter, given: bool) -> None:
        """Store the option in the context."""
        if not given:
            return
        report = ctx.meta.setdefault(KEY, Reporting())
        if parameter.name == "as_json":
            report.as_json = True
        else:
            report.verbosity = QUIET if parameter.name == "quiet" else VERBOSE

    for name, flags, words in (
        ("verbose", ("-v", "--verbose"), "More output: every epoch, times and choices."),
        ("quiet", ("-q", "--quiet"), "Less output: the result only."),
        ("as_json", ("--json",), "JSON output."),
    ):
        command = click.option(
            *(*flags, name),
            is_flag=True,
            expose_value=False,
            callback=keep,
            cls=GroupedOption,
            group="Output",
            help=words,
        )(command)
    return command
