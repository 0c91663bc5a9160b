"""What a classic classifier is: a row of the registry, the data of a fold, scores as probabilities."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray]  # what is kept of something fitted, by name


def softmax(scores: np.ndarray) -> np.ndarray:
    """Scores as probabilities: rows sum to 1."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return shares


Scored = tuple[np.ndarray, np.ndarray]  # (rows, known classes), and the label of each column


@dataclass(frozen=True)
class Fold:
    """Rows to learn from, and rows held out.

    values, labels  float32 (rows, values), int (rows,)
    unseen          float32 (rows held out, values)
    """

    values: np.ndarray
    labels: np.ndarray
    unseen: np.ndarray


def fit_quietly(estimator: Any, values: np.ndarray, labels: np.ndarray | None = None) -> Any:
    """Without scikit-learn's warnings, such as that something has not quite converged."""
    with warnings.catch_warnings(action="ignore"):
        return estimator.fit(values, labels)


def score_each(row: Any, fold: Fold, tried: list[dict[str, Any]], seed: int) -> Iterator[Scored]:
    """The scores of what is held out, with each of the options: fitted, exported and applied as in a run.

    row: a `Classifier`
    """
    for options in tried:
        fitted = fit_quietly(row.make(options, seed), fold.values, fold.labels)
        yield row.scores(row.export(fitted), fold.unseen), fitted.classes_


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
