"""Grid search in folds of the training images: which classifier, with which hyperparameters."""

import itertools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tlkit.classic.base import Classifier, Fold, score_each
from tlkit.classic.classifiers import find_classifiers
from tlkit.utils.progress import Advance, Progress

FOLDS = 3  # or two, where there are too few images for three
MAX_SEARCH_IMAGES = (
    4000  # images in the folds: of more a sample, for the time of an RBF machine grows with their square
)


@dataclass(frozen=True)
class SearchResult:
    """What cross-validation on the training side found.

    row       of the classifier
    options   its hyperparameters
    accuracy  with them, on images held out in folds; NaN where there are too few to hold any out
    scores    of each image in the folds by a classifier that has not seen it: (images, classes)
    labels    of these images
    """

    row: Classifier
    options: dict[str, Any]
    accuracy: float
    scores: np.ndarray | None = None
    labels: np.ndarray | None = None


@dataclass(frozen=True)
class GroupedLabels:
    """What is known of training rows.

    labels  int (rows,)
    groups  of equal pictures, which are never parted
    """

    labels: np.ndarray
    groups: Sequence[str]

    def pick(self, rows: np.ndarray) -> "GroupedLabels":
        """Some of them."""
        return GroupedLabels(self.labels[rows], [self.groups[row] for row in rows])


def grid_search(
    values: np.ndarray, sides: GroupedLabels, classifier: str, seed: int, progress: Progress
) -> SearchResult:
    """The classifier and hyperparameters with the best accuracy in folds; of equals the first.

    values: float32 (rows, values), scaled
    classifier: its name, or a family's
    """
    rows = sample_rows(sides.labels, seed)
    values, sides = (values, sides) if len(rows) == len(values) else (values[rows], sides.pick(rows))
    folds = _folds(sides, seed)
    classifiers = find_classifiers(classifier)
    if not folds:
        tried = _grid(classifiers[0])
        return SearchResult(classifiers[0], tried[len(tried) // 2], float("nan"))
    steps = len(folds) * sum(len(_grid(row)) for row in classifiers)
    with progress.stage("folds", steps, "fits") as advance:
        found = [choice for row in classifiers for choice in _search(row, values, sides, (folds, seed), advance)]
    return max(found, key=lambda choice: choice.accuracy)


def sample_rows(labels: np.ndarray, seed: int) -> np.ndarray:
    """The rows to try options on: all, or about `MOST_TRIED`, as large a share of each class, in their order."""
    if len(labels) <= MAX_SEARCH_IMAGES:
        return np.arange(len(labels))
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    counts = np.bincount(labels)
    within = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(by_class[within < np.ceil(MAX_SEARCH_IMAGES / len(labels) * counts)[labels[by_class]]])


def _grid(row: Classifier) -> list[dict[str, Any]]:
    return [dict(zip(row.grid, each, strict=True)) for each in itertools.product(*row.grid.values())]


def _folds(sides: GroupedLabels, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Which images to learn from and which to hold out, fold by fold; none where there are too few for that."""
    from sklearn.model_selection import StratifiedGroupKFold

    labels, groups = sides.labels, sides.groups
    count = min(FOLDS, len(set(groups)) // len(set(labels.tolist())))
    if count < 2:
        return []
    with warnings.catch_warnings(action="ignore"):  # of classes rarer than folds
        folds = list(StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(labels, labels, groups))
    return folds if all(len(set(labels[inside].tolist())) > 1 for inside, _ in folds) else []


def _search(
    row: Classifier, values: np.ndarray, sides: GroupedLabels, how: tuple[list[Any], int], advance: Advance
) -> Iterator[SearchResult]:
    """One classifier with each of its options."""
    (folds, seed), tried, labels = how, _grid(row), sides.labels
    scores = np.zeros((len(tried), len(labels), int(labels.max()) + 1))
    for inside, outside in folds:
        fold = Fold(values[inside], labels[inside], values[outside])
        trials = row.trials(fold, tried, seed) if row.trials else score_each(row, fold, tried, seed)
        for place, (found, classes) in enumerate(trials):
            scores[place, outside] = found.min() - 1  # of a class no image of which was learnt from
            scores[place][np.ix_(outside, classes)] = found
            advance(1)
    for options, each in zip(tried, scores, strict=True):
        yield SearchResult(row, options, float(np.mean(each.argmax(axis=1) == labels)), each, labels)
