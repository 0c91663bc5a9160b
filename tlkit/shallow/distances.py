"""Classifiers that compare with what they have seen: support vectors with a Gaussian kernel, neighbours."""

from collections.abc import Callable
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from tlkit.shallow.linear import Arrays

CHUNK = 512  # rows whose distances to all others are in memory at a time
MOST_ROWS = 6000  # whose kernel is computed at once: 0.3 GB
LEAST = 1e-12  # of a variance, so that rows that are all alike stay harmless


class GaussianSVM:
    """scikit-learn's SVC on a kernel that is computed at once, by matrix products: twenty times its speed.

    2,017 rows of 4,224 values, six classes, two cores: 0.14 s instead of 2.9 s. Of more rows than
    `MOST_ROWS` the kernel would not fit into memory, and SVC computes it piece by piece.
    """

    def __init__(self, **options: Any) -> None:
        from sklearn.svm import SVC

        self._make = partial(SVC, break_ties=True, **options)

    def fit(self, values: np.ndarray, labels: np.ndarray) -> "GaussianSVM":
        """float32 (rows, values), (rows,)."""
        self.gamma = 1 / max(values.shape[1] * float(values.var()), LEAST)
        if len(values) > MOST_ROWS:
            self.fitted = self._make(kernel="rbf", gamma=self.gamma).fit(values, labels)
        else:
            self.fitted = self._make(kernel="precomputed").fit(self._kernel(values, values), labels)
        self.classes_, self.vectors = self.fitted.classes_, values[self.fitted.support_]
        return self

    def _kernel(self, values: np.ndarray, others: np.ndarray) -> np.ndarray:
        kernel: np.ndarray = np.exp(-self.gamma * squared_distances(values, others))
        return kernel


def make_rbf_svm(options: dict[str, Any], seed: int) -> Any:
    """A support vector machine with a Gaussian kernel per pair of classes, which then vote."""
    return GaussianSVM(**options)


def export_rbf(found: GaussianSVM) -> dict[str, np.ndarray]:
    """Support vectors, class by class, and their weights for each pair."""
    return {
        "vectors": found.vectors.astype(np.float32),
        "per_class": found.fitted.n_support_.astype(np.int64),
        "weights": found.fitted.dual_coef_.astype(np.float64),
        "bias": found.fitted.intercept_.astype(np.float64),
        "gamma": np.array(found.gamma),
        "lengths": squared_lengths(found.vectors),
    }


def score_rbf(kept: Arrays, values: np.ndarray) -> np.ndarray:
    """Votes and margins: (rows, classes)."""
    return in_parts(partial(_score_rbf, kept), values)


def _score_rbf(kept: Arrays, values: np.ndarray) -> np.ndarray:
    kernel = np.exp(-kept["gamma"] * squared_distances(values, kept["vectors"], kept["lengths"]))
    if len(kept["per_class"]) == 2:
        decision = kernel @ kept["weights"][0] + kept["bias"][0]
        return np.stack([-decision, decision], axis=1) / 2
    return _votes(_pair_decisions(kept, kernel), len(kept["per_class"]))


def _pair_decisions(kept: Arrays, kernel: np.ndarray) -> np.ndarray:
    """Of each pair of classes, in order: positive for the first. (rows, pairs)."""
    ends = np.cumsum(kept["per_class"])
    parts = [slice(end - count, end) for end, count in zip(ends, kept["per_class"], strict=True)]
    weights, found = kept["weights"], []
    for place, (one, other) in enumerate(combinations(range(len(parts)), 2)):
        first = kernel[:, parts[one]] @ weights[other - 1, parts[one]]
        second = kernel[:, parts[other]] @ weights[one, parts[other]]
        found.append(first + second + kept["bias"][place])
    return np.stack(found, axis=1)


def _votes(decisions: np.ndarray, num_classes: int) -> np.ndarray:
    """A vote for the winner of each pair, and less than one for all its margins together, as scikit-learn does."""
    votes, margins = (np.zeros((len(decisions), num_classes)) for _ in range(2))
    for decision, (one, other) in zip(decisions.T, combinations(range(num_classes), 2), strict=True):
        votes[:, one] += decision >= 0
        votes[:, other] += decision < 0
        margins[:, one] += decision
        margins[:, other] -= decision
    scores: np.ndarray = votes + margins / (3 * (np.abs(margins) + 1))
    return scores


def make_knn(options: dict[str, Any], seed: int) -> Any:
    """The nearest neighbours' classes."""
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(**options, algorithm="brute")


def export_knn(fitted: Any) -> dict[str, np.ndarray]:
    """Every training row and its label."""
    return {
        "rows": np.asarray(fitted._fit_X, np.float32),
        "lengths": squared_lengths(np.asarray(fitted._fit_X, np.float32)),
        "labels": np.asarray(fitted._y, np.int64),
        "neighbours": np.array(fitted.n_neighbors),
    }


def score_knn(kept: Arrays, values: np.ndarray) -> np.ndarray:
    """Shares of the nearest neighbours, or of all rows where there are fewer: (rows, classes)."""
    return in_parts(partial(_score_knn, kept), values)


def _score_knn(kept: Arrays, values: np.ndarray) -> np.ndarray:
    votes = np.eye(int(kept["labels"].max()) + 1, dtype=np.float32)[kept["labels"]]
    count = min(int(kept["neighbours"]), len(kept["rows"]))
    nearest = np.argpartition(squared_distances(values, kept["rows"], kept["lengths"]), count - 1, axis=1)[:, :count]
    shares: np.ndarray = votes[nearest].mean(axis=1)
    return shares


def squared_distances(values: np.ndarray, others: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
    """Of every row to every other: (rows, others), never negative.

    lengths: of the others, squared, where they are known: with few rows they are most of the work
    """
    known = squared_lengths(others) if lengths is None else lengths

    def to_all(part: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.maximum(squared_lengths(part)[:, None] + known - 2.0 * (part @ others.T), 0)
        return found

    return in_parts(to_all, values)


def find_nearest(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which of the others is the nearest to each row: int (rows,)."""
    lengths = squared_lengths(others)
    return in_parts(lambda part: squared_distances(part, others, lengths).argmin(axis=1), values)


def in_parts(function: Callable[[np.ndarray], np.ndarray], rows: np.ndarray) -> np.ndarray:
    """A function of rows, of some at a time: distances of all of them to all others would not fit into memory."""
    return np.concatenate([function(part) for part in np.array_split(rows, max(1, len(rows) // CHUNK))])


def squared_lengths(rows: np.ndarray) -> np.ndarray:
    """float32 (rows, values) to float64 (rows,)."""
    squared: np.ndarray = np.sum(rows.astype(np.float64) ** 2, axis=1)
    return squared
