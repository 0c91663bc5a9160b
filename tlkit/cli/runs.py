"""`tlkit runs [FOLDER]`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tlkit.cli.help import GroupedCommand
from tlkit.cli.options import options_from
from tlkit.cli.reporting import QUIET, report_options, reporting
from tlkit.settings.commands import RunsSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tlkit.cli.screen import Part
    from tlkit.runs.listing import RunEntry


@click.command(
    cls=GroupedCommand,
    examples=("tlkit runs", "tlkit runs --sort accuracy", "tlkit runs experiments --json"),
    common=("sort", "format", "as_json"),
)
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@report_options
@options_from(RunsSettings)
def runs(folder: Path | None, settings: RunsSettings) -> None:
    """List the runs in FOLDER with data, accuracy and state.
    FOLDER is runs by default; other folders in it are ignored.

    A comparison is listed with its candidates. The accuracy is that of folds or test images if the
    run has them, else that of its validation images, and of a comparison that of its best model. A
    stopped run is listed with the command that continues it, a damaged one with the reason.
    """
    from tlkit.cli.output import choose_format
    from tlkit.runs.listing import list_runs

    entries = list_runs(folder or "runs", settings.sort) if folder or Path("runs").is_dir() else []
    table_format = "json" if reporting().as_json else choose_format(settings.format, None, sys.stdout.isatty())
    if table_format == "json":
        click.echo(json.dumps([entry.as_json() for entry in entries], indent=2))
    elif table_format == "csv":
        _print_csv(entries)
    elif entries:
        _print_table(entries)
    if not entries:
        click.echo(f"No run in '{folder or 'runs'}'; `tlkit finetune DATA` creates one.", err=True)


def _print_csv(entries: "Sequence[RunEntry]") -> None:
    from tlkit.runs.listing import COLUMNS
    from tlkit.utils.tables import csv_writer

    writer = csv_writer(sys.stdout)
    writer.writerow(COLUMNS)
    writer.writerows(["" if cell is None else cell for cell in entry.as_json().values()] for entry in entries)


HEADER = ("run", "when", "data", "network", "accuracy", "interval", "size", "state")
LEFT = (0, 1, 2, 3, 7)  # columns that are aligned to the left
DROPPED = (6, 5, 2, 1, 3)  # columns that a narrow terminal does not get, the first of them first
MAX_NETWORK, MAX_FOLDER = 32, 20  # columns of the terminal


def _print_table(entries: "Sequence[RunEntry]") -> None:
    from tlkit.cli.screen import BAD, Screen

    screen = Screen()
    screen.table(HEADER, [_row(entry) for entry in entries], LEFT, DROPPED)
    unusable = [entry for entry in entries if entry.state != "finished"]
    if reporting().verbosity == QUIET or not unusable:
        return
    screen.blank()
    for entry in unusable:
        if entry.state == "stopped":
            screen.command("continue", entry.resume)
        else:
            screen.entry("damaged", f"{entry.path}: {entry.reason}", style=BAD)


def _row(entry: "RunEntry") -> "list[Part]":
    from tlkit.cli.screen import BAD, STRONG, WARN, percent
    from tlkit.utils.text import format_size, shorten_middle

    state = {"finished": "", "stopped": WARN, "damaged": BAD}[entry.state]
    interval = "{:.1f} – {:.1f}".format(*(100 * bound for bound in entry.interval)) if entry.interval else ""
    return [
        str(entry.path),
        f"{entry.when:%Y-%m-%d}",
        shorten_middle(Path(entry.data).name, MAX_FOLDER),
        shorten_middle(", ".join(word for word in (entry.network, entry.strategy) if word), MAX_NETWORK),
        (percent(entry.accuracy), STRONG) if entry.accuracy is not None else "–",
        interval,
        format_size(entry.num_bytes),
        (entry.state, state),
    ]
