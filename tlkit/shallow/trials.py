"""How a classifier does with each of some hyperparameters on rows it was not fitted on."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

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


def try_each(row: Any, fold: Fold, tried: list[dict[str, Any]], seed: int) -> Iterator[Scored]:
    """The scores of what is held out, with each of the options: fitted, exported and applied as in a run.

    row: a `Classifier`
    """
    for options in tried:
        fitted = fit_quietly(row.make(options, seed), fold.values, fold.labels)
        yield row.scores(row.export(fitted), fold.unseen), fitted.classes_
