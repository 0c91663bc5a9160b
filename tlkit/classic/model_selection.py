"""Grid search with cross-validation on the training images: which classifier, with which hyperparameters."""

import itertools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tlkit.classic.base import Classifier, Fold, score_candidates
from tlkit.classic.classifiers import find_classifiers
from tlkit.utils.progress import Advance, Progress

MAX_FOLDS = 3  # two where there are too few images for three
MAX_SEARCH_IMAGES = 4000  # in the folds; of more, a sample, as the time of an RBF SVM grows with their square


@dataclass(frozen=True)
class GroupedLabels:
    """The labels of the training images, and which images are equal.

    Attributes:
        labels: int (images,)
        groups: one value per image, the same for equal images, which stay in one fold
    """

    labels: np.ndarray
    groups: Sequence[str]

    def subset(self, rows: np.ndarray) -> "GroupedLabels":
        """Keep some of the images: int (rows,)."""
        return GroupedLabels(self.labels[rows], [self.groups[row] for row in rows])


@dataclass(frozen=True)
class SearchResult:
    """A classifier with hyperparameters, and its accuracy in cross-validation.

    Attributes:
        options: hyperparameters by name
        accuracy: on held-out images; NaN where there are too few images for folds
        scores: of each image, by a classifier that was not fitted on it: float64 (images, classes)
        labels: of these images: int (images,)
    """

    classifier: Classifier
    options: dict[str, Any]
    accuracy: float
    scores: np.ndarray | None = None
    labels: np.ndarray | None = None


def grid_search(
    values: np.ndarray, grouped: GroupedLabels, classifier: str, seed: int, progress: Progress
) -> SearchResult:
    """Find the classifier and hyperparameters with the best cross-validated accuracy; of equals, the first.

    Args:
        values: float32 (images, values), scaled
        classifier: the name of a classifier or a family
    """
    rows = sample_rows(grouped.labels, seed)
    if len(rows) < len(values):
        values, grouped = values[rows], grouped.subset(rows)
    folds = _stratified_folds(grouped, seed)
    classifiers = find_classifiers(classifier)
    if not folds:
        candidates = _grid_candidates(classifiers[0])
        return SearchResult(classifiers[0], candidates[len(candidates) // 2], float("nan"))
    num_fits = len(folds) * sum(len(_grid_candidates(row)) for row in classifiers)
    results: list[SearchResult] = []
    with progress.stage("folds", num_fits, "fits") as advance:
        for row in classifiers:
            results += _cross_validate(row, values, grouped.labels, folds, seed, advance)
    return max(results, key=lambda result: result.accuracy)


def sample_rows(labels: np.ndarray, seed: int) -> np.ndarray:
    """Draw the rows for the grid search: all, or about `MAX_SEARCH_IMAGES`, stratified, in ascending order."""
    if len(labels) <= MAX_SEARCH_IMAGES:
        return np.arange(len(labels))
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    counts = np.bincount(labels)
    rank_in_class = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    num_sampled = np.ceil(MAX_SEARCH_IMAGES / len(labels) * counts)
    return np.sort(by_class[rank_in_class < num_sampled[labels[by_class]]])


def _grid_candidates(classifier: Classifier) -> list[dict[str, Any]]:
    return [
        dict(zip(classifier.grid, options, strict=True)) for options in itertools.product(*classifier.grid.values())
    ]


def _stratified_folds(grouped: GroupedLabels, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split rows into training and held-out rows, fold by fold; no folds where there are too few images."""
    from sklearn.model_selection import StratifiedGroupKFold

    labels, groups = grouped.labels, grouped.groups
    num_folds = min(MAX_FOLDS, len(set(groups)) // len(set(labels.tolist())))
    if num_folds < 2:
        return []
    with warnings.catch_warnings(action="ignore"):  # about classes with fewer images than folds
        folds = list(StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed).split(labels, labels, groups))
    return folds if all(len(set(labels[train].tolist())) > 1 for train, _ in folds) else []


def _cross_validate(
    classifier: Classifier,
    values: np.ndarray,
    labels: np.ndarray,
    folds: list[tuple[np.ndarray, np.ndarray]],
    seed: int,
    advance: Advance,
) -> Iterator[SearchResult]:
    """Cross-validate a classifier with each candidate of its grid."""
    candidates = _grid_candidates(classifier)
    scores = np.zeros((len(candidates), len(labels), int(labels.max()) + 1))
    for train, test in folds:
        fold = Fold(values[train], labels[train], values[test])
        if classifier.score_grid:
            scored = classifier.score_grid(fold, candidates, seed)
        else:
            scored = score_candidates(classifier, fold, candidates, seed)
        for index, (fold_scores, classes) in enumerate(scored):
            scores[index, test] = fold_scores.min() - 1  # for classes without an image in this fold's training rows
            scores[index][np.ix_(test, classes)] = fold_scores
            advance(1)
    for options, candidate_scores in zip(candidates, scores, strict=True):
        accuracy = float(np.mean(candidate_scores.argmax(axis=1) == labels))
        yield SearchResult(classifier, options, accuracy, candidate_scores, labels)
