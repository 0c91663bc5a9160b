"""The page that compares models on the same images: accuracy, mistakes of each, where they agree."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tlkit.evaluation.report import Report
from tlkit.report.content import read_predictions
from tlkit.report.html import render_page
from tlkit.report.images import Thumbnails, make_thumbnails
from tlkit.runs.run import Run
from tlkit.utils.storage import Location
from tlkit.utils.text import distinct_names, escape_control_chars

MAX_MISTAKES, MAX_ONLY_ONE, MAX_ALL_WRONG = 8, 18, 12  # images of a gallery
NUM_SHADES = 10  # of the matrix of agreement
TABLE = "predictions_val.csv"


@dataclass(frozen=True)
class ComparedModel:
    """A model as the page shows it.

    Attributes:
        kind: such as "pretrained"
        interval: of the accuracy, 95 %; None where it is known exactly
        run: None of a baseline, which is not trained
        to_best: the accuracy against that of the best, in words
        costs: training time, images per second and size: the words, and the number they are sorted by
    """

    title: str
    kind: str
    accuracy: float
    interval: tuple[float, float] | None
    run: Run | None = None
    to_best: str = ""
    costs: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class ComparedImages:
    """The images that the models were measured on.

    Attributes:
        name: of the data
        root: their folder; None for a page without thumbnails
    """

    name: str
    root: Location | None


@dataclass(frozen=True)
class _Answers:
    """The answers of trained models to the same images.

    Attributes:
        predicted: int (models, images)
        confidence: float (models, images), of the predicted class
    """

    titles: tuple[str, ...]
    reports: tuple[Report, ...] = field(repr=False)
    paths: tuple[str, ...] = field(repr=False)
    predicted: np.ndarray = field(repr=False)
    confidence: np.ndarray = field(repr=False)

    @property
    def correct(self) -> np.ndarray:
        """Correct answers: bool (models, images)."""
        return np.asarray(self.predicted == self.labels)

    @property
    def labels(self) -> np.ndarray:
        """The labels of the images."""
        return self.reports[0].labels

    @property
    def agreement(self) -> np.ndarray:
        """The fraction of the images to which two models give the same answer: float (models, models)."""
        return np.array([[float(np.mean(first == second)) for second in self.predicted] for first in self.predicted])


def make_comparison_page(
    models: Sequence[ComparedModel], images: ComparedImages, advice: str, chosen: str, notes: Sequence[str]
) -> str:
    """Make the HTML of the page.

    Args:
        models: from the simplest; at least one was trained, and all on the same images
        advice: in a sentence
        chosen: title of the recommended model

    Raises:
        RunError: if the predictions of a model cannot be read
        ValueError: if a probability is not a number from 0 to 1
    """
    trained = [(model, model.run) for model in models if model.run]
    answers = _read_answers(trained)
    only_one, all_wrong = _only_one(answers), _all_wrong(answers)
    mistakes = [report.mistakes[:MAX_MISTAKES] for report in answers.reports]
    large = [answers.paths[index] for index in (*only_one, *all_wrong)]
    small = [answers.paths[index] for found in mistakes for index in found]
    pictured = _thumbnails(trained[0][1], images.root, large, small)
    index = {path: number for number, path in enumerate(dict.fromkeys([*large, *small]))}
    cards = _Cards(answers, index)
    best = max(models, key=lambda model: model.accuracy)
    start = _axis_start(models)
    return render_page(
        "compared.html",
        data_name=images.name,
        best=best,
        num_models=len(trained),
        num_images=len(answers.paths),
        advice=advice,
        chosen=chosen,
        notes=notes,
        models=[_row(model, start, model is best) for model in models],
        start=start,
        commonest=max((model.accuracy for model in models if not model.run), default=None),
        mistakes=[
            {"title": title, "count": len(report.mistakes), "images": cards.of(report, found)}
            for title, report, found in zip(answers.titles, answers.reports, mistakes, strict=True)
        ],
        agreement=_agreement(answers),
        only_one=[cards.of_only_one(position) for position in only_one],
        num_only_one=int((answers.correct.sum(axis=0) == 1).sum()),
        all_wrong=[cards.of_all_wrong(position) for position in all_wrong],
        num_all_wrong=int((~answers.correct).all(axis=0).sum()),
        missing=len(pictured.problems),
        data=_script_data(answers, index, pictured),
    )


def _read_answers(trained: Iterable[tuple[ComparedModel, Run]]) -> _Answers:
    found = [(model.title, *read_predictions(run, TABLE)) for model, run in trained]
    titles, reports, paths = zip(*found, strict=True)
    predicted = np.stack([report.predicted for report in reports])
    confidence = np.stack([report.probabilities.max(axis=1) for report in reports])
    return _Answers(titles, reports, paths[0], predicted, confidence)


def _only_one(answers: _Answers) -> list[int]:
    """List images that only one model classifies correctly, the most confident answer first; none of two models."""
    correct = answers.correct
    if len(correct) < 3:
        return []
    only = np.flatnonzero(correct.sum(axis=0) == 1)
    confidence = np.where(correct, answers.confidence, 0).max(axis=0)[only]
    return [int(index) for index in only[np.argsort(-confidence, kind="stable")]][:MAX_ONLY_ONE]


def _all_wrong(answers: _Answers) -> list[int]:
    """List images that every model classifies wrongly, those with the highest mean confidence first."""
    wrong = np.flatnonzero((~answers.correct).all(axis=0))
    confidence = answers.confidence.mean(axis=0)[wrong]
    return [int(index) for index in wrong[np.argsort(-confidence, kind="stable")]][:MAX_ALL_WRONG]


def _thumbnails(run: Run, root: Location | None, large: Sequence[str], small: Sequence[str]) -> Thumbnails:
    if root is None:
        return Thumbnails()
    sha256 = {row["path"]: row["sha256"] for row in run.read_rows("split.csv")}
    return make_thumbnails(root, large, small, sha256, run.manifest.image)


def _axis_start(models: Sequence[ComparedModel]) -> float:
    """Give the accuracy at which the axis starts: a multiple of 10 % below every interval."""
    lowest = min(model.interval[0] if model.interval else model.accuracy for model in models)
    return max(0.0, math.floor(10 * lowest - 0.5) / 10)


def _row(model: ComparedModel, start: float, is_best: bool) -> dict[str, Any]:
    """Describe a model, with its accuracy and interval as positions from 0 to 1 on the axis."""
    low, high = model.interval or (model.accuracy, model.accuracy)
    positions = [(value - start) / (1 - start) for value in (low, model.accuracy, high)]
    return {"model": model, "positions": positions, "low": low, "high": high, "is_best": is_best}


def _agreement(answers: _Answers) -> list[dict[str, Any]]:
    """Describe the matrix of agreement: the darker, the more answers are the same."""
    agreement = answers.agreement
    lowest = float(agreement.min())
    shades = np.ceil(NUM_SHADES * (agreement - lowest) / (1 - lowest or 1)).astype(int)
    return [
        {
            "title": title,
            "cells": [{"value": value, "shade": max(1, shade)} for value, shade in zip(row, tones, strict=True)],
        }
        for title, row, tones in zip(answers.titles, agreement.tolist(), shades.tolist(), strict=True)
    ]


class _Cards:
    """Images as the galleries of this page show them."""

    def __init__(self, answers: _Answers, index: Mapping[str, int]) -> None:
        self._answers, self._index = answers, index
        self._names = distinct_names(answers.reports[0].class_names)

    def of(self, report: Report, positions: Iterable[int]) -> list[dict[str, Any]]:
        """Describe mistakes of one model."""
        predicted, probabilities = report.predicted, report.probabilities
        return [
            self._image(position)
            | {
                "predicted": self._names[predicted[position]],
                "correct": False,
                "confidence": float(probabilities[position].max()),
                "own_confidence": float(probabilities[position, report.labels[position]]),
            }
            for position in positions
        ]

    def of_only_one(self, position: int) -> dict[str, Any]:
        """Describe an image that one model classifies correctly."""
        model = int(np.argmax(self._answers.correct[:, position]))
        confidence = float(self._answers.confidence[model, position])
        return self._image(position) | {"model": self._answers.titles[model], "confidence": confidence}

    def of_all_wrong(self, position: int) -> dict[str, Any]:
        """Describe an image that every model classifies wrongly, with the commonest answer."""
        labels, counts = np.unique(self._answers.predicted[:, position], return_counts=True)
        answer = self._names[labels[np.argmax(counts)]]
        return self._image(position) | {"answer": answer, "count": int(counts.max())}

    def _image(self, position: int) -> dict[str, Any]:
        path = self._answers.paths[position]
        return {"path": path, "index": self._index.get(path), "true": self._names[self._answers.labels[position]]}


def _script_data(answers: _Answers, index: Mapping[str, int], pictured: Thumbnails) -> dict[str, Any]:
    """Give what the script reads: the thumbnail of each image."""
    images = [[escape_control_chars(path), -1, -1, 0, pictured.uris.get(path, "")] for path in index]
    return {"names": distinct_names(answers.reports[0].class_names), "images": images}
