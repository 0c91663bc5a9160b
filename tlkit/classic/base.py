"""The row of the classifier registry, the data of a fold, and scores as probabilities."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray]  # a fitted classifier or vocabulary, as arrays by name
FoldScores = tuple[np.ndarray, np.ndarray]  # scores (rows, classes of the fold), and the label of each column


@dataclass(frozen=True)
class Fold:
    """The training and the held-out rows of one fold.

    Attributes:
        values: float32 (rows, values), the training rows
        labels: int (rows,)
        test_values: float32 (held-out rows, values)
    """

    values: np.ndarray
    labels: np.ndarray
    test_values: np.ndarray


@dataclass(frozen=True)
class Classifier:
    """One kind of classifier: fitted by scikit-learn, applied by NumPy.

    Attributes:
        create: hyperparameters and a seed to an estimator that is not fitted yet
        export: a fitted estimator to arrays
        decision_function: arrays and float32 (rows, values) to scores (rows, classes); the highest score wins
        grid: the values of each hyperparameter that the grid search compares
        is_probabilistic: whether scores are probabilities already
        shapes: kind and sizes of each exported array, as `utils.arrays.check_shapes` reads them
        validate: raises ValueError where prediction with these arrays would not end, or fail for some rows; the second
            argument is the number of values per row
        score_grid: scores of a fold for each candidate, where all together cost less than one by one
    """

    name: str
    create: Callable[[dict[str, Any], int], Any]
    export: Callable[[Any], dict[str, np.ndarray]]
    decision_function: Callable[[Arrays, np.ndarray], np.ndarray]
    grid: dict[str, list[Any]] = field(default_factory=dict, hash=False)
    is_probabilistic: bool = True
    shapes: dict[str, str] = field(default_factory=dict, hash=False)
    validate: Callable[[Arrays, int], None] = lambda arrays, num_values: None
    score_grid: Callable[[Fold, Sequence[dict[str, Any]], int], Iterator[FoldScores]] | None = None


def score_candidates(
    classifier: Classifier, fold: Fold, candidates: Sequence[dict[str, Any]], seed: int
) -> Iterator[FoldScores]:
    """Score the held-out rows of a fold with each candidate: fit, export and apply it as a run does.

    Args:
        candidates: hyperparameters by name
    """
    for options in candidates:
        fitted = fit_quietly(classifier.create(options, seed), fold.values, fold.labels)
        yield classifier.decision_function(classifier.export(fitted), fold.test_values), fitted.classes_


def fit_quietly(estimator: Any, values: np.ndarray, labels: np.ndarray | None = None) -> Any:
    """Fit an estimator without scikit-learn's warnings, such as the one about convergence."""
    with warnings.catch_warnings(action="ignore"):
        return estimator.fit(values, labels)


def softmax(scores: np.ndarray) -> np.ndarray:
    """Turn scores into probabilities: (rows, classes), rows sum to 1."""
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities: np.ndarray = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities
