"""The training summary, and predictions as table, csv, json or jsonl."""

import shlex
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tlkit.training.recipe import TrainingResult
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from tlkit.errors import OptionError
from tlkit.inference.predictor import Prediction
from tlkit.settings.commands import PredictSettings
from tlkit.utils.files import csv_writer
from tlkit.utils.text import escape_control_chars, truncate


def print_summary(done: "TrainingResult") -> None:
    """The short summary: how good, for which classes, where it is and what to type next."""
    from tlkit.evaluation.report import class_table, confusion_lines, headline
    from tlkit.utils.text import escape_control_chars

    metrics = done.metrics
    lines = [
        click.style(headline(done.report, "validation"), bold=True),
        f"always answering '{escape_control_chars(metrics['baseline_class'])}' would give {metrics['baseline_accuracy']:.3f}",
    ]
    if not metrics["selected_on_validation"]:
        lines += ["nothing was chosen on these images"]
    if done.test:
        lines += [click.style(headline(done.test, "test"), bold=True) + ", which nothing was chosen on"]
    elif metrics["selected_on_validation"]:
        lines += [
            "the best epoch was chosen on these images, so expect slightly less; --test-split gives a clean figure"
        ]
    lines += ["", *class_table(done.report), "", *_listed("often mistaken", confusion_lines(done.report))]
    lines += _listed("left out", [f"{count} × {reason}" for reason, count in metrics["left_out"].items()])
    if metrics["advice"]:
        lines += ["advice: " + metrics["advice"]["reason"]]
    lines += _listed("note", [escape_control_chars(note) for note in metrics["notes"]])
    lines += _measured_besides(metrics)
    lines += [f"{what:<10} loss {curve}" for what, curve in _curves(done.history).items() if curve]
    lines += [f"diagnosis: {found['words']}\n      try: {found['next']}" for found in metrics["diagnosis"]]
    seconds = metrics["seconds"]
    lines += [
        f"{metrics['num_train']} images trained on, {metrics['num_validation']} held out, "
        f"{metrics['features_reused']} from the cache; {seconds['total']:.1f} s "
        f"(features {seconds['features']:.1f}, training {seconds['fit']:.1f})",
        "",
        f"run   {escape_control_chars(str(done.run.path))}",
        f"next  tlkit predict {escape_control_chars(shlex.quote(str(done.run.path)))} IMAGE...",
    ]
    click.echo("\n".join(lines))


def _curves(history: list[dict[str, Any]]) -> dict[str, str]:
    from tlkit.utils.text import sparkline

    return {
        "training": sparkline([row["loss"] for row in history]),
        "validation": sparkline([row["val_loss"] for row in history]),
    }


def _measured_besides(metrics: dict[str, Any]) -> list[str]:
    """What folds and seeds have shown, where they were asked for."""
    lines = []
    if folds := metrics["folds"]:
        low, high = folds["accuracy_ci95"]
        each = " ".join(f"{value:.3f}" for value in folds["accuracies"])
        lines.append(
            f"cross-validated: accuracy {folds['accuracy']:.3f} on {folds['num_images']} images, each held out once, "
            f"95 % interval {low:.3f} to {high:.3f}; folds {each}"
        )
    if seeds := metrics["seeds"]:
        lines.append("other seeds: {least:.3f} ← {median:.3f} → {greatest:.3f}".format(**seeds))
    return lines


def _listed(title: str, items: list[str]) -> list[str]:
    return [f"{title}: {item}" for item in items]


ENDINGS = {".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".txt": "table"}
Write = Callable[[Prediction], None]


def choose_format(asked: str, output: Path | None, is_terminal: bool) -> str:
    """The format that "auto" means here.

    raises: OptionError for a file whose ending says nothing
    """
    if asked != "auto":
        return asked
    if output is None:
        return "table" if is_terminal else "csv"
    if output.suffix.lower() not in ENDINGS:
        raise OptionError(f"'{output.name}' does not end in {', '.join(ENDINGS)}; add --format.")
    return ENDINGS[output.suffix.lower()]


def write_rows(
    file: IO[str],
    style: str,
    predictions: Iterator[Prediction],
    class_names: tuple[str, ...],
    settings: PredictSettings,
) -> dict[str, int]:
    """Write every prediction as soon as it is there; returns how many "rows" and "errors" there were."""
    counts = {"rows": 0, "errors": 0}
    writer = _Writer(file, class_names, min(settings.top_k, len(class_names)), settings.probs)
    start, write, end = getattr(writer, f"{style}_parts")()
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


class _Writer:
    """One way to write per format: what comes first, a function per prediction, what comes last."""

    def __init__(self, file: IO[str], class_names: tuple[str, ...], top_k: int, probs: bool) -> None:
        self._file, self._names, self._top_k, self._probs = file, class_names, top_k, probs
        self._written = 0

    def csv_parts(self) -> tuple[str, Write, str]:
        """Columns path, status, label, confidence, label_2, …, p_<class>, …, error."""
        writer = csv_writer(self._file)
        ranks = [name for k in range(2, self._top_k + 1) for name in (f"label_{k}", f"confidence_{k}")]
        classes = [f"p_{name}" for name in self._names] if self._probs else []
        writer.writerow(["path", "status", "label", "confidence", *ranks, *classes, "error"])
        return "", lambda prediction: writer.writerow(self._csv_row(prediction)), ""

    def _csv_row(self, prediction: Prediction) -> list[Any]:
        top = [text for name, share in prediction.top for text in (name, f"{share:.6f}")]
        classes: list[str] = []
        if self._probs:
            found = prediction.probabilities
            classes = [f"{share:.6f}" for share in found] if found is not None else [""] * len(self._names)
        filled = top + [""] * (2 * self._top_k - len(top))
        return [prediction.path, prediction.status, *filled, *classes, prediction.error or ""]

    def json_parts(self) -> tuple[str, Write, str]:
        """One array of objects."""
        return "[", self._write_json, "\n]\n"

    def jsonl_parts(self) -> tuple[str, Write, str]:
        """One object per line."""
        return "", lambda prediction: self._print(json.dumps(self._object(prediction))), ""

    def _write_json(self, prediction: Prediction) -> None:
        self._file.write(("," if self._written else "") + "\n  " + json.dumps(self._object(prediction)))
        self._written += 1

    def _object(self, prediction: Prediction) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "path": prediction.path,
            "status": prediction.status,
            "label": prediction.label,
            "confidence": _rounded(prediction.confidence),
            "top": [{"label": name, "prob": _rounded(share)} for name, share in prediction.top],
            "error": prediction.error,
        }
        if self._probs and prediction.probabilities is not None:
            pairs = zip(self._names, prediction.probabilities.tolist(), strict=True)
            facts["probs"] = {name: _rounded(share) for name, share in pairs}
        return facts

    def table_parts(self) -> tuple[str, Write, str]:
        """Columns for people: label, confidence, path."""
        width = min(24, max(7, *(len(escape_control_chars(name)) for name in self._names)))

        def write(prediction: Prediction) -> None:
            cells = [f"{truncate(name, width):<{width}} {share:6.1%}" for name, share in prediction.top]
            missing = f"{'–':<{width}} {'':6}"
            shown = cells or [missing] * self._top_k
            found = prediction.probabilities if self._probs else None
            shares = [] if found is None else [f"{share:.3f}" for share in found]
            reason = f"  {prediction.error}" if prediction.error else ""
            self._print(
                "  ".join([*shown, *shares, escape_control_chars(prediction.path)]) + escape_control_chars(reason)
            )

        return "", write, ""

    def _print(self, line: str) -> None:
        self._file.write(line + "\n")


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 6)
