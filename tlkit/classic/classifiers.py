"""Linear classifiers, and scores as probabilities."""

from functools import partial
from typing import Any

import numpy as np

from tlkit.classic.base import Arrays, Classifier, softmax
from tlkit.classic.distances import (
    create_knn,
    create_rbf_svm,
    export_knn,
    export_rbf,
    in_parts,
    score_knn,
    score_rbf,
    score_rbf_grid,
)


def export_linear(fitted: Any) -> dict[str, np.ndarray]:
    """One row of weights and a bias per class; of two classes, half of it for each."""
    weights, bias = fitted.coef_, fitted.intercept_
    if len(weights) == 1:  # the second class against the first
        weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
    return {"weights": weights.astype(np.float32), "bias": bias.astype(np.float32)}


def score_linear(kept: Arrays, values: np.ndarray) -> np.ndarray:
    """Decisions: (rows, classes)."""
    return values @ kept["weights"].T + kept["bias"]


def score_logistic(kept: Arrays, values: np.ndarray) -> np.ndarray:
    """Probabilities: (rows, classes)."""
    return softmax(score_linear(kept, values))


def create_perceptron(options: dict[str, Any], seed: int) -> Any:
    """Rosenblatt 1958, with weights that are kept small."""
    from sklearn.linear_model import Perceptron

    return Perceptron(**options, penalty="l2", random_state=seed)


def create_logistic(options: dict[str, Any], seed: int) -> Any:
    """Logistic regression, of all classes at once."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(**options, max_iter=300)


def create_linear_svm(options: dict[str, Any], seed: int) -> Any:
    """A linear support vector machine per class against the rest."""
    from sklearn.svm import LinearSVC

    return LinearSVC(**options, tol=1e-2, random_state=seed, max_iter=1000)


def create_forest(options: dict[str, Any], seed: int) -> Any:
    """Breiman 2001: 300 trees."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(**options, n_estimators=300, random_state=seed, n_jobs=-1)


def export_forest(fitted: Any) -> dict[str, np.ndarray]:
    """The nodes of all trees in one list, each with its children's places."""
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


def validate_forest(kept: Arrays) -> None:
    """raises: ValueError where a node's children do not come after it, so that a walk down a tree might never end"""
    nodes = np.arange(len(kept["feature"]))
    for child in (kept["left"], kept["right"]):
        inner = kept["feature"] >= 0
        if not ((child > nodes) & (child < len(nodes)))[inner].all():
            raise ValueError("it is damaged: a tree that does not end")


def score_forest(kept: Arrays, values: np.ndarray) -> np.ndarray:
    """Mean shares of the leaves: (rows, classes)."""
    return in_parts(partial(_score_forest, kept), values)


def _score_forest(kept: Arrays, values: np.ndarray) -> np.ndarray:
    """All rows go down all trees at once."""
    rows = np.arange(len(values))[:, None]
    place = np.broadcast_to(kept["roots"], (len(values), len(kept["roots"])))
    while (inner := kept["feature"][place] >= 0).any():
        below = values[rows, np.maximum(kept["feature"][place], 0)] <= kept["threshold"][place]
        place = np.where(inner, np.where(below, kept["left"][place], kept["right"][place]), place)
    total: np.ndarray = sum(kept["shares"][leaves] for leaves in place.T) / len(kept["roots"])
    return total


def create_naive_bayes(options: dict[str, Any], seed: int) -> Any:
    """Naive Bayes: a Gaussian per class and value."""
    from sklearn.naive_bayes import GaussianNB

    return GaussianNB(**options)


def export_naive_bayes(fitted: Any) -> dict[str, np.ndarray]:
    """Means, variances and shares of the classes."""
    return {"means": fitted.theta_, "variances": fitted.var_, "priors": fitted.class_prior_}


def score_naive_bayes(kept: Arrays, values: np.ndarray) -> np.ndarray:
    """Probabilities: (rows, classes)."""
    logs = [
        np.log(prior) - 0.5 * np.sum(np.log(2 * np.pi * variance) + (values - mean) ** 2 / variance, axis=1)
        for mean, variance, prior in zip(kept["means"], kept["variances"], kept["priors"], strict=True)
    ]
    return softmax(np.stack(logs, axis=1))


C_GRID: list[Any] = [0.1, 1.0, 10.0, 100.0]
RBF_GRID: dict[str, list[Any]] = {"C": [1.0, 10.0, 100.0], "gamma_scale": [0.25, 0.5, 1.0]}
FOREST_GRID: dict[str, list[Any]] = {"max_features": ["sqrt", 0.1]}
_CLASSIFIERS = (
    Classifier("perceptron", create_perceptron, export_linear, score_linear, {"alpha": [1e-6, 1e-5, 1e-4]}, sure=False),
    Classifier("logistic", create_logistic, export_linear, score_logistic, {"C": C_GRID}),
    Classifier("linear-svm", create_linear_svm, export_linear, score_linear, {"C": [0.1, 1.0]}, sure=False),
    Classifier("rbf-svm", create_rbf_svm, export_rbf, score_rbf, RBF_GRID, sure=False, trials=score_rbf_grid),
    Classifier("knn", create_knn, export_knn, score_knn, {"n_neighbors": [1, 3, 5, 9, 15]}),
    Classifier("random-forest", create_forest, export_forest, score_forest, FOREST_GRID, check=validate_forest),
    Classifier(
        "naive-bayes", create_naive_bayes, export_naive_bayes, score_naive_bayes, {"var_smoothing": [1e-9, 1e-3, 1e-1]}
    ),
)
CLASSIFIERS = {row.name: row for row in _CLASSIFIERS}
FAMILIES = {"svm": ("linear-svm", "rbf-svm")}  # of which the better one in folds is taken


def find_classifiers(name: str) -> list[Classifier]:
    """The rows that a classifier's name, or a family's, stands for.

    >>> [row.name for row in find_classifiers("svm")]
    ['linear-svm', 'rbf-svm']
    """
    return [CLASSIFIERS[each] for each in FAMILIES.get(name, (name,))]
