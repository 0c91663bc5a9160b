"""Classifiers that are not networks: fitted by scikit-learn, kept as arrays, applied by NumPy alone.

What is kept holds no pickle, needs no scikit-learn to predict, and gives what the fitted one gave.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tlkit.shallow.densities import (
    check_forest,
    export_bayes,
    export_forest,
    make_bayes,
    make_forest,
    score_bayes,
    score_forest,
)
from tlkit.shallow.distances import export_knn, export_rbf, make_knn, make_rbf_svm, score_knn, score_rbf, try_rbf
from tlkit.shallow.linear import (
    Arrays,
    export_linear,
    make_linear_svm,
    make_logistic,
    make_perceptron,
    score_linear,
    score_logistic,
)
from tlkit.shallow.trials import Fold, Scored


@dataclass(frozen=True)
class Classifier:
    """One kind of classifier.

    make      from hyperparameters and a seed to one that can be fitted
    grid      the hyperparameters that are tried, by their names in scikit-learn
    export    what of a fitted one is kept
    scores    from what is kept and float32 (rows, values) to (rows, classes): the greatest is the answer
    sure      whether scores are probabilities already; else they are turned into some
    check     raises ValueError where what is kept would not come to an end
    trials    how it does with each of some options, where that is cheaper than one by one; see `try_each`
    """

    name: str
    make: Callable[[dict[str, Any], int], Any]
    export: Callable[[Any], dict[str, np.ndarray]]
    scores: Callable[[Arrays, np.ndarray], np.ndarray]
    grid: dict[str, list[Any]] = field(default_factory=dict, hash=False)
    sure: bool = True
    check: Callable[[Arrays], None] = lambda kept: None
    trials: Callable[[Fold, list[dict[str, Any]], int], Iterator[Scored]] | None = None


STRENGTHS: list[Any] = [0.1, 1.0, 10.0, 100.0]
MACHINES: dict[str, list[Any]] = {"C": [1.0, 10.0, 100.0], "gamma_scale": [0.25, 0.5, 1.0]}
FORESTS: dict[str, list[Any]] = {"max_features": ["sqrt", 0.1]}
ROWS = (
    Classifier("perceptron", make_perceptron, export_linear, score_linear, {"alpha": [1e-6, 1e-5, 1e-4]}, sure=False),
    Classifier("logistic", make_logistic, export_linear, score_logistic, {"C": STRENGTHS}),
    Classifier("linear-svm", make_linear_svm, export_linear, score_linear, {"C": [0.1, 1.0]}, sure=False),
    Classifier("rbf-svm", make_rbf_svm, export_rbf, score_rbf, MACHINES, sure=False, trials=try_rbf),
    Classifier("knn", make_knn, export_knn, score_knn, {"n_neighbors": [1, 3, 5, 9, 15]}),
    Classifier("random-forest", make_forest, export_forest, score_forest, FORESTS, check=check_forest),
    Classifier("naive-bayes", make_bayes, export_bayes, score_bayes, {"var_smoothing": [1e-9, 1e-3, 1e-1]}),
)
CLASSIFIERS = {row.name: row for row in ROWS}
FAMILIES = {"svm": ("linear-svm", "rbf-svm")}  # of which the better one in folds is taken


def find_classifiers(name: str) -> list[Classifier]:
    """The rows that a classifier's name, or a family's, stands for.

    >>> [row.name for row in find_classifiers("svm")]
    ['linear-svm', 'rbf-svm']
    """
    return [CLASSIFIERS[each] for each in FAMILIES.get(name, (name,))]
