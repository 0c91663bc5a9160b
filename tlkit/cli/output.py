"""The training summary, and predictions as table, csv, json or jsonl."""

import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from tlkit.errors import OptionError
from tlkit.settings.commands import PredictSettings
from tlkit.utils.files import csv_writer
from tlkit.utils.text import escape_control_chars, sparkline, truncate

if TYPE_CHECKING:
    from tlkit.inference.predictor import Prediction
    from tlkit.training.recipe import TrainingMetrics, TrainingResult

ENDINGS = {".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".txt": "table"}
WritePrediction = Callable[["Prediction"], None]


def print_summary(result: "TrainingResult") -> None:
    """Print how good a classifier is, for which classes, where its run is and what to type next."""
    from tlkit.evaluation.report import class_table, confusion_lines, headline

    metrics, run = result.metrics, str(result.run.path)
    baseline = escape_control_chars(metrics.baseline_class)
    lines = [
        click.style(headline(result.report, "validation"), bold=True),
        f"always answering '{baseline}' would give {metrics.baseline_accuracy:.3f}",
    ]
    if not metrics.selected_on_validation:
        lines += ["nothing was chosen on these images"]
    if result.test:
        lines += [click.style(headline(result.test, "test"), bold=True) + ", which nothing was chosen on"]
    elif metrics.selected_on_validation:
        lines += [
            "the best epoch was chosen on these images, so expect slightly less; --test-split gives a clean figure"
        ]
    lines += ["", *class_table(result.report), ""]
    lines += [f"often mistaken: {line}" for line in confusion_lines(result.report)]
    lines += [f"left out: {count} × {reason}" for reason, count in metrics.left_out.items()]
    if metrics.advice:
        lines += ["advice: " + metrics.advice["reason"]]
    lines += [f"note: {escape_control_chars(note)}" for note in metrics.notes]
    lines += [*_repeat_lines(metrics), *_curve_lines(result.history)]
    lines += [f"diagnosis: {finding['words']}\n      try: {finding['next']}" for finding in metrics.diagnosis]
    seconds = metrics.seconds
    lines += [
        f"{metrics.num_train} images trained on, {metrics.num_validation} held out, "
        f"{metrics.features_reused} from the cache; {seconds['total']:.1f} s "
        f"(features {seconds['features']:.1f}, training {seconds['fit']:.1f})",
        "",
        f"run   {escape_control_chars(run)}",
        f"next  tlkit predict {escape_control_chars(shlex.quote(run))} IMAGE...",
    ]
    click.echo("\n".join(lines))


def _repeat_lines(metrics: "TrainingMetrics") -> list[str]:
    """Describe the results of --folds and --seeds, where they were given."""
    lines = []
    if folds := metrics.folds:
        low, high = folds["accuracy_ci95"]
        accuracies = " ".join(f"{accuracy:.3f}" for accuracy in folds["accuracies"])
        lines.append(
            f"cross-validated: accuracy {folds['accuracy']:.3f} on {folds['num_images']} images, each held out once, "
            f"95 % interval {low:.3f} to {high:.3f}; folds {accuracies}"
        )
    if seeds := metrics.seeds:
        lines.append("other seeds: {least:.3f} ← {median:.3f} → {greatest:.3f}".format(**seeds))
    return lines


def _curve_lines(history: Sequence[Mapping[str, Any]]) -> list[str]:
    curves = {
        "training": sparkline([epoch["loss"] for epoch in history]),
        "validation": sparkline([epoch["val_loss"] for epoch in history]),
    }
    return [f"{name:<10} loss {curve}" for name, curve in curves.items() if curve]


def choose_format(requested: str, output: Path | None, is_terminal: bool) -> str:
    """Choose a format: the requested one, or for "auto" by the output.

    output: the file to write; None for standard output
    raises: OptionError for a file with an unknown ending
    """
    if requested != "auto":
        return requested
    if output is None:
        return "table" if is_terminal else "csv"
    if output.suffix.lower() not in ENDINGS:
        raise OptionError(f"'{output.name}' does not end in {', '.join(ENDINGS)}; add --format.")
    return ENDINGS[output.suffix.lower()]


def write_rows(
    file: IO[str],
    table_format: str,
    predictions: Iterator["Prediction"],
    class_names: tuple[str, ...],
    settings: PredictSettings,
) -> dict[str, int]:
    """Write every prediction as soon as it is computed.

    table_format: "table", "csv", "json" or "jsonl"
    returns: the number of "rows" and of "errors"
    """
    counts = {"rows": 0, "errors": 0}
    writer = _PredictionWriter(file, class_names, min(settings.top_k, len(class_names)), settings.probs)
    start, write, end = getattr(writer, f"{table_format}_parts")()
    file.write(start)
    for prediction in predictions:
        failed = prediction.status == "error"
        counts["rows"] += 1
        counts["errors"] += failed
        if not (failed and settings.skip_unreadable):
            write(prediction)
            file.flush()
    file.write(end)
    return counts


class _PredictionWriter:
    """One method per format, which returns: the text before all, a function per prediction, the text after all."""

    def __init__(self, file: IO[str], class_names: tuple[str, ...], top_k: int, probs: bool) -> None:
        self._file, self._names, self._top_k, self._probs = file, class_names, top_k, probs
        self._num_written = 0

    def csv_parts(self) -> tuple[str, WritePrediction, str]:
        """Columns path, status, label, confidence, label_2, …, p_<class>, …, error."""
        writer = csv_writer(self._file)
        ranks = [name for k in range(2, self._top_k + 1) for name in (f"label_{k}", f"confidence_{k}")]
        classes = [f"p_{name}" for name in self._names] if self._probs else []
        writer.writerow(["path", "status", "label", "confidence", *ranks, *classes, "error"])
        return "", lambda prediction: writer.writerow(self._csv_row(prediction)), ""

    def _csv_row(self, prediction: "Prediction") -> list[Any]:
        top = [text for name, probability in prediction.top for text in (name, f"{probability:.6f}")]
        top += [""] * (2 * self._top_k - len(top))
        of_classes: list[str] = []
        if self._probs and prediction.probabilities is not None:
            of_classes = [f"{probability:.6f}" for probability in prediction.probabilities]
        elif self._probs:
            of_classes = [""] * len(self._names)
        return [prediction.path, prediction.status, *top, *of_classes, prediction.error or ""]

    def json_parts(self) -> tuple[str, WritePrediction, str]:
        """One array of objects."""
        return "[", self._write_json, "\n]\n"

    def jsonl_parts(self) -> tuple[str, WritePrediction, str]:
        """One object per line."""
        return "", lambda prediction: self._print(json.dumps(self._object(prediction))), ""

    def _write_json(self, prediction: "Prediction") -> None:
        self._file.write(("," if self._num_written else "") + "\n  " + json.dumps(self._object(prediction)))
        self._num_written += 1

    def _object(self, prediction: "Prediction") -> dict[str, Any]:
        fields: dict[str, Any] = {
            "path": prediction.path,
            "status": prediction.status,
            "label": prediction.label,
            "confidence": _rounded(prediction.confidence),
            "top": [{"label": name, "prob": _rounded(probability)} for name, probability in prediction.top],
            "error": prediction.error,
        }
        if self._probs and prediction.probabilities is not None:
            pairs = zip(self._names, prediction.probabilities.tolist(), strict=True)
            fields["probs"] = {name: _rounded(probability) for name, probability in pairs}
        return fields

    def table_parts(self) -> tuple[str, WritePrediction, str]:
        """Columns for people: label, confidence, path."""
        width = min(24, max(7, *(len(escape_control_chars(name)) for name in self._names)))

        def write(prediction: "Prediction") -> None:
            cells = [f"{truncate(name, width):<{width}} {probability:6.1%}" for name, probability in prediction.top]
            cells = cells or [f"{'–':<{width}} {'':6}"] * self._top_k
            if self._probs and prediction.probabilities is not None:
                cells += [f"{probability:.3f}" for probability in prediction.probabilities]
            reason = f"  {prediction.error}" if prediction.error else ""
            self._print("  ".join([*cells, escape_control_chars(prediction.path)]) + escape_control_chars(reason))

        return "", write, ""

    def _print(self, line: str) -> None:
        self._file.write(line + "\n")


def _rounded(probability: float | None) -> float | None:
    return None if probability is None else round(probability, 6)
