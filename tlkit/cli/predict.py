"""`tlkit predict RUN INPUT...`."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click

from tlkit.cli.help import GroupedCommand
from tlkit.cli.options import options_from, output_option
from tlkit.settings.commands import PredictSettings

SOME_FAILED = 6  # exit code


@click.command(
    cls=GroupedCommand,
    examples=(
        "tlkit predict runs/finetune-001 new_photos",
        "tlkit predict runs/finetune-001 '*.jpg' -o result.csv",
        "tlkit predict runs/finetune-001 a.jpg --top-k 3",
    ),
    common=("output", "format", "top_k", "probs", "skip_unreadable", "engine"),
)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@output_option("File to write; its ending sets the format.", "Output")
@options_from(PredictSettings)
def predict(run: Path, inputs: tuple[str, ...], output: Path | None, settings: PredictSettings) -> None:
    """Classify images with a finished RUN.
    Each INPUT is an image, a folder, a pattern such as '*.jpg', or - for a list on stdin.

    A folder stands for all its files except hidden ones. The output has one row per file, in input
    order.
    """
    from tlkit.cli.output import choose_format, write_rows
    from tlkit.errors import DataError
    from tlkit.inference.inputs import expand_inputs
    from tlkit.inference.predictor import Predictor
    from tlkit.runs.run import load_run

    predictor = Predictor(load_run(run), settings.engine, settings.top_k)
    predictions = predictor.predict(expand_inputs(_with_standard_input(inputs)))
    with _open_output(output) as file:
        table_format = choose_format(settings.format, output, file.isatty())
        counts = write_rows(file, table_format, predictions, predictor.manifest.class_names, settings)
        if not counts["rows"]:  # inside the block, so that no file is left
            raise DataError(f"no file was found in {', '.join(inputs)}; give image files or folders that hold some.")
    if counts["errors"]:
        verb = "were left out" if settings.skip_unreadable else "could not be classified"
        click.echo(f"{counts['errors']} of {counts['rows']} inputs {verb}.", err=True)
        if not settings.skip_unreadable:
            click.get_current_context().exit(SOME_FAILED)


def _with_standard_input(inputs: Iterable[str]) -> Iterator[str]:
    """Replace `-` by the lines of standard input as they come."""
    for text in inputs:
        if text == "-":
            yield from (line.rstrip("\r\n") for line in sys.stdin if line.strip())
        else:
            yield text


@contextmanager
def _open_output(output: Path | None) -> Iterator[IO[str]]:
    """Open a new file that is whole or absent, or standard output."""
    from tlkit.utils.files import open_new

    if output is None:
        yield sys.stdout
        return
    with open_new(output) as file:
        yield file
