"""`tlkit predict RUN INPUT...`."""

import codecs
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from tlkit.cli.help import GroupedCommand, GroupedOption
from tlkit.cli.options import open_run, options_from, workers_options
from tlkit.cli.reporting import QUIET, report_options, reporting
from tlkit.settings.commands import PredictSettings

if TYPE_CHECKING:
    from tlkit.inference.counts import Counts
    from tlkit.inference.predictor import Predictor
    from tlkit.inference.tables import PredictionColumns, PredictionWriter
    from tlkit.runs.run import Run

SOME_FAILED = 6  # exit code
SHARDS = "shards"  # format


@click.command(
    cls=GroupedCommand,
    examples=(
        "tlkit predict runs/finetune-001 new_photos",
        "tlkit predict runs/finetune-001 '*.jpg' -o result.xlsx",
        "tlkit predict latest new_photos --sheet sheet.html",
        "tlkit predict latest new_photos --sort-into sorted",
        "tlkit predict latest many_photos -o answers/",
    ),
    common=(
        "output",
        "sheet",
        "sort_into",
        "format",
        "top_k",
        "probs",
        "unknown",
        "scores",
        "min_confidence",
        "verify",
    ),
)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "-o",
    "--output",
    type=click.Path(),  # as text: a Path has lost the "/" at the end of "name/"
    cls=GroupedOption,
    group="Output",
    help="File to write; its ending sets the format: .csv, .xlsx, .json, .jsonl, .parquet or .txt; or with / at the "
    "end a folder of parquet shards, which the same command continues after an interruption.",
)
@click.option(
    "--sheet",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Contact sheet to write: images by predicted class and confidence; ends in .html or .png.",
)
@click.option(
    "--sort-into",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="New folder with one folder per class, unknown/ and unreadable/, of links to the images.",
)
@report_options
@options_from(PredictSettings)
@workers_options
def predict(
    run: Path,
    inputs: tuple[str, ...],
    output: str | None,
    sheet: Path | None,
    sort_into: Path | None,
    settings: PredictSettings,
) -> None:
    """Classify images with a finished RUN.
    Each INPUT is an image, a folder, a pattern such as '*.jpg', or - for a list on stdin.

    A folder means all files in it except hidden ones. The output has one row per file, in input
    order. An image unlike the training images, or whose class is not sure, gets the status unknown;
    its label is still the most probable class. For RUN, `latest` means the newest finished run in
    runs/, and a comparison means the run of its recommended model.
    """
    from tlkit.cli.predictions import check_sheet, check_sort_into, collecting, sorting, write_predictions
    from tlkit.inference.sorting import with_min_confidence
    from tlkit.inference.tables import PredictionColumns

    table_format = _choose_format(settings, output)
    check_sheet(sheet, output, inputs)
    check_sort_into(sort_into, inputs, settings.copy)
    written = {SHARDS if table_format == SHARDS else "file": output, "sheet": sheet, "sorted": sort_into}
    if table_format == SHARDS:
        _check_shards(written, inputs)
    opened = open_run(run, settings.trust_model)
    predictor = _open_predictor(opened, settings)
    if table_format == SHARDS:
        counts = _write_shards(predictor, opened, inputs, output or "", settings)
    else:
        columns = PredictionColumns(predictor.manifest.class_names, predictor.top_k, settings.probs, settings.scores)
        predictions = with_min_confidence(predictor.predict(_list_inputs(inputs)), settings.min_confidence)
        folders = sorting(sort_into, columns.class_names, settings.copy)
        with _open_output(output, table_format) as file, folders as sort, collecting(sheet) as collect:
            writer = _make_writers(opened, inputs, settings)[table_format](file, columns)
            counts = write_predictions(writer, map(collect, map(sort, predictions)), file, settings.skip_unreadable)
            _refuse_nothing(counts.num_rows, inputs)  # inside the block, so that no file is left
    _echo_counts(counts, written, table_format)
    if counts.num_failed and not settings.skip_unreadable:
        click.get_current_context().exit(SOME_FAILED)


def _open_predictor(run: "Run", settings: PredictSettings) -> "Predictor":
    """Open the run, and replay its golden samples if that is asked for; RunError if an answer differs"""
    from tlkit.inference.golden import verify_golden
    from tlkit.inference.predictor import Predictor

    predictor = Predictor(run, settings.engine, settings.top_k, settings.unknown, settings.trust_model)
    if settings.verify:
        verify_golden(run, predictor)
    return predictor


def _make_writers(
    opened: "Run", inputs: tuple[str, ...], settings: PredictSettings
) -> "dict[str, Callable[[IO[Any], PredictionColumns], PredictionWriter]]":
    """Give what makes the writer of each format."""
    from tlkit.cli.predictions import TerminalTable, TrainingImages
    from tlkit.inference.tables import WRITERS, CsvWriter

    def make_table(file: IO[str], columns: "PredictionColumns") -> "PredictionWriter":
        """Make the table for people, with notes at images that the run was trained on."""
        return TerminalTable(file, columns, TrainingImages(opened), _only_folder(inputs))

    return {**WRITERS, "table": make_table, "csv": partial(CsvWriter, dialect=settings.csv_dialect)}


def _check_shards(written: Mapping[str, str | Path | None], inputs: tuple[str, ...]) -> None:
    """Check what else a folder of shards is asked for with; OptionError if it lies among the images"""
    from tlkit.errors import OptionError
    from tlkit.utils.storage import is_folder, refuse_inside

    others = {"sheet": "--sheet", "sorted": "--sort-into"}
    if given := [option for name, option in others.items() if written[name]]:
        raise OptionError(f"{given[0]} needs all rows in one process; leave it out, or write a file with -o.")
    for folder in filter(is_folder, inputs):
        refuse_inside(folder, str(written[SHARDS]))


def _write_shards(
    predictor: "Predictor", run: "Run", inputs: tuple[str, ...], output: str, settings: PredictSettings
) -> "Counts":
    """Write a folder of shards, or the rest of one."""
    from tlkit.cli.console import Console
    from tlkit.inference.shards import BlockList, describe_command, write_shards
    from tlkit.utils.storage import as_location

    names = ("engine", "top_k", "probs", "scores", "unknown", "min_confidence", "skip_unreadable", "trust_model")
    spec = describe_command(run, as_location(output), **{name: getattr(settings, name) for name in names})
    spec.folder.find()  # what is refused is refused before a long list is read
    with BlockList(_list_inputs(inputs), spec) as blocks:
        _refuse_nothing(blocks.num_inputs, inputs)
        return write_shards(blocks, Console(), predictor)


def _list_inputs(inputs: Iterable[str]) -> Iterator[Any]:
    """Give the files that the inputs mean, one by one."""
    from tlkit.inference.inputs import expand_inputs

    return expand_inputs(_with_standard_input(inputs))


def _refuse_nothing(num_inputs: int, inputs: tuple[str, ...]) -> None:
    """Check that there was something to classify; DataError if not"""
    from tlkit.errors import DataError

    if not num_inputs:
        raise DataError(f"no file was found in {', '.join(inputs)}; give image files or folders that hold some.")


def _choose_format(settings: PredictSettings, output: str | None) -> str:
    """Choose the format, and check that its file is new.

    Raises:
        OptionError: if an option would have no effect, a format needs a file, or the file cannot be made
    """
    from tlkit.cli.output import choose_format
    from tlkit.distributed.shard_folder import names_folder
    from tlkit.errors import OptionError
    from tlkit.inference.tables import BINARY_FORMATS
    from tlkit.utils.files import check_new_file
    from tlkit.utils.storage import is_remote

    requested = SHARDS if output is not None and names_folder(output) and settings.format == "auto" else settings.format
    if reporting().as_json and output is None:
        requested = "json" if requested == "auto" else requested
        if requested != "json":
            raise OptionError(f"--json and --format {requested} exclude each other; omit one, or add -o.")
    if output is not None and requested != SHARDS:
        if is_remote(output):
            raise OptionError(f"'{output}' is in an object store, which takes a folder of shards; add / at its end.")
        check_new_file(output)
    table_format = choose_format(requested, None if output is None else Path(output), sys.stdout.isatty())
    if table_format in (*BINARY_FORMATS, SHARDS) and output is None:
        name = "answers/" if table_format == SHARDS else f"result.{table_format}"
        raise OptionError(f"--format {table_format} writes a file; name it: -o {name}.")
    if settings.csv_dialect != "plain" and table_format != "csv":
        raise OptionError(
            f"--csv-dialect is {settings.csv_dialect}, but the output is {table_format}; "
            "add --format csv or -o FILE.csv."
        )
    return table_format


def _only_folder(inputs: tuple[str, ...]) -> str:
    """Give the folder that all images are in, with its slash; "" where there are several inputs."""
    from tlkit.utils.storage import as_location, is_folder, is_remote

    if len(inputs) != 1 or not is_folder(inputs[0]):
        return ""
    return f"{as_location(inputs[0])}{'/' if is_remote(inputs[0]) else os.sep}"


def _echo_counts(counts: "Counts", written: Mapping[str, str | Path | None], table_format: str) -> None:
    """Say on stderr what was written, for a person who looks at the table or has asked for a file; or as JSON.

    Args:
        written: outputs by what they are called; None where one was not asked for
    """
    from tlkit.cli.screen import LABEL_WIDTH, Screen
    from tlkit.utils.text import escape_control_chars

    outputs = {name: str(path) for name, path in written.items() if path}
    if reporting().as_json:
        if outputs.keys() & {"file", SHARDS}:  # else the rows are the JSON
            click.echo(json.dumps(outputs | counts.as_json(), indent=2))
        return
    lines = [counts.summary()] if outputs or table_format == "table" else []
    lines += [counts.failures()] if counts.num_failed else []
    lines += [f"{name:<{LABEL_WIDTH}}{escape_control_chars(path)}" for name, path in outputs.items()]
    if not outputs and table_format == "table" and sys.stdout.isatty():
        lines.append(f"{'save':<{LABEL_WIDTH}}add -o result.csv")
    for line in lines if reporting().verbosity > QUIET else ():
        if sys.stderr.isatty():
            Screen(sys.stderr).line(line)
        else:
            click.echo(line, err=True)


def _with_standard_input(inputs: Iterable[str]) -> Iterator[str]:
    """Replace `-` by the lines of standard input as they come."""
    for text in inputs:
        yield from _lines_of_standard_input() if text == "-" else [text]


def _lines_of_standard_input() -> Iterator[str]:
    """Read paths, one a line, as the bytes that name a file: in any encoding, with LF or CR LF.

    A byte order mark before the first one is dropped, and so are empty lines.
    """
    lines = sys.stdin.buffer if sys.stdin else ()  # None where the shell has closed it
    for number, line in enumerate(lines):
        path = line.rstrip(b"\r\n")
        if path := path.removeprefix(codecs.BOM_UTF8) if number == 0 else path:
            yield os.fsdecode(path)


@contextmanager
def _open_output(output: str | None, table_format: str) -> Iterator[IO[Any]]:
    """Open a new file that is whole or absent, or standard output."""
    from tlkit.inference.tables import BINARY_FORMATS
    from tlkit.utils.files import open_new

    if output is None:
        yield sys.stdout
        return
    with open_new(Path(output), "wb" if table_format in BINARY_FORMATS else "w") as file:
        yield file
