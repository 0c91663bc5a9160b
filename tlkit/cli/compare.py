"""`tlkit compare DATA`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tlkit.cli.options import GroupedCommand, options_from, run_option, typed
from tlkit.cli.resuming import resume_option
from tlkit.settings import CompareSettings

if TYPE_CHECKING:
    from tlkit.comparison.compare import Comparison


@click.command(cls=GroupedCommand)
@click.argument("data", type=click.Path(path_type=Path), required=False)
@run_option("compare")
@resume_option
@options_from(CompareSettings)
def compare(data: Path | None, output: Path | None, resume: Path | None, settings: CompareSettings) -> None:
    """Find out what DATA needs: from chance to a finetuned network, on the same validation images.

    Descriptors made by hand, networks from scratch, every pretrained network whose weights are
    already on this machine, frozen, and the upper blocks of the best of them trained. Nothing is
    downloaded. Each rung leaves a run folder of its own; what was trained before is not again.
    """
    from tlkit.cli.console import Console
    from tlkit.comparison.compare import compare as climb
    from tlkit.comparison.compare import resume_comparison

    if resume:
        _refuse_others(resume)
        _show(resume_comparison(resume, Console(), _tell))
    elif data:
        _show(climb(data, output, settings, Console(), _tell))
    else:
        raise click.UsageError("Missing argument 'DATA': a folder with one subfolder of images per class.")


def _refuse_others(run: Path) -> None:
    """raises: OptionError where anything was typed beside --resume"""
    from tlkit.errors import OptionError
    from tlkit.settings import option_name

    if others := [name for name in typed() if name != "resume"]:
        named = "DATA" if others[0] == "data" else option_name(others[0])
        raise OptionError(f"{named} is what '{run}' was begun with; leave it out, or start a new comparison.")


def _show(done: "Comparison") -> None:
    """The table, what it means and what to type next."""
    from tlkit.comparison.tables import MARK, table_lines
    from tlkit.evaluation.wording import printable

    header, *rows = table_lines(done.standings)
    best = next(place for place, row in enumerate(rows) if "  best" in row)
    lines = [click.style(header, dim=True), *rows[:best], click.style(rows[best], bold=True), *rows[best + 1 :]]
    lines += [
        "",
        f"all on the same {done.num_images} validation images; p: McNemar's exact test against the best, which",
    ]
    lines += ["looks a little better than it is, for it was chosen on them"]
    if any(standing.selected for standing in done.standings):
        lines += [f"{MARK} the best epoch was chosen on these images, too"]
    lines += [f"note: {printable(note)}" for note in done.notes]
    lines += ["", click.style("take ", bold=True) + printable(done.advice.reason)]
    lines += ["", f"run   {printable(str(done.run.path))}", f"next  {printable(done.advice.command)}"]
    click.echo("\n".join(lines))


def _tell(line: str) -> None:
    """Which rung it is, where somebody watches."""
    if sys.stderr.isatty():
        click.echo(click.style(line, dim=True), err=True)
