"""Linear classifiers, and scores as probabilities."""

from collections.abc import Mapping
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray]  # what is kept of something fitted, by name


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


def make_perceptron(options: dict[str, Any], seed: int) -> Any:
    """Rosenblatt 1958, with weights that are kept small."""
    from sklearn.linear_model import Perceptron

    return Perceptron(**options, penalty="l2", random_state=seed)


def make_logistic(options: dict[str, Any], seed: int) -> Any:
    """Logistic regression, of all classes at once."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(**options, max_iter=300)


def make_linear_svm(options: dict[str, Any], seed: int) -> Any:
    """A linear support vector machine per class against the rest."""
    from sklearn.svm import LinearSVC

    return LinearSVC(**options, tol=1e-2, random_state=seed, max_iter=1000)


def softmax(scores: np.ndarray) -> np.ndarray:
    """Scores as probabilities: rows sum to 1."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return shares
