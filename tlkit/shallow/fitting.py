"""Fits what tells rows of values apart, on training images: scaling, hyperparameters, classifier, certainty."""

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tlkit.errors import OptionError
from tlkit.progress import Progress, Silent
from tlkit.shallow.classifiers import Classifier, find_classifiers
from tlkit.shallow.decider import Decider, Scaling
from tlkit.shallow.linear import softmax

FOLDS = 3  # or two, where there are too few images for three
TEMPERATURES = np.geomspace(0.05, 50, 70)
STEADY = 1e-6  # a column that varies less than the most varying one by this factor is constant


@dataclass(frozen=True)
class Choice:
    """What cross-validation on the training side found.

    row       of the classifier
    options   its hyperparameters
    accuracy  with them, on images held out in folds; NaN where there are too few to hold any out
    scores    of each image by a classifier that has not seen it: (images, classes)
    """

    row: Classifier
    options: dict[str, Any]
    accuracy: float
    scores: np.ndarray | None


@dataclass(frozen=True)
class Part:
    """Columns that one descriptor, or a network, has filled.

    mixed  whether they have units of their own, so that each is standardized by itself
    """

    columns: slice
    mixed: bool


@dataclass(frozen=True)
class Fitting:
    """How a decider is fitted.

    classifier  its name, or a family's
    components  principal components to reduce the values to; 0 for none
    """

    classifier: str
    components: int = 0
    seed: int = 0
    progress: Progress = field(default_factory=Silent)


def fit_decider(
    values: np.ndarray, parts: Sequence[Part], sides: tuple[np.ndarray, Sequence[str]], fitting: Fitting
) -> tuple[Decider, Choice]:
    """Scale what was described, choose hyperparameters in folds, and fit on all training images.

    values: float32 (images, values)
    parts: of the columns, which are made to weigh alike
    sides: labels, and groups of equal pictures, which are never parted
    raises: OptionError where there cannot be so many components
    """
    scaling = fit_scaling(values, parts, fitting.components, fitting.seed)
    scaled = scaling.apply(values)
    choice = choose_options(scaled, sides, fitting)
    row = choice.row
    fitted = _quietly_fitted(row.make(choice.options, fitting.seed), scaled, sides[0])
    temperature = 1.0 if row.sure or choice.scores is None else best_temperature(choice.scores, sides[0])
    kept = {name: np.asarray(array) for name, array in row.export(fitted).items()}
    return Decider(row.name, temperature, scaling, kept), choice


def choose_options(values: np.ndarray, sides: tuple[np.ndarray, Sequence[str]], fitting: Fitting) -> Choice:
    """The classifier and hyperparameters with the best accuracy in folds; of equals the first."""
    labels, groups = sides
    tried = [(row, options) for row in find_classifiers(fitting.classifier) for options in _grid(row)]
    folds = _folds(labels, groups, fitting.seed)
    if not folds:
        row, options = tried[len(_grid(tried[0][0])) // 2]
        return Choice(row, options, float("nan"), None)
    found = []
    with fitting.progress.stage("folds", len(tried), "settings") as advance:
        for row, options in tried:
            scores = _held_out(row, options, values, labels, folds, fitting.seed)
            found.append(Choice(row, options, float(np.mean(scores.argmax(axis=1) == labels)), scores))
            advance(1)
    return max(found, key=lambda choice: choice.accuracy)


def _grid(row: Classifier) -> list[dict[str, Any]]:
    return [dict(zip(row.grid, each, strict=True)) for each in itertools.product(*row.grid.values())]


def best_temperature(scores: np.ndarray, labels: np.ndarray) -> float:
    """What scores must be multiplied with for their softmax to be as sure as it is right (Guo 2017)."""
    rows = np.arange(len(labels))
    losses = [-np.mean(np.log(softmax(scores * factor)[rows, labels] + 1e-12)) for factor in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def _folds(labels: np.ndarray, groups: Sequence[str], seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Which images to learn from and which to hold out, fold by fold; none where there are too few for that."""
    from sklearn.model_selection import StratifiedGroupKFold

    count = min(FOLDS, len(set(groups)) // len(set(labels.tolist())))
    if count < 2:
        return []
    with warnings.catch_warnings(action="ignore"):  # of classes rarer than folds
        folds = list(StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(labels, labels, groups))
    return folds if all(len(set(labels[inside].tolist())) > 1 for inside, _ in folds) else []


def _held_out(
    row: Classifier, options: dict[str, Any], values: np.ndarray, labels: np.ndarray, folds: list[Any], seed: int
) -> np.ndarray:
    found = np.zeros((len(labels), int(labels.max()) + 1))
    for inside, outside in folds:
        fitted = _quietly_fitted(row.make(options, seed), values[inside], labels[inside])
        scores = row.scores(row.export(fitted), values[outside])
        found[outside] = scores.min() - 1  # of a class no image of which was learnt from
        found[np.ix_(outside, fitted.classes_)] = scores
    return found


def _quietly_fitted(estimator: Any, values: np.ndarray, labels: np.ndarray) -> Any:
    with warnings.catch_warnings(action="ignore"):  # of what has not quite converged
        return estimator.fit(values, labels)


def fit_scaling(values: np.ndarray, parts: Sequence[Part], components: int, seed: int) -> Scaling:
    """Each part centred and of length 1 on average; mixed columns standardized, constant ones dropped; then projected.

    raises: OptionError where there cannot be so many principal components
    """
    mean, factor = values.mean(axis=0), np.zeros(values.shape[1])
    for part in parts:
        deviations = values[:, part.columns].std(axis=0)
        shared = (
            deviations * len(deviations) ** 0.5 if part.mixed else np.full(len(deviations), np.linalg.norm(deviations))
        )
        varies = deviations > STEADY * deviations.max(initial=0)  # what is constant now may be anything later
        factor[part.columns] = np.divide(1, shared, out=np.zeros(len(shared)), where=varies)
    scaling = Scaling(mean.astype(np.float32), factor.astype(np.float32))
    if not components:
        return scaling
    return replace(scaling, components=principal_components(scaling.apply(values), components, seed))


def principal_components(values: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The directions in which centred rows differ most, the foremost first: float32 (count, values).

    raises: OptionError
    """
    if count > min(values.shape):
        raise OptionError(
            f"--pca is {count}; {values.shape[0]} training images with {values.shape[1]} values each "
            f"have at most {min(values.shape)}."
        )
    from sklearn.decomposition import PCA

    fitted: np.ndarray = PCA(count, random_state=seed).fit(values).components_.astype(np.float32)
    return fitted
