"""The registry of classic classifiers; linear models, random forest, naive Bayes."""

from functools import partial
from typing import Any

import numpy as np

from tlkit.classic.base import Arrays, Classifier, softmax
from tlkit.classic.distances import (
    KNN_SHAPES,
    RBF_SVM_SHAPES,
    create_knn,
    create_rbf_svm,
    export_knn,
    export_rbf_svm,
    in_chunks_of_rows,
    score_knn,
    score_rbf_svm,
    score_rbf_svm_grid,
    validate_knn,
    validate_rbf_svm,
)


def create_perceptron(options: dict[str, Any], seed: int) -> Any:
    """Create a perceptron with L2 regularization (Rosenblatt 1958)."""
    from sklearn.linear_model import Perceptron

    return Perceptron(**options, penalty="l2", random_state=seed)


def create_logistic(options: dict[str, Any], seed: int) -> Any:
    """Create multinomial logistic regression."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(**options, max_iter=300)


def create_linear_svm(options: dict[str, Any], seed: int) -> Any:
    """Create a linear support vector machine, one class against the rest."""
    from sklearn.svm import LinearSVC

    return LinearSVC(**options, tol=1e-2, random_state=seed, max_iter=1000)


def export_linear(fitted: Any) -> dict[str, np.ndarray]:
    """Export one row of weights and one bias per class; of two classes, each has half of the decision."""
    weights, bias = fitted.coef_, fitted.intercept_
    if len(weights) == 1:  # the second class against the first
        weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
    return {"weights": weights.astype(np.float32), "bias": bias.astype(np.float32)}


def score_linear(arrays: Arrays, values: np.ndarray) -> np.ndarray:
    """Compute decision values: (rows, classes)."""
    return values @ arrays["weights"].T + arrays["bias"]


def score_logistic(arrays: Arrays, values: np.ndarray) -> np.ndarray:
    """Compute probabilities: (rows, classes)."""
    return softmax(score_linear(arrays, values))


def create_forest(options: dict[str, Any], seed: int) -> Any:
    """Create a random forest of 300 trees (Breiman 2001)."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(**options, n_estimators=300, random_state=seed, n_jobs=-1)


def export_forest(fitted: Any) -> dict[str, np.ndarray]:
    """Export the nodes of all trees as one list; children are indices into it."""
    trees = [tree.tree_ for tree in fitted.estimators_]
    roots = np.cumsum([0, *(tree.node_count for tree in trees)])[:-1]
    class_weights = np.concatenate([tree.value[:, 0] for tree in trees])
    return {
        "roots": roots.astype(np.int64),
        "left": np.concatenate([tree.children_left + root for tree, root in zip(trees, roots, strict=True)]),
        "right": np.concatenate([tree.children_right + root for tree, root in zip(trees, roots, strict=True)]),
        "feature": np.concatenate([tree.feature for tree in trees]),  # negative in a leaf
        "threshold": np.concatenate([tree.threshold for tree in trees]),
        "probabilities": class_weights / class_weights.sum(axis=1, keepdims=True),
    }


def validate_forest(arrays: Arrays, num_values: int) -> None:
    """Check that the children of a node come after it, so that every walk down a tree ends, and that columns exist.

    Raises:
        ValueError
    """
    nodes = np.arange(len(arrays["feature"]))
    is_inner = arrays["feature"] >= 0
    if not ((arrays["roots"] >= 0) & (arrays["roots"] < len(nodes))).all() or arrays["feature"].max() >= num_values:
        raise ValueError("it is damaged: a tree without a root, or a column that does not exist")
    for child in (arrays["left"], arrays["right"]):
        if not ((child > nodes) & (child < len(nodes)))[is_inner].all():
            raise ValueError("it is damaged: a tree without an end")


def score_forest(arrays: Arrays, values: np.ndarray) -> np.ndarray:
    """Compute the mean class probabilities of the leaves reached: (rows, classes)."""
    return in_chunks_of_rows(partial(_score_forest, arrays), values)


def _score_forest(arrays: Arrays, values: np.ndarray) -> np.ndarray:
    """Walk all rows down all trees at once."""
    rows = np.arange(len(values))[:, None]
    node = np.broadcast_to(arrays["roots"], (len(values), len(arrays["roots"])))
    while (is_inner := arrays["feature"][node] >= 0).any():
        go_left = values[rows, np.maximum(arrays["feature"][node], 0)] <= arrays["threshold"][node]
        node = np.where(is_inner, np.where(go_left, arrays["left"][node], arrays["right"][node]), node)
    mean: np.ndarray = sum(arrays["probabilities"][leaves] for leaves in node.T) / len(arrays["roots"])
    return mean


def create_naive_bayes(options: dict[str, Any], seed: int) -> Any:
    """Create Gaussian naive Bayes."""
    from sklearn.naive_bayes import GaussianNB

    return GaussianNB(**options)


def export_naive_bayes(fitted: Any) -> dict[str, np.ndarray]:
    """Export means and variances (classes, values), and class priors (classes,)."""
    return {"means": fitted.theta_, "variances": fitted.var_, "priors": fitted.class_prior_}


def score_naive_bayes(arrays: Arrays, values: np.ndarray) -> np.ndarray:
    """Compute probabilities: (rows, classes)."""
    log_likelihoods = [
        np.log(prior) - 0.5 * np.sum(np.log(2 * np.pi * variance) + (values - mean) ** 2 / variance, axis=1)
        for mean, variance, prior in zip(arrays["means"], arrays["variances"], arrays["priors"], strict=True)
    ]
    return softmax(np.stack(log_likelihoods, axis=1))


LINEAR_SHAPES = {"weights": "f classes values", "bias": "f classes"}
FOREST_SHAPES = {"roots": "i trees", "left": "i nodes", "right": "i nodes", "feature": "i nodes"}
FOREST_SHAPES |= {"threshold": "f nodes", "probabilities": "f nodes classes"}
NAIVE_BAYES_SHAPES = {"means": "f classes values", "variances": "f classes values", "priors": "f classes"}
C_GRID: list[Any] = [0.1, 1.0, 10.0, 100.0]
RBF_GRID: dict[str, list[Any]] = {"C": [1.0, 10.0, 100.0], "gamma_scale": [0.25, 0.5, 1.0]}
FOREST_GRID: dict[str, list[Any]] = {"max_features": ["sqrt", 0.1]}
CLASSIFIERS = {
    classifier.name: classifier
    for classifier in (
        Classifier(
            "perceptron",
            create_perceptron,
            export_linear,
            score_linear,
            {"alpha": [1e-6, 1e-5, 1e-4]},
            is_probabilistic=False,
            shapes=LINEAR_SHAPES,
        ),
        Classifier("logistic", create_logistic, export_linear, score_logistic, {"C": C_GRID}, shapes=LINEAR_SHAPES),
        Classifier(
            "linear-svm",
            create_linear_svm,
            export_linear,
            score_linear,
            {"C": [0.1, 1.0]},
            is_probabilistic=False,
            shapes=LINEAR_SHAPES,
        ),
        Classifier(
            "rbf-svm",
            create_rbf_svm,
            export_rbf_svm,
            score_rbf_svm,
            RBF_GRID,
            is_probabilistic=False,
            shapes=RBF_SVM_SHAPES,
            validate=validate_rbf_svm,
            score_grid=score_rbf_svm_grid,
        ),
        Classifier(
            "knn",
            create_knn,
            export_knn,
            score_knn,
            {"n_neighbors": [1, 3, 5, 9, 15]},
            shapes=KNN_SHAPES,
            validate=validate_knn,
        ),
        Classifier(
            "random-forest",
            create_forest,
            export_forest,
            score_forest,
            FOREST_GRID,
            shapes=FOREST_SHAPES,
            validate=validate_forest,
        ),
        Classifier(
            "naive-bayes",
            create_naive_bayes,
            export_naive_bayes,
            score_naive_bayes,
            {"var_smoothing": [1e-9, 1e-3, 1e-1]},
            shapes=NAIVE_BAYES_SHAPES,
        ),
    )
}
CLASSIFIER_FAMILIES = {"svm": ("linear-svm", "rbf-svm")}  # the grid search takes the better one


def find_classifiers(name: str) -> list[Classifier]:
    """Look up the classifiers that a name, or the name of a family, stands for.

    >>> [classifier.name for classifier in find_classifiers("svm")]
    ['linear-svm', 'rbf-svm']
    """
    return [CLASSIFIERS[member] for member in CLASSIFIER_FAMILIES.get(name, (name,))]
