"""`tlkit predict RUN INPUT...`."""

import codecs
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from tlkit.cli.help import GroupedCommand
from tlkit.cli.options import open_run, options_from, output_option
from tlkit.settings.commands import PredictSettings

if TYPE_CHECKING:
    from tlkit.cli.predictions import Counts
    from tlkit.inference.predictor import Prediction, Predictor
    from tlkit.inference.tables import PredictionColumns, PredictionWriter
    from tlkit.runs.run import Run

SOME_FAILED = 6  # exit code


@click.command(
    cls=GroupedCommand,
    examples=(
        "tlkit predict runs/finetune-001 new_photos",
        "tlkit predict runs/finetune-001 '*.jpg' -o result.xlsx",
        "tlkit predict latest new_photos --sheet sheet.html",
        "tlkit predict latest new_photos --sort-into sorted",
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
@output_option("File to write; its ending sets the format: .csv, .xlsx, .json, .jsonl, .parquet or .txt.", "Output")
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
@options_from(PredictSettings)
def predict(
    run: Path,
    inputs: tuple[str, ...],
    output: Path | None,
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
    from tlkit.cli.predictions import write_predictions
    from tlkit.errors import DataError
    from tlkit.inference.inputs import expand_inputs
    from tlkit.inference.sorting import with_min_confidence
    from tlkit.inference.tables import PredictionColumns

    table_format = _choose_format(settings, output)
    _check_sheet(sheet, output, inputs)
    _check_sort_into(sort_into, inputs, settings)
    opened = open_run(run, settings.trust_model)
    predictor = _open_predictor(opened, settings)
    columns = PredictionColumns(predictor.manifest.class_names, predictor.top_k, settings.probs, settings.scores)
    predictions = predictor.predict(expand_inputs(_with_standard_input(inputs)))
    predictions = with_min_confidence(predictions, settings.min_confidence)
    sorting = _sorting(sort_into, columns.class_names, settings.copy)
    with _open_output(output, table_format) as file, sorting as sort, _collecting(sheet) as collect:
        writer = _make_writers(opened, inputs, settings)[table_format](file, columns)
        counts = write_predictions(writer, map(collect, map(sort, predictions)), file, settings.skip_unreadable)
        if not counts.num_rows:  # inside the block, so that no file is left
            raise DataError(f"no file was found in {', '.join(inputs)}; give image files or folders that hold some.")
    _echo_counts(counts, {"file": output, "sheet": sheet, "sorted": sort_into}, table_format)
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


def _check_sheet(sheet: Path | None, output: Path | None, inputs: tuple[str, ...]) -> None:
    """Check the contact sheet before anything is read; OptionError if it cannot be written, or is the output"""
    from tlkit.errors import OptionError
    from tlkit.inference.sheet_files import check_sheet_file
    from tlkit.utils.storage import is_folder, refuse_inside

    if sheet is None:
        return
    check_sheet_file(sheet)
    if output is not None and os.path.realpath(sheet) == os.path.realpath(output):
        raise OptionError(f"-o and --sheet are both '{sheet}'; choose another name for one of them.")
    for given in filter(is_folder, inputs):
        refuse_inside(Path(given), sheet)


@contextmanager
def _collecting(sheet: Path | None) -> "Iterator[Callable[[Prediction], Prediction]]":
    """Give a function that notes each prediction for a contact sheet, and gives it back; write the sheet at the end."""
    if sheet is None:
        yield lambda prediction: prediction
        return
    from tlkit.inference.sheet import PredictionSheet
    from tlkit.inference.sheet_files import save_sheet

    taken = PredictionSheet()

    def collect(prediction: "Prediction") -> "Prediction":
        """Take one prediction."""
        taken.add(prediction)
        return prediction

    yield collect
    save_sheet(taken, sheet)


def _check_sort_into(sort_into: Path | None, inputs: tuple[str, ...], settings: PredictSettings) -> None:
    """Check the folder of sorted images before anything is read; OptionError if it exists or lies among the images"""
    from tlkit.errors import OptionError
    from tlkit.utils.files import check_new_file
    from tlkit.utils.storage import is_folder, refuse_inside

    if sort_into is None:
        if settings.copy:
            raise OptionError("--copy has no effect without --sort-into; leave it out, or add --sort-into FOLDER.")
        return
    check_new_file(sort_into)
    for given in filter(is_folder, inputs):
        refuse_inside(Path(given), sort_into)


@contextmanager
def _sorting(
    folder: Path | None, class_names: tuple[str, ...], copy: bool
) -> "Iterator[Callable[[Prediction], Prediction]]":
    """Give a function that sorts each prediction's image into a new folder, and gives the prediction back."""
    from tlkit.inference.sorting import SortedFolders
    from tlkit.utils.files import new_folder

    if folder is None:
        yield lambda prediction: prediction
        return
    with new_folder(folder) as unfinished:
        folders = SortedFolders(unfinished, class_names, copy)

        def sort(prediction: "Prediction") -> "Prediction":
            """Sort one image."""
            folders.add(prediction)
            return prediction

        yield sort


def _choose_format(settings: PredictSettings, output: Path | None) -> str:
    """Choose the format; OptionError if an option would have no effect, or a format needs a file"""
    from tlkit.cli.output import choose_format
    from tlkit.errors import OptionError
    from tlkit.inference.tables import BINARY_FORMATS

    table_format = choose_format(settings.format, output, sys.stdout.isatty())
    if table_format in BINARY_FORMATS and output is None:
        raise OptionError(f"--format {table_format} writes a file; name it: -o result.{table_format}.")
    if settings.csv_dialect != "plain" and table_format != "csv":
        raise OptionError(
            f"--csv-dialect is {settings.csv_dialect}, but the output is {table_format}; "
            "add --format csv or -o FILE.csv."
        )
    return table_format


def _only_folder(inputs: tuple[str, ...]) -> str:
    """Give the folder that all images are in, with its slash; "" where there are several inputs."""
    from tlkit.utils.storage import is_folder

    return str(Path(inputs[0])) + os.sep if len(inputs) == 1 and is_folder(inputs[0]) else ""


def _echo_counts(counts: "Counts", outputs: Mapping[str, Path | None], table_format: str) -> None:
    """Say on stderr what was written, for a person who looks at the table or has asked for a file.

    Args:
        outputs: by what they are called; None where one was not asked for
    """
    from tlkit.cli.screen import LABEL_WIDTH, Screen
    from tlkit.utils.text import escape_control_chars

    written = {name: path for name, path in outputs.items() if path}
    lines = [counts.summary()] if written or table_format == "table" else []
    lines += [counts.failures()] if counts.num_failed else []
    lines += [f"{name:<{LABEL_WIDTH}}{escape_control_chars(str(path))}" for name, path in written.items()]
    if not written and table_format == "table" and sys.stdout.isatty():
        lines.append(f"{'save':<{LABEL_WIDTH}}add -o result.csv")
    for line in lines:
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
def _open_output(output: Path | None, table_format: str) -> Iterator[IO[Any]]:
    """Open a new file that is whole or absent, or standard output."""
    from tlkit.inference.tables import BINARY_FORMATS
    from tlkit.utils.files import open_new

    if output is None:
        yield sys.stdout
        return
    with open_new(output, "wb" if table_format in BINARY_FORMATS else "w") as file:
        yield file
