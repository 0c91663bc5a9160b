"""What every training writes of how it did: tables, figures, a picture."""

from typing import Any

import numpy as np

from tlkit.data.folder import ImageFolder
from tlkit.data.listing import Found, count_reasons
from tlkit.data.split import Split
from tlkit.evaluation.plots import draw_confusion
from tlkit.evaluation.report import Report
from tlkit.extraction import Extracted
from tlkit.runs import Run


def measure(report: Report, test: Report | None, split: Split, extracted: Extracted) -> dict[str, Any]:
    """What `metrics.json` says of every training."""
    commonest = int(np.argmax(split.train.counts))
    left_out = [*extracted.folder.left_out, *split.train.left_out]
    figures = report.as_json()
    figures.pop("num_images")
    return figures | {
        "baseline_accuracy": report.share_of(commonest),
        "baseline_class": report.class_names[commonest],
        "num_train": len(split.train),
        "num_validation": len(split.validation),
        "num_test": len(split.test),
        "test": test.as_json() if test else None,
        "features_reused": extracted.reused,
        "left_out": count_reasons(left_out),
    }


def write_left_out(run: Run, left_out: list[Found]) -> None:
    """`left_out.csv`, where anything was."""
    if left_out:
        run.write_rows("left_out.csv", ("path", "reason"), [(found.path, found.problem) for found in left_out])


def write_report(run: Run, report: Report, part: ImageFolder) -> None:
    """The tables of a report on the validation images, and their confusion matrix drawn."""
    names = report.class_names
    scores = [(score.name, score.precision, score.recall, score.f1, score.support) for score in report.scores]
    run.write_rows("per_class.csv", ("class", "precision", "recall", "f1", "support"), scores)
    rows = [[name, *counts] for name, counts in zip(names, report.confusion.tolist(), strict=True)]
    run.write_rows("confusion_matrix.csv", ("class", *names), rows)
    run.write_rows("predictions_val.csv", prediction_columns(names), _prediction_rows(report, part))
    draw_confusion(report, run.path / "plots" / "confusion.png")


def prediction_columns(names: tuple[str, ...]) -> list[str]:
    """The header of `predictions_val.csv`."""
    return ["path", "class", "label", "confidence", *(f"p_{name}" for name in names)]


def _prediction_rows(report: Report, part: ImageFolder) -> list[list[Any]]:
    names = report.class_names
    return [
        [path, names[true], names[label], row[label], *row]
        for path, true, label, row in zip(
            part.paths, report.labels, report.predicted, report.probabilities, strict=True
        )
    ]
