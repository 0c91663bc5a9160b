"""Classifiers that compare an image with the training images: RBF SVM and nearest neighbors."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from tlkit.classic.base import Arrays, Fold, FoldScores

CHUNK = 512  # rows whose distances to all others are computed at a time
MAX_KERNEL_ROWS = 6000  # training rows whose kernel is computed at once: 0.3 GB
MIN_VARIANCE = 1e-12  # keeps gamma finite where all rows are alike
MAX_VOTE_BYTES = 4 << 30  # of the table of the labels of all neighbors
RBF_SVM_SHAPES = {"vectors": "f vectors values", "per_class": "i classes", "weights": "f others vectors"}
RBF_SVM_SHAPES |= {"bias": "f pairs", "gamma": "f", "lengths": "f vectors"}
KNN_SHAPES = {"rows": "f rows values", "lengths": "f rows", "labels": "i rows", "neighbors": "i"}
TIE = 1e-5  # neighbors whose squared distances differ by less, relative to squared lengths, are equally near


class GaussianSVM:
    """scikit-learn's SVC on an RBF kernel computed at once by matrix products, which is twenty times faster.

    2,017 rows of 4,224 values, six classes, two cores: 0.14 s instead of 2.9 s. The kernel of more than
    `MAX_KERNEL_ROWS` rows would not fit into memory; SVC then computes it piece by piece.

    options: of SVC

    Args:
        gamma_scale: gamma is this times 1 / (number of values × their variance), scikit-learn's "scale"
    """

    def __init__(self, gamma_scale: float = 1.0, **options: Any) -> None:
        from sklearn.svm import SVC

        self._create = partial(SVC, break_ties=True, **options)
        self._gamma_scale = gamma_scale

    def fit(self, values: np.ndarray, labels: np.ndarray, distances: np.ndarray | None = None) -> "GaussianSVM":
        """Fit on float32 (rows, values) and int (rows,).

        Args:
            distances: squared, of every row to every other, where they are known: float64 (rows, rows)
        """
        self.gamma = self._gamma_scale / max(values.shape[1] * float(values.var()), MIN_VARIANCE)
        if len(values) > MAX_KERNEL_ROWS:
            self.svc = self._create(kernel="rbf", gamma=self.gamma).fit(values, labels)
        else:
            distances = squared_distances(values, values) if distances is None else distances
            self.svc = self._create(kernel="precomputed").fit(_rbf_kernel(distances, self.gamma), labels)
        self.classes_, self.support_vectors = self.svc.classes_, values[self.svc.support_]
        return self


def create_rbf_svm(options: dict[str, Any], seed: int) -> Any:
    """Create a support vector machine with an RBF kernel, one class against one."""
    return GaussianSVM(**options)


def export_rbf_svm(fitted: GaussianSVM) -> dict[str, np.ndarray]:
    """Export the support vectors, class by class, and their weights for each pair of classes."""
    return {
        "vectors": fitted.support_vectors.astype(np.float32),
        "per_class": fitted.svc.n_support_.astype(np.int64),
        "weights": fitted.svc.dual_coef_.astype(np.float64),
        "bias": fitted.svc.intercept_.astype(np.float64),
        "gamma": np.array(fitted.gamma),
        "lengths": squared_lengths(fitted.support_vectors),
    }


def validate_rbf_svm(arrays: Arrays, num_values: int) -> None:
    """Check that every class has its support vectors, and every pair of classes its weights.

    Raises:
        ValueError
    """
    counts, num_vectors = arrays["per_class"], len(arrays["vectors"])
    num_pairs = len(counts) * (len(counts) - 1) // 2
    are_counts = len(counts) > 1 and ((counts >= 0) & (counts <= num_vectors)).all() and counts.sum() == num_vectors
    if not (are_counts and len(arrays["weights"]) == len(counts) - 1 and len(arrays["bias"]) == num_pairs):
        raise ValueError("it is damaged: support vectors and classes do not fit together")


def score_rbf_svm(arrays: Arrays, values: np.ndarray) -> np.ndarray:
    """Compute votes plus margins: (rows, classes)."""

    def score(chunk: np.ndarray) -> np.ndarray:
        """Score the classes for some rows."""
        distances = squared_distances(chunk, arrays["vectors"], arrays["lengths"])
        return _ovr_decision(arrays, _rbf_kernel(distances, float(arrays["gamma"])))

    return in_chunks_of_rows(score, values)


def score_rbf_svm_grid(fold: Fold, candidates: Sequence[dict[str, Any]], seed: int) -> Iterator[FoldScores]:
    """Score a fold with each candidate; distances, which are most of the work, are computed once for all."""
    train_distances = squared_distances(fold.values, fold.values)
    test_distances = squared_distances(fold.test_values, fold.values)
    for options in candidates:
        fitted = GaussianSVM(**options).fit(fold.values, fold.labels, train_distances)
        kernel = _rbf_kernel(test_distances[:, fitted.svc.support_], fitted.gamma)
        yield _ovr_decision(export_rbf_svm(fitted), kernel), fitted.classes_


def _rbf_kernel(distances: np.ndarray, gamma: float) -> np.ndarray:
    kernel = distances * -gamma
    return np.exp(kernel, out=kernel)


def _ovr_decision(arrays: Arrays, kernel: np.ndarray) -> np.ndarray:
    """Compute one score per class as scikit-learn does: votes of the pairs, plus less than one for the margins.

    Args:
        kernel: of each row with each support vector, (rows, support vectors)
    """
    if len(arrays["per_class"]) == 2:
        decision = kernel @ arrays["weights"][0] + arrays["bias"][0]
        return np.stack([-decision, decision], axis=1) / 2
    decisions = _pair_decisions(arrays, kernel)
    is_first = np.triu(np.ones(decisions.shape[1:], bool), 1)  # the first class of an undecided pair wins
    wins = (decisions > 0) | ((decisions == 0) & is_first)
    margins = decisions.sum(axis=2)
    scores: np.ndarray = wins.sum(axis=2) + margins / (3 * (np.abs(margins) + 1))
    return scores


def _pair_decisions(arrays: Arrays, kernel: np.ndarray) -> np.ndarray:
    """Decide between each two classes, positive for the first: (rows, classes, classes)."""
    num_classes = len(arrays["per_class"])
    ends = np.cumsum(arrays["per_class"])
    class_slices = [slice(end - count, end) for end, count in zip(ends, arrays["per_class"], strict=True)]
    by_class = np.stack([kernel[:, part] @ arrays["weights"][:, part].T for part in class_slices], axis=1)
    first, second = np.triu_indices(num_classes, 1)
    decisions = np.zeros((len(kernel), num_classes, num_classes))
    decisions[:, first, second] = by_class[:, first, second - 1] + by_class[:, second, first] + arrays["bias"]
    return decisions - decisions.transpose(0, 2, 1)


def create_knn(options: dict[str, Any], seed: int) -> Any:
    """Create a k-nearest-neighbors classifier."""
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(**options, algorithm="brute")


def export_knn(fitted: Any) -> dict[str, np.ndarray]:
    """Export every training row with its label."""
    rows = np.asarray(fitted._fit_X, np.float32)
    return {
        "rows": rows,
        "lengths": squared_lengths(rows),
        "labels": np.asarray(fitted._y, np.int64),
        "neighbors": np.array(fitted.n_neighbors),
    }


def validate_knn(arrays: Arrays, num_values: int) -> None:
    """Check that labels are those of classes, and that there is a neighbor.

    Raises:
        ValueError
    """
    labels = arrays["labels"]
    num_classes, num_rows = int(labels.max()) + 1, len(labels)
    if labels.min() < 0 or 8 * num_classes * max(num_classes, num_rows) > MAX_VOTE_BYTES or arrays["neighbors"] < 1:
        raise ValueError("it is damaged: impossible labels or number of neighbors")


def score_knn(arrays: Arrays, values: np.ndarray) -> np.ndarray:
    """Compute class fractions of the nearest neighbors, and of all that are as near as the last: (rows, classes).

    Neighbors at equal distance all count. An arbitrary choice among them would depend on rounding, and
    rounding depends on how many rows are computed at a time.
    """
    votes = np.eye(int(arrays["labels"].max()) + 1)[arrays["labels"]]
    num_neighbors = min(int(arrays["neighbors"]), len(arrays["rows"]))

    def score(chunk: np.ndarray) -> np.ndarray:
        """Score the classes for some rows."""
        distances = squared_distances(chunk, arrays["rows"], arrays["lengths"])
        farthest = np.partition(distances, num_neighbors - 1, axis=1)[:, num_neighbors - 1]
        limit = farthest + TIE * (squared_lengths(chunk) + arrays["lengths"].mean())
        counts = (distances <= limit[:, None]) @ votes
        fractions: np.ndarray = counts / counts.sum(axis=1, keepdims=True)
        return fractions

    return in_chunks_of_rows(score, values)


def nearest_neighbors(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Find which of the others is the nearest to each row: int (rows,).

    Args:
        values, others: float32 (rows, values)
    """
    lengths = squared_lengths(others)
    return in_chunks_of_rows(lambda chunk: squared_distances(chunk, others, lengths).argmin(axis=1), values)


def squared_distances(values: np.ndarray, others: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
    """Compute the squared distance of every row to every other: float64 (rows, others), never negative.

    Args:
        lengths: of the others, squared, where they are known: with few rows they are most of the work
    """
    lengths = squared_lengths(others) if lengths is None else lengths
    distances = np.empty((len(values), len(others)))
    for start in range(0, len(values), CHUNK):
        chunk = values[start : start + CHUNK]
        chunk_distances = squared_lengths(chunk)[:, None] + lengths - 2.0 * (chunk @ others.T)
        np.maximum(chunk_distances, 0, out=distances[start : start + CHUNK])
    return distances


def squared_lengths(rows: np.ndarray) -> np.ndarray:
    """Compute the squared length of each row: float32 (rows, values) to float64 (rows,)."""
    squared: np.ndarray = np.sum(rows.astype(np.float64) ** 2, axis=1)
    return squared


def in_chunks_of_rows(function: Callable[[np.ndarray], np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Apply a function to some rows at a time; its intermediate arrays for all rows would not fit into memory."""
    return np.concatenate([function(chunk) for chunk in np.array_split(rows, max(1, len(rows) // CHUNK))])
