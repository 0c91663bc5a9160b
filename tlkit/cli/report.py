"""`tlkit report RUN`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tlkit.cli.help import GroupedCommand, GroupedOption
from tlkit.cli.options import open_run, output_option
from tlkit.cli.reporting import QUIET, report_options, reporting

if TYPE_CHECKING:
    from tlkit.report.page import WrittenPage

MAX_NAMED = 3  # images without a thumbnail


@click.command(
    cls=GroupedCommand,
    examples=("tlkit report runs/finetune-001", "tlkit report latest -o page.html"),
    common=("output", "images"),
)
@click.argument("run", type=click.Path(path_type=Path))
@output_option("Page to write.  [default: report.html in RUN, made again]")
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    cls=GroupedOption,
    group="Main",
    help="Folder of the images, where it has moved.",
)
@report_options
def report(run: Path, output: Path | None, images: Path | None) -> None:
    """Write the page of RUN: accuracy, mistakes, what to do next.
    The page is one file that needs no network.

    Every finished run has this page as report.html, unless it was trained with --no-report. It is
    made again from the files of the run and from the images, which must be unchanged. An image that
    is missing or changed has no thumbnail. Of a run from another machine, tlkit opens no folder that
    the run names; --images names the folder.
    """
    from tlkit.errors import DataError
    from tlkit.report.page import write_run_page
    from tlkit.utils.files import is_folder

    if images is not None and not is_folder(images):
        raise DataError(f"--images '{images}' is not a folder; expected the folder of the run's images.")
    _print_written(write_run_page(open_run(run), output, images))


def _print_written(page: "WrittenPage") -> None:
    from tlkit.cli.screen import WARN, Screen
    from tlkit.utils.text import format_size

    if reporting().as_json:
        click.echo(json.dumps(vars(page) | {"file": str(page.file), "missing": dict(page.missing)}, indent=2))
        return
    screen = Screen()
    screen.entry("page", f"{page.file}  {format_size(page.num_bytes)}, {page.num_thumbnails} thumbnails")
    if page.missing and reporting().verbosity > QUIET:
        named = list(page.missing.items())
        more = f"; and {len(named) - MAX_NAMED} more" if len(named) > MAX_NAMED else ""
        words = "; ".join(f"{path}: {reason}" for path, reason in named[:MAX_NAMED])
        screen.entry("missing", f"{words}{more}", style=WARN)
