"""Classifiers that average: random forests, and Gaussians of independent values."""

from functools import partial
from typing import Any

import numpy as np

from tlkit.shallow.distances import in_parts
from tlkit.shallow.linear import Arrays, softmax


def make_forest(options: dict[str, Any], seed: int) -> Any:
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


def check_forest(kept: Arrays) -> None:
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


def make_bayes(options: dict[str, Any], seed: int) -> Any:
    """Naive Bayes: a Gaussian per class and value."""
    from sklearn.naive_bayes import GaussianNB

    return GaussianNB(**options)


def export_bayes(fitted: Any) -> dict[str, np.ndarray]:
    """Means, variances and shares of the classes."""
    return {"means": fitted.theta_, "variances": fitted.var_, "priors": fitted.class_prior_}


def score_bayes(kept: Arrays, values: np.ndarray) -> np.ndarray:
    """Probabilities: (rows, classes)."""
    logs = [
        np.log(prior) - 0.5 * np.sum(np.log(2 * np.pi * variance) + (values - mean) ** 2 / variance, axis=1)
        for mean, variance, prior in zip(kept["means"], kept["variances"], kept["priors"], strict=True)
    ]
    return softmax(np.stack(logs, axis=1))
