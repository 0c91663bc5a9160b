"""`tlkit predict RUN INPUT...`."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click

from tlkit.cli.options import GroupedCommand, options_from, output_option
from tlkit.settings.commands import PredictSettings

SOME_FAILED = 6


@click.command(cls=GroupedCommand)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@output_option("File to write; its ending chooses the format.", "Output")
@options_from(PredictSettings)
def predict(run: Path, inputs: tuple[str, ...], output: Path | None, settings: PredictSettings) -> None:
    """Classify each INPUT with the finished RUN.

    An INPUT is a file, a folder (every file in it that is not hidden), a pattern such as
    '*.jpg', or - for a list of files on standard input. One row per file, in their order.
    """
    from tlkit.cli.output import choose_format, write_rows
    from tlkit.errors import DataError
    from tlkit.inference.predictor import Predictor, expand_inputs
    from tlkit.runs.run import load_run

    predictor = Predictor(load_run(run), settings.engine, settings.top_k)
    predictions = predictor.predict(expand_inputs(_listed(inputs)))
    with _opened(output) as file:
        style = choose_format(settings.format, output, file.isatty())
        counts = write_rows(file, style, predictions, predictor.facts.class_names, settings)
        if not counts["rows"]:  # inside the block, so that no file is left
            raise DataError(f"no file was found in {', '.join(inputs)}; give image files or folders that hold some.")
    _finish(counts, settings.skip_unreadable)


def _listed(inputs: Iterable[str]) -> Iterator[str]:
    """The inputs, with `-` replaced by the lines of standard input as they come."""
    for text in inputs:
        if text == "-":
            yield from (line.rstrip("\r\n") for line in sys.stdin if line.strip())
        else:
            yield text


@contextmanager
def _opened(output: Path | None) -> Iterator[IO[str]]:
    """Standard output, or a new file that is whole or absent."""
    from tlkit.utils.files import open_new

    if output is None:
        yield sys.stdout
        return
    with open_new(output) as file:
        yield file


def _finish(counts: dict[str, int], skip_unreadable: bool) -> None:
    if not counts["errors"]:
        return
    verb = "were left out" if skip_unreadable else "could not be classified"
    click.echo(f"{counts['errors']} of {counts['rows']} inputs {verb}.", err=True)
    if not skip_unreadable:
        click.get_current_context().exit(SOME_FAILED)
