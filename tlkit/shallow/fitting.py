"""Fits a classic pipeline on training images: vocabularies, scales, hyperparameters, classifier, certainty."""

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tlkit.shallow.classifiers import CLASSIFIERS, Classifier
from tlkit.shallow.descriptors import DESCRIPTORS
from tlkit.shallow.encoding import MOST_PATCHES, learn_vocabulary
from tlkit.shallow.linear import softmax
from tlkit.shallow.pipeline import Pipeline

FOLDS = 3
TEMPERATURES = np.geomspace(0.05, 50, 70)
STEADY = 1e-6  # added to deviations, so that a constant column stays harmless


@dataclass(frozen=True)
class Choice:
    """What cross-validation on the training side found.

    options   of the classifier
    accuracy  with them, on images held out in folds; NaN where there are too few to hold any out
    scores    of each image by a classifier that has not seen it: (images, classes)
    """

    options: dict[str, Any]
    accuracy: float
    scores: np.ndarray | None


def sample_patches(each: Sequence[np.ndarray], seed: int) -> np.ndarray:
    """Patches of many pictures for a vocabulary, as many of each: (patches, values)."""
    random, most = np.random.default_rng(seed), max(1, -(-MOST_PATCHES // len(each)))
    return np.concatenate([patches[np.sort(random.permutation(len(patches))[:most])] for patches in each])


def unfitted(descriptors: tuple[str, ...], sizes: tuple[int, ...], levels: int, classifier: str) -> Pipeline:
    """A pipeline that knows nothing yet."""
    nothing = np.zeros(0, np.float32)
    return Pipeline(descriptors, sizes, levels, classifier, 1.0, {}, nothing, nothing, {})


def with_vocabulary(pipeline: Pipeline, name: str, patches: np.ndarray, seed: int) -> Pipeline:
    """The pipeline with the vocabulary of one local descriptor learnt."""
    return replace(pipeline, vocabularies=pipeline.vocabularies | {name: learn_vocabulary(name, patches, seed)})


def fit_classifier(
    pipeline: Pipeline, values: np.ndarray, parts: Sequence[slice], sides: tuple[np.ndarray, Sequence[str]], seed: int
) -> tuple[Pipeline, Choice]:
    """Scale what was described, choose hyperparameters in folds, and fit on all training images.

    values: float32 (images, values), described and joined
    parts: the columns of each descriptor, which are made to weigh alike
    sides: labels, and groups of equal pictures, which are never parted
    """
    mean, scale = _scaling(values, parts, [DESCRIPTORS[name].mixed for name in pipeline.descriptors])
    scaled, row = (values - mean) * scale, CLASSIFIERS[pipeline.classifier]
    choice = choose_options(row, scaled, *sides, seed)
    fitted = _quietly_fitted(row.make(choice.options, seed), scaled, sides[0])
    temperature = 1.0 if row.sure or choice.scores is None else best_temperature(choice.scores, sides[0])
    kept = {name: np.asarray(array) for name, array in row.export(fitted).items()}
    return replace(pipeline, mean=mean, scale=scale, kept=kept, temperature=temperature), choice


def choose_options(row: Classifier, values: np.ndarray, labels: np.ndarray, groups: Sequence[str], seed: int) -> Choice:
    """The hyperparameters with the best accuracy in folds; of equals the first."""
    tried = [dict(zip(row.grid, each, strict=True)) for each in itertools.product(*row.grid.values())]
    folds = _folds(labels, groups, seed)
    if not folds:
        return Choice(tried[len(tried) // 2], float("nan"), None)
    found = []
    for options in tried:
        scores = _held_out(row, options, values, labels, folds, seed)
        found.append(Choice(options, float(np.mean(scores.argmax(axis=1) == labels)), scores))
    return max(found, key=lambda choice: choice.accuracy)


def best_temperature(scores: np.ndarray, labels: np.ndarray) -> float:
    """What scores must be multiplied with for their softmax to be as sure as it is right (Guo 2017)."""
    rows = np.arange(len(labels))
    losses = [-np.mean(np.log(softmax(scores * factor)[rows, labels] + 1e-12)) for factor in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def _folds(labels: np.ndarray, groups: Sequence[str], seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    from sklearn.model_selection import StratifiedGroupKFold

    if len(set(groups)) < FOLDS * len(set(labels.tolist())):
        return []  # too few to hold any out
    with warnings.catch_warnings(action="ignore"):  # of classes rarer than folds
        return list(StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(labels, labels, groups))


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


def _scaling(values: np.ndarray, parts: Sequence[slice], mixed: Sequence[bool]) -> tuple[np.ndarray, np.ndarray]:
    """Each part centred and of length 1 on average; columns with units of their own standardized, too."""
    mean, scale = values.mean(axis=0), np.ones(values.shape[1])
    for part, is_mixed in zip(parts, mixed, strict=True):
        deviations = values[:, part].std(axis=0)
        shared = deviations * len(deviations) ** 0.5 if is_mixed else np.linalg.norm(deviations)
        scale[part] = 1 / (shared + STEADY)
    return mean.astype(np.float32), scale.astype(np.float32)
