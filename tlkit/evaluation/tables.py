"""Tables of a report, as a run and `tlkit evaluate -o` keep them: columns, and one list per row."""

from collections.abc import Sequence
from typing import Any

from tlkit.evaluation.report import Report

Rows = tuple[Sequence[str], list[Sequence[Any]]]  # columns; rows


def report_tables(report: Report, paths: Sequence[str], predictions: str = "predictions.csv") -> dict[str, Rows]:
    """Make every table of a report, by the name of its file.

    paths: of the report's images, in its order
    predictions: name of the table that has every image
    """
    return {
        "per_class.csv": class_rows(report),
        "confusion_matrix.csv": confusion_rows(report),
        predictions: prediction_rows(report, paths),
        "wrong.csv": wrong_rows(report, paths),
    }


def class_rows(report: Report) -> Rows:
    """Precision, recall, F1 and number of images of each class: per_class.csv."""
    scores = [(score.name, score.precision, score.recall, score.f1, score.support) for score in report.scores]
    return ("class", "precision", "recall", "f1", "support"), list(scores)


def confusion_rows(report: Report) -> Rows:
    """The confusion matrix, a row per true class, a column per predicted one: confusion_matrix.csv."""
    names = report.class_names
    return ("class", *names), [[name, *row] for name, row in zip(names, report.confusion.tolist(), strict=True)]


def prediction_rows(report: Report, paths: Sequence[str]) -> Rows:
    """Every image with its true and its predicted class and all probabilities: predictions.csv.

    paths: of the report's images, in its order
    """
    names = report.class_names
    return ("path", "class", "label", "confidence", *(f"p_{name}" for name in names)), [
        [path, names[true], names[label], probabilities[label], *probabilities]
        for path, true, label, probabilities in zip(
            paths, report.labels, report.predicted, report.probabilities, strict=True
        )
    ]


def wrong_rows(report: Report, paths: Sequence[str]) -> Rows:
    """Every image that is classified wrongly, the most confident mistake first: wrong.csv."""
    names, confidence = report.class_names, report.probabilities.max(axis=1)
    return ("path", "class", "label", "confidence"), [
        [paths[index], names[report.labels[index]], names[report.predicted[index]], confidence[index]]
        for index in report.mistakes
    ]
