"""Predictions and evaluations as tables: one writer per format, and data frames.

Every format of `tlkit predict` but the table for people is here. A writer takes one prediction after the other.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from tlkit.errors import require
from tlkit.evaluation.tables import report_tables
from tlkit.inference.evaluate import Evaluation
from tlkit.inference.predictor import Prediction
from tlkit.utils.files import new_folder, open_new
from tlkit.utils.tables import SheetWriter, data_frame, table_writer, valid_unicode

if TYPE_CHECKING:
    import pandas

PARQUET_ROWS = 4096  # that are written at a time
SHEET_WIDTHS = (44, 9, 24, 12)  # of the columns path, status, label, confidence


@dataclass(frozen=True)
class PredictionColumns:
    """The columns of every table of predictions: path, status, label, confidence, …, reason, error.

    Attributes:
        class_names: in label order
        top_k: how many of the most probable classes
        probs: whether the probability of every class is a column
        scores: whether the distance to the training images is a column
    """

    class_names: tuple[str, ...]
    top_k: int = 1
    probs: bool = False
    scores: bool = False

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        ranks = [name for k in range(2, self.top_k + 1) for name in (f"label_{k}", f"confidence_{k}")]
        classes = [f"p_{name}" for name in self.class_names] if self.probs else []
        return [
            "path",
            "status",
            "label",
            "confidence",
            *ranks,
            *classes,
            *["distance"] * self.scores,
            "reason",
            "error",
        ]

    def values(self, prediction: Prediction) -> list[Any]:
        """Give the values of one row, probabilities rounded to six decimals; None where there is none."""
        top: list[Any] = [value for name, probability in prediction.top for value in (name, round(probability, 6))]
        top += [None] * (2 * self.top_k - len(top))
        classes: list[float | None] = []
        if self.probs and prediction.probabilities is not None:
            classes = [round(probability, 6) for probability in prediction.probabilities.tolist()]
        elif self.probs:
            classes = [None] * len(self.class_names)
        distance = [_rounded(prediction.distance)] * self.scores
        reason = prediction.reason or None
        return [prediction.path, prediction.status, *top, *classes, *distance, reason, prediction.error]


class PredictionWriter(Protocol):
    """Writer of predictions in one format."""

    def write(self, prediction: Prediction) -> None:
        """Write one prediction."""

    def close(self) -> None:
        """Write what comes after the last one."""


class CsvWriter:
    """Csv, as programs or, in the dialect "excel", as spreadsheets read it."""

    def __init__(self, file: IO[str], columns: PredictionColumns, dialect: str = "plain") -> None:
        self._columns = columns
        self._format: Callable[[Any], Any] = _six_decimals if dialect == "plain" else lambda value: value
        self._writer = table_writer(file, dialect)
        self._writer.writerow(columns.names)

    def write(self, prediction: Prediction) -> None:
        """Write one row."""
        self._writer.writerow([self._format(value) for value in self._columns.values(prediction)])

    def close(self) -> None:
        """Write nothing more."""


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _six_decimals(value: Any) -> Any:
    return f"{value:.6f}" if isinstance(value, float) else value


class JsonlWriter:
    """One JSON object per line."""

    def __init__(self, file: IO[str], columns: PredictionColumns) -> None:
        self._file, self._columns = file, columns

    def write(self, prediction: Prediction) -> None:
        """Write one line."""
        self._file.write(json.dumps(prediction_json(prediction, self._columns)) + "\n")

    def close(self) -> None:
        """Write nothing more."""


class JsonWriter:
    """One JSON array of objects."""

    def __init__(self, file: IO[str], columns: PredictionColumns) -> None:
        self._file, self._columns, self._separator = file, columns, "[\n  "

    def write(self, prediction: Prediction) -> None:
        """Write one object."""
        self._file.write(self._separator + json.dumps(prediction_json(prediction, self._columns)))
        self._separator = ",\n  "

    def close(self) -> None:
        """Close the array."""
        self._file.write("[]\n" if self._separator.startswith("[") else "\n]\n")


def prediction_json(prediction: Prediction, columns: PredictionColumns) -> dict[str, Any]:
    """Give a prediction as a JSON object."""
    top = [{"label": name, "prob": round(probability, 6)} for name, probability in prediction.top]
    fields: dict[str, Any] = {
        "path": prediction.path,
        "status": prediction.status,
        "label": prediction.label,
        "confidence": top[0]["prob"] if top else None,
        "top": top,
        "reason": prediction.reason or None,
        "error": prediction.error,
    }
    if columns.scores:
        fields["distance"] = _rounded(prediction.distance)
    if columns.probs and prediction.probabilities is not None:
        rounded = [round(probability, 6) for probability in prediction.probabilities.tolist()]
        fields["probs"] = dict(zip(columns.class_names, rounded, strict=True))
    return fields


class XlsxWriter:
    """An .xlsx file for spreadsheets."""

    def __init__(self, file: IO[bytes], columns: PredictionColumns) -> None:
        self._columns = columns
        formats = ["0.000" if name == "distance" else "0.0%" for name in columns.names]
        self._sheet = SheetWriter(file, columns.names, SHEET_WIDTHS, formats)

    def write(self, prediction: Prediction) -> None:
        """Take one row; the file is written at the end."""
        self._sheet.writerow(self._columns.values(prediction))

    def close(self) -> None:
        """Write the file."""
        self._sheet.close()


class ParquetWriter:
    """A .parquet file, a few thousand rows at a time."""

    def __init__(self, file: IO[bytes], columns: PredictionColumns) -> None:
        require("pyarrow", "parquet", "a .parquet file")
        import pyarrow
        from pyarrow import parquet

        self._columns, self._pending = columns, list[list[Any]]()
        texts = ("path", "status", "reason", "error")
        kinds = [
            (name, pyarrow.string() if name in texts or name.startswith("label") else pyarrow.float64())
            for name in map(valid_unicode, columns.names)
        ]
        self._schema = pyarrow.schema(kinds)
        self._writer = parquet.ParquetWriter(file, self._schema)

    def write(self, prediction: Prediction) -> None:
        """Take one row."""
        values = self._columns.values(prediction)
        self._pending.append([valid_unicode(value) if isinstance(value, str) else value for value in values])
        if len(self._pending) >= PARQUET_ROWS:
            self._write_pending()

    def describe(self, metadata: dict[str, str]) -> None:
        """Add texts by name to the metadata of the file."""
        self._writer.add_key_value_metadata(metadata)

    def close(self) -> None:
        """Write the rest."""
        self._write_pending()
        self._writer.close()

    def _write_pending(self) -> None:
        import pyarrow

        if not self._pending:
            return
        columns = [
            pyarrow.array(values, field.type)
            for values, field in zip(zip(*self._pending, strict=True), self._schema, strict=True)
        ]
        self._writer.write_table(pyarrow.Table.from_arrays(columns, schema=self._schema))
        self._pending = []


WRITERS: dict[str, Callable[[IO[Any], PredictionColumns], PredictionWriter]] = {
    "csv": CsvWriter,
    "json": JsonWriter,
    "jsonl": JsonlWriter,
    "xlsx": XlsxWriter,
    "parquet": ParquetWriter,
}
BINARY_FORMATS = ("xlsx", "parquet")


def predictions_to_pandas(predictions: Iterable[Prediction]) -> "pandas.DataFrame":
    """Make a data frame of predictions, with the columns of `tlkit predict --format csv`.

    Args:
        predictions: as `predict` gives them

    Returns:
        Path, status, label, confidence, label_2, confidence_2, ... as many as `top_k` gave, reason and error

    Raises:
        ModelError: if pandas is not installed
    """
    predictions = list(predictions)
    columns = PredictionColumns((), max((len(prediction.top) for prediction in predictions), default=1) or 1)
    return data_frame(columns.names, [columns.values(prediction) for prediction in predictions])


def write_evaluation(evaluation: Evaluation, folder: Path, dialect: str = "plain", probs: bool = False) -> None:
    """Write a new folder with per_class.csv, confusion_matrix.csv, predictions.csv and wrong.csv.

    Args:
        dialect: "plain", or "excel" for spreadsheets
        probs: whether predictions.csv has every class, also of more than 100

    Raises:
        OptionError: if the folder exists or cannot be made
    """
    with new_folder(folder) as unfinished:
        tables = report_tables(evaluation.report, evaluation.paths, probs=probs)
        for name, (columns, rows) in tables.items():
            with open_new(unfinished / name) as file:
                table_writer(file, dialect).writerows([columns, *rows])
