"""`tlkit compare DATA`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tlkit.cli.help import GroupedCommand, GroupedOption
from tlkit.cli.options import explicit_options, options_from, resume_option, run_option
from tlkit.settings.commands import CompareSettings

if TYPE_CHECKING:
    from tlkit.comparison.compare import Comparison


@click.command(
    cls=GroupedCommand,
    examples=(
        "tlkit compare photos --time-limit 15m",
        "tlkit compare photos --only classic,lenet",
        "tlkit compare --resume runs/compare-001",
    ),
    common=("output", "only", "time_limit", "validation_split", "resize", "seed", "resume", "style"),
)
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
    help="Output format; auto is table on a terminal, csv in a pipe.",
)
@options_from(CompareSettings)
def compare(data: Path | None, output: Path | None, resume: Path | None, style: str, settings: CompareSettings) -> None:
    """Compare models of increasing complexity on DATA.
    All are measured on the same validation images, and one is recommended.

    The candidates are baselines, classic classifiers on handcrafted features, networks from scratch,
    each pretrained network whose weights are on this machine (frozen), and the best of these with
    its upper blocks fine-tuned. Nothing is downloaded. Each candidate gets its own run folder.
    Finished candidates are cached, so repeating a comparison is fast.
    """
    from tlkit.cli.console import Console
    from tlkit.cli.output import choose_format
    from tlkit.comparison.compare import compare as run_comparison
    from tlkit.comparison.compare import resume_comparison

    if resume:
        _refuse_others(resume)
        comparison = resume_comparison(resume, Console())
    elif data:
        comparison = run_comparison(data, output, settings, Console())
    else:
        raise click.UsageError("Missing argument 'DATA': a folder with one subfolder of images per class.")
    PRINTERS[choose_format(style, None, sys.stdout.isatty())](comparison)


def _refuse_others(run: Path) -> None:
    """raises: OptionError where an option of the comparison was typed together with --resume"""
    from tlkit.errors import OptionError
    from tlkit.settings.base import option_name

    if others := [name for name in explicit_options() if name not in ("resume", "style")]:
        named = "DATA" if others[0] == "data" else option_name(others[0])
        raise OptionError(f"{named} cannot be combined with --resume '{run}'; omit it or start a new comparison.")


def _print_table(comparison: "Comparison") -> None:
    """Print the table, what it means and what to type next."""
    from tlkit.comparison.report import legend, table_lines

    header, *rows = table_lines(comparison.results)
    best = next(index for index, row in enumerate(rows) if "  best" in row)
    lines = [click.style(header, dim=True), *rows[:best], click.style(rows[best], bold=True), *rows[best + 1 :]]
    lines += ["", f"all on the same {comparison.num_images} validation images; {legend(comparison.results)}"]
    click.echo("\n".join([*lines, *_conclusion(comparison)]))


def _print_csv(comparison: "Comparison") -> None:
    """Print the rows of `compare.csv` for another program; what is for people goes to stderr."""
    from tlkit.comparison.report import COLUMNS, csv_rows
    from tlkit.utils.files import csv_writer

    csv_writer(sys.stdout).writerows([COLUMNS, *csv_rows(comparison.results)])
    click.echo("\n".join(_conclusion(comparison)).lstrip(), err=True)


def _print_json(comparison: "Comparison") -> None:
    """Print all of it, and where the runs are."""
    from tlkit.comparison.report import comparison_json

    content = comparison_json(comparison.results, comparison.recommendation, comparison.notes)
    click.echo(json.dumps({"run": str(comparison.run.path), "num_images": comparison.num_images} | content, indent=2))


PRINTERS = {"table": _print_table, "csv": _print_csv, "json": _print_json}


def _conclusion(comparison: "Comparison") -> list[str]:
    """Say what a person should know, and what to type next."""
    from tlkit.utils.text import escape_control_chars

    lines = [f"note: {escape_control_chars(note)}" for note in comparison.notes]
    lines += ["", click.style("take ", bold=True) + escape_control_chars(comparison.recommendation.reason)]
    return [
        *lines,
        "",
        f"run   {escape_control_chars(str(comparison.run.path))}",
        f"next  {escape_control_chars(comparison.recommendation.command)}",
    ]
