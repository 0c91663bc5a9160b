"""Classifiers that are not networks: fitted by scikit-learn, kept as arrays, applied by NumPy alone.

What is kept holds no pickle, needs no scikit-learn to predict, and gives what the fitted one gave.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray]
CHUNK = 512  # rows whose distances are computed at a time


@dataclass(frozen=True)
class Classifier:
    """One kind of classifier.

    make      from hyperparameters and a seed to one that can be fitted
    grid      the hyperparameters that are tried, by their names in scikit-learn
    export    what of a fitted one is kept
    scores    from what is kept and float32 (rows, values) to (rows, classes): the greatest is the answer
    sure      whether scores are probabilities already; else they are turned into some
    """

    name: str
    make: Callable[[dict[str, Any], int], Any]
    export: Callable[[Any], dict[str, np.ndarray]]
    scores: Callable[[Arrays, np.ndarray], np.ndarray]
    grid: dict[str, list[Any]] = field(default_factory=dict, hash=False)
    sure: bool = True


# linear: one row of weights per class; two classes have one row for both


def _linear_export(fitted: Any) -> dict[str, np.ndarray]:
    weights, bias = fitted.coef_, fitted.intercept_
    if len(weights) == 1:  # the second class against the first
        weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
    return {"weights": weights.astype(np.float32), "bias": bias.astype(np.float32)}


def _linear_scores(kept: Arrays, values: np.ndarray) -> np.ndarray:
    return values @ kept["weights"].T + kept["bias"]


def _logistic_scores(kept: Arrays, values: np.ndarray) -> np.ndarray:
    return softmax(_linear_scores(kept, values))


def _perceptron(options: dict[str, Any], seed: int) -> Any:
    from sklearn.linear_model import Perceptron

    return Perceptron(**options, random_state=seed)


def _logistic(options: dict[str, Any], seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(**options, max_iter=300)


def _linear_svm(options: dict[str, Any], seed: int) -> Any:
    from sklearn.svm import LinearSVC

    return LinearSVC(**options, random_state=seed, max_iter=3000)


# support vectors with a Gaussian kernel: one decision per pair of classes, which then vote


def _rbf_svm(options: dict[str, Any], seed: int) -> Any:
    from sklearn.svm import SVC

    return SVC(**options, kernel="rbf", gamma="scale", break_ties=True)


def _rbf_export(fitted: Any) -> dict[str, np.ndarray]:
    return {
        "vectors": fitted.support_vectors_.astype(np.float32),
        "per_class": fitted.n_support_.astype(np.int64),
        "weights": fitted.dual_coef_.astype(np.float64),
        "bias": fitted.intercept_.astype(np.float64),
        "gamma": np.array(fitted._gamma),
    }


def _rbf_scores(kept: Arrays, values: np.ndarray) -> np.ndarray:
    kernel = np.exp(-kept["gamma"] * squared_distances(values, kept["vectors"]))
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


# neighbours


def _knn(options: dict[str, Any], seed: int) -> Any:
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(**options, algorithm="brute")


def _knn_export(fitted: Any) -> dict[str, np.ndarray]:
    return {
        "rows": np.asarray(fitted._fit_X, np.float32),
        "labels": np.asarray(fitted._y, np.int64),
        "neighbours": np.array(fitted.n_neighbors),
    }


def _knn_scores(kept: Arrays, values: np.ndarray) -> np.ndarray:
    votes = np.eye(int(kept["labels"].max()) + 1, dtype=np.float32)[kept["labels"]]
    count = int(kept["neighbours"])
    nearest = np.argpartition(squared_distances(values, kept["rows"]), count - 1, axis=1)[:, :count]
    shares: np.ndarray = votes[nearest].mean(axis=1)
    return shares


# trees


def _forest(options: dict[str, Any], seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(**options, n_estimators=300, random_state=seed, n_jobs=-1)


def _forest_export(fitted: Any) -> dict[str, np.ndarray]:
    trees = [tree.tree_ for tree in fitted.estimators_]
    starts = np.cumsum([0, *(tree.node_count for tree in trees)])[:-1]
    shares = np.concatenate([tree.value[:, 0] for tree in trees])
    return {
        "roots": starts.astype(np.int64),
        "left": np.concatenate([tree.children_left + start for tree, start in zip(trees, starts, strict=True)]),
        "right": np.concatenate([tree.children_right + start for tree, start in zip(trees, starts, strict=True)]),
        "feature": np.concatenate([tree.feature for tree in trees]),  # negative in a leaf
        "threshold": np.concatenate([tree.threshold for tree in trees]),
        "shares": shares / shares.sum(axis=1, keepdims=True),
    }


def _forest_scores(kept: Arrays, values: np.ndarray) -> np.ndarray:
    rows = np.arange(len(values))
    total = np.zeros((len(values), kept["shares"].shape[1]))
    for root in kept["roots"]:
        place = np.full(len(values), root)
        while (inner := kept["feature"][place] >= 0).any():
            below = values[rows, np.maximum(kept["feature"][place], 0)] <= kept["threshold"][place]
            place = np.where(inner, np.where(below, kept["left"][place], kept["right"][place]), place)
        total += kept["shares"][place]
    shares: np.ndarray = total / len(kept["roots"])
    return shares


# Gaussians


def _bayes(options: dict[str, Any], seed: int) -> Any:
    from sklearn.naive_bayes import GaussianNB

    return GaussianNB(**options)


def _bayes_export(fitted: Any) -> dict[str, np.ndarray]:
    return {"means": fitted.theta_, "variances": fitted.var_, "priors": fitted.class_prior_}


def _bayes_scores(kept: Arrays, values: np.ndarray) -> np.ndarray:
    logs = [
        np.log(prior) - 0.5 * np.sum(np.log(2 * np.pi * variance) + (values - mean) ** 2 / variance, axis=1)
        for mean, variance, prior in zip(kept["means"], kept["variances"], kept["priors"], strict=True)
    ]
    return softmax(np.stack(logs, axis=1))


STRENGTHS: list[Any] = [0.01, 0.1, 1.0, 10.0, 100.0]
ROWS = (
    Classifier("perceptron", _perceptron, _linear_export, _linear_scores, {"alpha": [1e-5, 1e-4, 1e-3]}, sure=False),
    Classifier("logistic", _logistic, _linear_export, _logistic_scores, {"C": STRENGTHS}),
    Classifier("svm", _linear_svm, _linear_export, _linear_scores, {"C": STRENGTHS}, sure=False),
    Classifier("rbf-svm", _rbf_svm, _rbf_export, _rbf_scores, {"C": [1.0, 10.0, 100.0]}, sure=False),
    Classifier("knn", _knn, _knn_export, _knn_scores, {"n_neighbors": [1, 3, 5, 9, 15]}),
    Classifier("random-forest", _forest, _forest_export, _forest_scores, {"max_features": ["sqrt", 0.1]}),
    Classifier("naive-bayes", _bayes, _bayes_export, _bayes_scores, {"var_smoothing": [1e-9, 1e-3, 1e-1]}),
)
CLASSIFIERS = {row.name: row for row in ROWS}


def softmax(scores: np.ndarray) -> np.ndarray:
    """Scores as probabilities: rows sum to 1."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return shares


def squared_distances(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Of every row to every other: (rows, others), never negative."""
    lengths = np.sum(others.astype(np.float64) ** 2, axis=1)
    found = [
        np.sum(part.astype(np.float64) ** 2, axis=1)[:, None] + lengths - 2.0 * (part @ others.T)
        for part in np.array_split(values, max(1, len(values) // CHUNK))
    ]
    distances: np.ndarray = np.maximum(np.concatenate(found), 0)
    return distances
