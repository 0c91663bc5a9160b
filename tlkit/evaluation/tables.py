"""Tables of a report, as a run and `tlkit evaluate -o` keep them: columns, and one list per row."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tlkit.evaluation.report import Report

MAX_PROBS, LIKELIEST = 100, 10  # of more classes than the first number, predictions have the most probable ones only
Rows = tuple[Sequence[str], list[Sequence[Any]]]  # columns; rows


def report_tables(
    report: Report, paths: Sequence[str], predictions: str = "predictions.csv", probs: bool = False
) -> dict[str, Rows]:
    """Make every table of a report, by the name of its file.

    Args:
        paths: of the report's images, in its order
        predictions: name of the table that has every image
        probs: whether it has the probability of every class, however many classes there are
    """
    return {
        "per_class.csv": class_rows(report),
        "confusion_matrix.csv": confusion_rows(report),
        predictions: prediction_rows(report, paths, probs or len(report.class_names) <= MAX_PROBS),
        "wrong.csv": wrong_rows(report, paths),
    }


def class_rows(report: Report) -> Rows:
    """Write precision, recall, F1, number of images and index of each class: per_class.csv.

    Plots show the index of a class whose name no font has.
    """
    scores = [
        (score.name, score.precision, score.recall, score.f1, score.support, index)
        for index, score in enumerate(report.scores)
    ]
    return ("class", "precision", "recall", "f1", "support", "index"), list(scores)


def confusion_rows(report: Report) -> Rows:
    """Write the confusion matrix, a row per true class, a column per predicted one: confusion_matrix.csv."""
    names = report.class_names
    return ("class", *names), [[name, *row] for name, row in zip(names, report.confusion.tolist(), strict=True)]


def prediction_rows(report: Report, paths: Sequence[str], probs: bool = True) -> Rows:
    """Write every image with its true and its predicted class and its probabilities: predictions.csv.

    Args:
        paths: of the report's images, in its order
        probs: whether the probabilities of all classes follow, or the most probable classes, each with its probability
    """
    names, probabilities = report.class_names, report.probabilities
    if probs:
        columns, others = [f"p_{name}" for name in names], list(probabilities)
    else:
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, 1:LIKELIEST].tolist()
        columns = [name for k in range(2, len(order[0]) + 2) for name in (f"label_{k}", f"confidence_{k}")]
        others = [
            [value for label in labels for value in (names[label], row[label])]
            for labels, row in zip(order, probabilities, strict=True)
        ]
    return ("path", "class", "label", "confidence", *columns), [
        [path, names[true], names[label], row[label], *values]
        for path, true, label, row, values in zip(
            paths, report.labels, report.predicted, probabilities, others, strict=True
        )
    ]


def wrong_rows(report: Report, paths: Sequence[str]) -> Rows:
    """Write every misclassified image, the most confident first: wrong.csv."""
    names, confidence = report.class_names, report.probabilities.max(axis=1)
    return ("path", "class", "label", "confidence"), [
        [paths[index], names[report.labels[index]], names[report.predicted[index]], confidence[index]]
        for index in report.mistakes
    ]
