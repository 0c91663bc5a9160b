"""`tlkit report RUN`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tlkit.cli.help import GroupedCommand, GroupedOption
from tlkit.cli.options import DATA, open_run, output_option
from tlkit.cli.reporting import QUIET, report_options, reporting
from tlkit.utils.locations import Location

if TYPE_CHECKING:
    from tlkit.report.page import WrittenPage

MAX_NAMED = 3  # images without a thumbnail


@click.command(
    cls=GroupedCommand,
    examples=("tlkit report runs/finetune-001", "tlkit report runs/finetune-001 runs/train-001 -o runs.html"),
    common=("output", "images"),
)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@output_option("Page to write; needed for several runs.  [default: report.html in RUN, made again]")
@click.option(
    "--images",
    type=DATA,
    cls=GroupedOption,
    group="Main",
    help="Folder of the images, where it has moved.",
)
@click.option(
    "--map",
    "map_method",
    type=click.Choice(["pca", "tsne", "umap"]),
    default="pca",
    show_default=True,
    cls=GroupedOption,
    group="Main",
    help="Map of the images of one run; tsne and umap (an extra) compute the features again.",
)
@click.option(
    "--robustness",
    is_flag=True,
    cls=GroupedOption,
    group="Main",
    help="Accuracy of several runs on damaged and on attacked images, measured now on up to 200 images; takes minutes.",
)
@report_options
def report(
    runs: tuple[Path, ...], output: Path | None, images: Location | None, map_method: str, robustness: bool
) -> None:
    """Write the page of RUN, or compare several runs on one page.
    The page is one file that needs no network.

    Every finished run has this page as report.html, unless it was trained with --no-report. It is
    made again from the files of the run and from the images, which must be unchanged. An image that
    is missing or changed has no thumbnail. Of a run from another machine, tlkit opens no folder that
    the run names; --images names the folder. Without -o, MODEL_CARD.md of the run is made again, too.

    The page of several runs has their accuracies with intervals, the options that differ, and the
    images that one run gets right and another wrong. McNemar's test compares runs that classified
    the same images. With --robustness, runs with and without `finetune --harden` are side by side.
    """
    from tlkit.cli.console import Console
    from tlkit.errors import DataError, OptionError
    from tlkit.report.card import write_card
    from tlkit.report.page import write_run_page
    from tlkit.utils.storage import is_folder

    if images is not None and not is_folder(images):
        raise DataError(f"--images '{images}' is not a folder; expected the folder of the run's images.")
    if len(runs) == 1 and robustness:
        raise OptionError(
            "--robustness compares several runs, but one is named; name another, or use tlkit robustness."
        )
    if len(runs) == 1:
        run = open_run(runs[0])
        page = write_run_page(run, output, images, map_method, Console())
        _print_written(page, None if output else write_card(run))
        return
    if map_method != "pca":
        raise OptionError(f"--map {map_method} has no effect on the page of several runs; leave it out.")
    if output is None:
        raise OptionError("several runs are compared in a new file; name it with -o.")
    from tlkit.report.several import write_page_of_runs

    opened = [open_run(run) for run in runs]
    _print_written(write_page_of_runs(opened, output, images, Console() if robustness else None))


def _print_written(page: "WrittenPage", card: Path | None = None) -> None:
    from tlkit.cli.screen import WARN, Screen
    from tlkit.utils.text import format_size

    if reporting().as_json:
        click.echo(json.dumps(vars(page) | {"file": str(page.file), "missing": dict(page.missing)}, indent=2))
        return
    screen = Screen()
    screen.entry("page", f"{page.file}  {format_size(page.num_bytes)}, {page.num_thumbnails} thumbnails")
    if card:
        screen.entry("card", str(card))
    if page.missing and reporting().verbosity > QUIET:
        named = list(page.missing.items())
        more = f"; and {len(named) - MAX_NAMED} more" if len(named) > MAX_NAMED else ""
        words = "; ".join(f"{path}: {reason}" for path, reason in named[:MAX_NAMED])
        screen.entry("missing", f"{words}{more}", style=WARN)
