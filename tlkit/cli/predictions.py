"""Predictions for people: a table that fits the terminal, a contact sheet, folders of sorted images."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from tlkit.cli.screen import BAD, FAINT, WARN, Screen
from tlkit.data.sources.files import hash_of
from tlkit.errors import OptionError, RunError, TlkitError
from tlkit.inference.counts import UNKNOWN, Counts
from tlkit.inference.predictor import Prediction, is_unsure, top_classes
from tlkit.inference.sorting import SortedFolders
from tlkit.inference.tables import PredictionColumns, PredictionWriter
from tlkit.runs.run import Run
from tlkit.utils.files import check_new_file, new_folder
from tlkit.utils.parallel import CHUNK
from tlkit.utils.storage import as_location, is_folder, refuse_inside
from tlkit.utils.text import distinct_names, escape_control_chars, pad, shorten_middle, whole_percent

BAR_WIDTH = 10
MIN_WIDTH_OF_BARS = 72  # columns; a narrower terminal has none
MIN_PATH = 16  # columns
MAX_CLASS = 30  # columns
MAX_WIDTH = 1000  # columns of the table: paths may be long
NOTE_INDENT = 4  # spaces before a note that does not fit on the row


class TerminalTable:
    """A table for people: image, class, confidence, and what is special about a row.

    No line is wider than the terminal. What does not fit goes to lines of its own.
    """

    def __init__(
        self, file: IO[str], columns: PredictionColumns, trained_on: "TrainingImages | None" = None, root: str = ""
    ) -> None:
        """Start a table.

        Args:
            trained_on: images that a note says this of
            root: the start of paths that is left out, of a folder that is the only input
        """
        self._screen, self._columns, self._trained_on, self._root = Screen(file, MAX_WIDTH), columns, trained_on, root
        self._width = self._screen.width
        self._bar_width = BAR_WIDTH if self._width >= MIN_WIDTH_OF_BARS else 0
        self._names = dict(zip(columns.class_names, distinct_names(columns.class_names), strict=True))
        needed = max(len(UNKNOWN), *map(_columns_of, self._names.values()))
        self._class_width = min(needed, MAX_CLASS, max(len(UNKNOWN), self._width // 5))
        self._path_width = 0
        self._pending: list[Prediction] = []

    def write(self, prediction: Prediction) -> None:
        """Take one row. The first few decide how wide the first column is."""
        if self._path_width:
            self._print(prediction)
        else:
            self._pending.append(prediction)
            if len(self._pending) == CHUNK:
                self.close()

    def close(self) -> None:
        """Write the rows that were kept back."""
        if not self._path_width:
            self._start()
        for prediction in self._pending:
            self._print(prediction)
        self._pending = []

    def _start(self) -> None:
        note = 2 + self._class_width + len(" 44 %")
        others = 2 + self._class_width + 2 + self._confidence_width + 2 + note
        needed = max((_columns_of(self._shown_path(item)) for item in self._pending), default=0)
        self._path_width = min(max(needed, MIN_PATH), max(MIN_PATH, self._width - others))
        header = f"{pad('image', self._path_width)}  {pad('class', self._class_width)}  confidence"
        if self._pending:
            self._screen.line((header, FAINT))

    @property
    def _confidence_width(self) -> int:
        return max(len("confidence"), len("100 %") + 2 + self._bar_width)

    def _shown_path(self, prediction: Prediction) -> str:
        return escape_control_chars(prediction.path.removeprefix(self._root))

    def _print(self, prediction: Prediction) -> None:
        path = pad(shorten_middle(self._shown_path(prediction), self._path_width), self._path_width)
        if prediction.error is not None:
            self._print_row(f"{path}  –", escape_control_chars(prediction.error), BAD)
            return
        assert prediction.probabilities is not None
        assert prediction.label is not None
        assert prediction.confidence is not None
        if prediction.status == UNKNOWN:
            label = pad(UNKNOWN, self._class_width)
            confidence = pad(f"{'–':>5}", self._confidence_width)
            self._print_row(f"{path}  {label}  {confidence}", ", ".join(self._notes(prediction)), WARN)
            return
        label = pad(shorten_middle(self._names[prediction.label], self._class_width), self._class_width)
        bar = "█" * round(self._bar_width * prediction.confidence)
        confidence = pad(f"{whole_percent(prediction.confidence):>5}  {bar}", self._confidence_width)
        unsure = is_unsure(prediction)
        self._print_row(f"{path}  {label}  {confidence}", ", ".join(self._notes(prediction)), WARN if unsure else "")

    def _print_row(self, row: str, note: str, style: str) -> None:
        """Print a row and its note, on lines of their own where it does not fit."""
        if _columns_of(f"{row}  {note}") <= self._width:
            self._screen.line(f"{row}  ", (note, style))
            return
        self._screen.line(row)
        self._screen.line((note, style), indent=NOTE_INDENT)

    def _notes(self, prediction: Prediction) -> list[str]:
        """Say why it is unknown; name the classes that were asked for, or those that are nearly as likely."""
        assert prediction.probabilities is not None
        unsure, is_unknown = is_unsure(prediction), prediction.status == UNKNOWN
        count = len(self._columns.class_names) if self._columns.probs else max(self._columns.top_k, 1 + unsure)
        first = 0 if is_unknown else 1
        others = top_classes(prediction.probabilities, self._columns.class_names, count)[first:]
        notes = [f"{self._names[name]} {whole_percent(probability)}" for name, probability in others]
        if is_unknown:
            notes[0] = f"{prediction.reason}; {notes[0]}"
        elif unsure:
            notes[0] = f"? {notes[0]}"
        if self._columns.scores and prediction.distance is not None:
            notes.append(f"distance {prediction.distance:.3f}")
        if self._trained_on is not None and prediction.path in self._trained_on:
            notes.append("was trained on")
        return notes


class TrainingImages:
    """The images a run was trained on: found by their name, confirmed by their content, so that few are hashed."""

    def __init__(self, run: Run) -> None:
        self._hashes: dict[str, set[str]] = {}
        try:
            rows = run.read_rows("split.csv")
        except RunError:  # a note next to the class is not a reason to fail
            rows = []
        for row in rows:
            if row["split"] == "train":
                self._hashes.setdefault(PurePosixPath(row["path"]).name, set()).add(row["sha256"])

    def __contains__(self, path: str) -> bool:
        hashes = self._hashes.get(Path(path).name, set())
        try:
            return bool(hashes) and hash_of(as_location(path)) in hashes
        except TlkitError:
            return False


def write_predictions(
    writer: PredictionWriter, predictions: Iterable[Prediction], file: IO[str], skip_unreadable: bool
) -> Counts:
    """Write each prediction as soon as it is there.

    Args:
        skip_unreadable: leave out inputs that are not readable images
    """
    counts = Counts()
    for prediction in _counted(predictions, counts):
        if not (skip_unreadable and prediction.status == "error"):
            writer.write(prediction)
            file.flush()
    writer.close()
    file.flush()
    return counts


def _counted(predictions: Iterable[Prediction], counts: Counts) -> Iterator[Prediction]:
    for prediction in predictions:
        counts.add(prediction)
        yield prediction


def check_sheet(sheet: Path | None, output: str | None, inputs: Iterable[str]) -> None:
    """Check the contact sheet before anything is read; OptionError if it cannot be written, or is the output"""
    if sheet is None:
        return
    from tlkit.inference.sheet_files import check_sheet_file

    check_sheet_file(sheet)
    if output is not None and os.path.realpath(sheet) == os.path.realpath(output):
        raise OptionError(f"-o and --sheet are both '{sheet}'; choose another name for one of them.")
    for given in filter(is_folder, inputs):
        refuse_inside(Path(given), sheet)


@contextmanager
def collecting(sheet: Path | None) -> Iterator[Callable[[Prediction], Prediction]]:
    """Give a function that notes each prediction for a contact sheet, and gives it back; write the sheet at the end."""
    if sheet is None:
        yield lambda prediction: prediction
        return
    from tlkit.inference.sheet import PredictionSheet
    from tlkit.inference.sheet_files import save_sheet

    taken = PredictionSheet()

    def collect(prediction: Prediction) -> Prediction:
        """Take one prediction."""
        taken.add(prediction)
        return prediction

    yield collect
    save_sheet(taken, sheet)


def check_sort_into(sort_into: Path | None, inputs: Iterable[str], copy: bool) -> None:
    """Check the folder of sorted images before anything is read; OptionError if it exists or lies among the images"""
    if sort_into is None:
        if copy:
            raise OptionError("--copy has no effect without --sort-into; leave it out, or add --sort-into FOLDER.")
        return
    check_new_file(sort_into)
    for given in filter(is_folder, inputs):
        refuse_inside(Path(given), sort_into)


@contextmanager
def sorting(
    folder: Path | None, class_names: tuple[str, ...], copy: bool
) -> Iterator[Callable[[Prediction], Prediction]]:
    """Give a function that sorts each prediction's image into a new folder, and gives the prediction back."""
    if folder is None:
        yield lambda prediction: prediction
        return
    with new_folder(folder) as unfinished:
        folders = SortedFolders(unfinished, class_names, copy)

        def sort(prediction: Prediction) -> Prediction:
            """Sort one image."""
            folders.add(prediction)
            return prediction

        yield sort


def _columns_of(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)
