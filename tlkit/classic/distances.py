"""Classifiers that compare with the training images: RBF SVM, nearest neighbors."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from tlkit.classic.base import Arrays, Fold, Scored

CHUNK = 512  # rows whose distances to all others are worked on at a time
MAX_KERNEL_ROWS = 6000  # whose kernel is computed at once: 0.3 GB
MIN_VARIANCE = 1e-12  # of a variance, so that rows that are all alike stay harmless
TIE = 1e-5  # of squared lengths: neighbours whose squared distances differ by less are equally near


class GaussianSVM:
    """scikit-learn's SVC on a kernel that is computed at once, by matrix products: twenty times its speed.

    2,017 rows of 4,224 values, six classes, two cores: 0.14 s instead of 2.9 s. Of more rows than
    `MOST_ROWS` the kernel would not fit into memory, and SVC computes it piece by piece.

    gamma_scale: times 1 / (values × their variance), scikit-learn's "scale"
    """

    def __init__(self, gamma_scale: float = 1.0, **options: Any) -> None:
        from sklearn.svm import SVC

        self._make = partial(SVC, break_ties=True, **options)
        self._scale = gamma_scale

    def fit(self, values: np.ndarray, labels: np.ndarray, distances: np.ndarray | None = None) -> "GaussianSVM":
        """float32 (rows, values), (rows,); with squared distances of every row to every other where they are known."""
        self.gamma = self._scale / max(values.shape[1] * float(values.var()), MIN_VARIANCE)
        if len(values) > MAX_KERNEL_ROWS:
            self.fitted = self._make(kernel="rbf", gamma=self.gamma).fit(values, labels)
        else:
            known = squared_distances(values, values) if distances is None else distances
            self.fitted = self._make(kernel="precomputed").fit(_gaussian(known, self.gamma), labels)
        self.classes_, self.vectors = self.fitted.classes_, values[self.fitted.support_]
        return self


def create_rbf_svm(options: dict[str, Any], seed: int) -> Any:
    """A support vector machine with a Gaussian kernel per pair of classes, which then vote."""
    return GaussianSVM(**options)


def score_rbf_grid(fold: Fold, tried: Sequence[dict[str, Any]], seed: int) -> Iterator[Scored]:
    """See `Classifier.trials`: distances, which are most of the work, are computed once for all options."""
    known, apart = (squared_distances(rows, fold.values) for rows in (fold.values, fold.unseen))
    for options in tried:
        machine = GaussianSVM(**options).fit(fold.values, fold.labels, known)
        kernel = _gaussian(apart[:, machine.fitted.support_], machine.gamma)
        yield _decide(export_rbf(machine), kernel), machine.classes_


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
    distances = squared_distances(values, kept["vectors"], kept["lengths"])
    return _decide(kept, _gaussian(distances, float(kept["gamma"])))


def _gaussian(distances: np.ndarray, gamma: float) -> np.ndarray:
    kernel = distances * -gamma
    return np.exp(kernel, out=kernel)


def _decide(kept: Arrays, kernel: np.ndarray) -> np.ndarray:
    """From similarities to the support vectors: (rows, classes)."""
    if len(kept["per_class"]) == 2:
        decision = kernel @ kept["weights"][0] + kept["bias"][0]
        return np.stack([-decision, decision], axis=1) / 2
    return _votes(_pair_decisions(kept, kernel))


def _pair_decisions(kept: Arrays, kernel: np.ndarray) -> np.ndarray:
    """Of each class against each other: positive for the first. (rows, classes, classes)."""
    classes = len(kept["per_class"])
    ends = np.cumsum(kept["per_class"])
    parts = [slice(end - count, end) for end, count in zip(ends, kept["per_class"], strict=True)]
    each = np.stack([kernel[:, part] @ kept["weights"][:, part].T for part in parts], axis=1)  # of its own vectors
    one, other = np.triu_indices(classes, 1)
    decisions = np.zeros((len(kernel), classes, classes))
    decisions[:, one, other] = each[:, one, other - 1] + each[:, other, one] + kept["bias"]
    return decisions - decisions.transpose(0, 2, 1)


def _votes(decisions: np.ndarray) -> np.ndarray:
    """A vote for the winner of each pair, and less than one for all its margins together, as scikit-learn does."""
    first = np.triu(np.ones(decisions.shape[1:], bool), 1)  # of a pair that is undecided, the first class wins
    wins = (decisions > 0) | ((decisions == 0) & first)
    margins = decisions.sum(axis=2)
    scores: np.ndarray = wins.sum(axis=2) + margins / (3 * (np.abs(margins) + 1))
    return scores


def create_knn(options: dict[str, Any], seed: int) -> Any:
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
    """Shares of the nearest neighbours, and of all that are as near as the last of them: (rows, classes).

    With an arbitrary choice among equals the last digits of a distance would decide, and those depend
    on how many rows are asked about at a time.
    """
    return in_parts(partial(_score_knn, kept), values)


def _score_knn(kept: Arrays, values: np.ndarray) -> np.ndarray:
    votes = np.eye(int(kept["labels"].max()) + 1)[kept["labels"]]
    count = min(int(kept["neighbours"]), len(kept["rows"]))
    distances = squared_distances(values, kept["rows"], kept["lengths"])
    farthest = np.partition(distances, count - 1, axis=1)[:, count - 1] + TIE * (
        squared_lengths(values) + kept["lengths"].mean()
    )
    found = (distances <= farthest[:, None]) @ votes
    shares: np.ndarray = found / found.sum(axis=1, keepdims=True)
    return shares


def squared_distances(values: np.ndarray, others: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
    """Of every row to every other: float64 (rows, others), never negative.

    lengths: of the others, squared, where they are known: with few rows they are most of the work
    """
    known = squared_lengths(others) if lengths is None else lengths
    found = np.empty((len(values), len(others)))
    for start in range(0, len(values), CHUNK):
        part = values[start : start + CHUNK]
        apart = squared_lengths(part)[:, None] + known - 2.0 * (part @ others.T)
        np.maximum(apart, 0, out=found[start : start + CHUNK])
    return found


def nearest_neighbors(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which of the others is the nearest to each row: int (rows,)."""
    lengths = squared_lengths(others)
    return in_parts(lambda part: squared_distances(part, others, lengths).argmin(axis=1), values)


def in_parts(function: Callable[[np.ndarray], np.ndarray], rows: np.ndarray) -> np.ndarray:
    """A function of rows, of some at a time: what it makes of all of them at once would not fit into memory."""
    return np.concatenate([function(part) for part in np.array_split(rows, max(1, len(rows) // CHUNK))])


def squared_lengths(rows: np.ndarray) -> np.ndarray:
    """float32 (rows, values) to float64 (rows,)."""
    squared: np.ndarray = np.sum(rows.astype(np.float64) ** 2, axis=1)
    return squared
