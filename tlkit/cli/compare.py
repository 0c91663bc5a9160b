"""`tlkit compare DATA`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tlkit.cli.console import raise_if_interrupted
from tlkit.cli.options import GroupedCommand, GroupedOption, explicit_options, options_from, resume_option, run_option
from tlkit.settings.commands import CompareSettings

if TYPE_CHECKING:
    from tlkit.comparison.compare import Comparison


@click.command(cls=GroupedCommand)
@click.argument("data", type=click.Path(path_type=Path), required=False)
@run_option("compare")
@resume_option
@click.option(
    "--format",
    "style",
    type=click.Choice(("auto", "table", "csv", "json")),
    default="auto",
    show_default=True,
    cls=GroupedOption,
    group="Output",
    help="Of the ladder; auto is a table on a terminal, else csv.",
)
@options_from(CompareSettings)
def compare(data: Path | None, output: Path | None, resume: Path | None, style: str, settings: CompareSettings) -> None:
    """Find out what DATA needs: from chance to a finetuned network, on the same validation images.

    Descriptors made by hand, networks from scratch, every pretrained network whose weights are
    already on this machine, frozen, and the upper blocks of the best of them trained. Nothing is
    downloaded. Each rung leaves a run folder of its own; what was trained before is not again.
    """
    from tlkit.cli.console import Console
    from tlkit.cli.output import choose_format
    from tlkit.comparison.compare import compare as climb
    from tlkit.comparison.compare import resume_comparison

    if resume:
        _refuse_others(resume)
        done = resume_comparison(resume, Console(), _tell)
    elif data:
        done = climb(data, output, settings, Console(), _tell)
    else:
        raise click.UsageError("Missing argument 'DATA': a folder with one subfolder of images per class.")
    SHOWN[choose_format(style, None, sys.stdout.isatty())](done)


def _refuse_others(run: Path) -> None:
    """raises: OptionError where anything was typed beside --resume that it was begun with"""
    from tlkit.errors import OptionError
    from tlkit.settings.base import option_name

    if others := [name for name in explicit_options() if name not in ("resume", "style")]:
        named = "DATA" if others[0] == "data" else option_name(others[0])
        raise OptionError(f"{named} is what '{run}' was begun with; leave it out, or start a new comparison.")


def _show_table(done: "Comparison") -> None:
    """The table, what it means and what to type next."""
    from tlkit.comparison.report import legend, table_lines

    header, *rows = table_lines(done.standings)
    best = next(place for place, row in enumerate(rows) if "  best" in row)
    lines = [click.style(header, dim=True), *rows[:best], click.style(rows[best], bold=True), *rows[best + 1 :]]
    lines += ["", f"all on the same {done.num_images} validation images; {legend(done.standings)}"]
    click.echo("\n".join([*lines, *_conclusion(done)]))


def _show_csv(done: "Comparison") -> None:
    """The rows of `compare.csv` for another program; what is for people goes elsewhere."""
    from tlkit.comparison.report import COLUMNS, csv_rows
    from tlkit.utils.files import csv_writer

    csv_writer(sys.stdout).writerows([COLUMNS, *csv_rows(done.standings)])
    click.echo("\n".join(_conclusion(done)).lstrip(), err=True)


def _show_json(done: "Comparison") -> None:
    """All of it, and where the runs are."""
    from tlkit.comparison.report import comparison_json

    found = comparison_json(done.standings, done.advice, done.notes)
    click.echo(json.dumps({"run": str(done.run.path), "num_images": done.num_images} | found, indent=2))


SHOWN = {"table": _show_table, "csv": _show_csv, "json": _show_json}


def _conclusion(done: "Comparison") -> list[str]:
    """What a person should know, and what to type next."""
    from tlkit.utils.text import escape_control_chars

    lines = [f"note: {escape_control_chars(note)}" for note in done.notes]
    lines += ["", click.style("take ", bold=True) + escape_control_chars(done.advice.reason)]
    return [
        *lines,
        "",
        f"run   {escape_control_chars(str(done.run.path))}",
        f"next  {escape_control_chars(done.advice.command)}",
    ]


def _tell(line: str) -> None:
    """Which rung it is, where somebody watches.

    raises: KeyboardInterrupt where C code has made an error of one, which would pass for the rung's
    """
    from tlkit.utils.text import escape_control_chars

    raise_if_interrupted()
    if sys.stderr.isatty():
        click.echo(click.style(escape_control_chars(line), dim=True), err=True)
