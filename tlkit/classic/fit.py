"""Fit a classifier on feature vectors: scaling, PCA, grid search, temperature."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tlkit.classic.base import fit_quietly, softmax
from tlkit.classic.model_selection import GroupedLabels, SearchResult, grid_search
from tlkit.classic.pipeline import ScaledClassifier, Scaler
from tlkit.errors import OptionError
from tlkit.utils.progress import Progress, Silent

TEMPERATURES = np.geomspace(0.05, 50, 70)
CONSTANT_RANGE = 1e-6  # a column with a smaller range, relative to the largest deviation of its group, is constant


@dataclass(frozen=True)
class ColumnGroup:
    """The columns of one descriptor, or of a network's features.

    Attributes:
        standardize_columns: whether they have different units, so that each column is standardized by itself
    """

    name: str
    columns: slice
    standardize_columns: bool


def group_columns(descriptors: Iterable[tuple[str, int, bool]]) -> list[ColumnGroup]:
    """Lay column groups one after the other.

    Args:
        descriptors: name, number of columns, and whether to standardize each column, of one group after the other
    """
    groups, start = [], 0
    for name, length, standardize_columns in descriptors:
        groups.append(ColumnGroup(name, slice(start, start + length), standardize_columns))
        start += length
    return groups


def select_columns(
    values: np.ndarray, groups: Sequence[ColumnGroup], names: Sequence[str]
) -> tuple[np.ndarray, list[ColumnGroup]]:
    """Keep some groups of columns, in the order of the names.

    Args:
        values: (images, values)

    Returns:
        The columns, and the groups at their new places
    """
    by_name = {group.name: group for group in groups}
    selected = [by_name[name] for name in names]
    columns = [values[:, group.columns] for group in selected]
    lengths = [part.shape[1] for part in columns]
    new_groups = group_columns(
        (group.name, length, group.standardize_columns) for group, length in zip(selected, lengths, strict=True)
    )
    return np.concatenate(columns, axis=1), new_groups


def are_constant(values: np.ndarray) -> bool:
    """Tell whether all images have the same values, but for rounding.

    Args:
        values: (images, values)
    """
    return bool((np.ptp(values, axis=0) <= CONSTANT_RANGE * np.abs(values).max()).all())


@dataclass(frozen=True)
class FitOptions:
    """Options of fitting a classifier.

    Attributes:
        classifier: the name of a classifier or a family
        num_components: principal components that values are projected to; 0 for no projection
    """

    classifier: str
    num_components: int = 0
    seed: int = 0
    progress: Progress = field(default_factory=Silent)


def fit_classifier(
    values: np.ndarray, groups: Sequence[ColumnGroup], grouped: GroupedLabels, options: FitOptions
) -> tuple[ScaledClassifier, SearchResult]:
    """Fit scaler and hyperparameters, then the classifier on all training images.

    Args:
        values: float32 (images, values)
        groups: of the columns; each gets the same weight

    Raises:
        OptionError: if the images have fewer principal components than asked for
    """
    scaler, result = select_model(values, groups, grouped, options)
    return refit(values, grouped, (scaler, result), options), result


def select_model(
    values: np.ndarray, groups: Sequence[ColumnGroup], grouped: GroupedLabels, options: FitOptions
) -> tuple[Scaler, SearchResult]:
    """Fit the scaler and search classifier and hyperparameters; see `fit_classifier`."""
    scaler = fit_scaler(values, groups, options.num_components, options.seed)
    result = grid_search(scaler.transform(values), grouped, options.classifier, options.seed, options.progress)
    return scaler, result


def refit(
    values: np.ndarray, grouped: GroupedLabels, selected: tuple[Scaler, SearchResult], options: FitOptions
) -> ScaledClassifier:
    """Fit the selected classifier on all training images.

    Args:
        selected: what `select_model` returned
    """
    scaler, result = selected
    classifier = result.classifier
    with options.progress.stage("fit", 1, "") as advance:
        estimator = classifier.create(result.options, options.seed)
        fitted = fit_quietly(estimator, scaler.transform(values), grouped.labels)
        advance(1)
    arrays = {name: np.asarray(array) for name, array in classifier.export(fitted).items()}
    temperature = 1.0
    if not classifier.is_probabilistic and result.scores is not None and result.labels is not None:
        temperature = fit_temperature(result.scores, result.labels)
    return ScaledClassifier(classifier.name, temperature, scaler, arrays)


def fit_temperature(scores: np.ndarray, labels: np.ndarray) -> float:
    """Fit the factor of scores whose softmax has the lowest cross-entropy (Guo 2017, with the factor inverted).

    Args:
        scores: of held-out images, (images, classes)
    """
    rows = np.arange(len(labels))
    losses = [-np.mean(np.log(softmax(scores * factor)[rows, labels] + 1e-12)) for factor in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def fit_scaler(values: np.ndarray, groups: Sequence[ColumnGroup], num_components: int, seed: int) -> Scaler:
    """Fit a scaler that centers each group and gives it mean squared length 1, then project on principal components.

    Columns with different units are standardized one by one, and constant columns become 0.

    Args:
        num_components: 0 for no projection

    Raises:
        OptionError: if the images have fewer principal components than `num_components`
    """
    mean, factor = values.mean(axis=0, dtype=np.float64), np.zeros(values.shape[1])
    for group in groups:
        factor[group.columns] = _scale_factors(values[:, group.columns], group.standardize_columns)
    scaler = Scaler(mean.astype(np.float32), factor.astype(np.float32))
    if not num_components:
        return scaler
    return replace(scaler, components=principal_components(scaler.transform(values), num_components, seed))


def _scale_factors(values: np.ndarray, standardize_columns: bool) -> np.ndarray:
    """Compute the factor of each column of a group: 0 where it is constant, since a new image may have any value.

    Unless columns are standardized, all others have the same factor.
    """
    deviations = values.std(axis=0, dtype=np.float64)
    if standardize_columns:
        divisors = deviations * len(deviations) ** 0.5
    else:
        divisors = np.full(len(deviations), np.linalg.norm(deviations))
    varies = np.ptp(values, axis=0) > CONSTANT_RANGE * deviations.max(initial=0)
    factors: np.ndarray = np.divide(1, divisors, out=np.zeros(len(divisors)), where=varies)
    return factors


def principal_components(values: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Compute the first principal components of centered rows: float32 (count, values).

    Raises:
        OptionError: if there are fewer than `count`
    """
    if count > min(values.shape):
        raise OptionError(
            f"--pca is {count}; expected at most {min(values.shape)} for {values.shape[0]} training images with "
            f"{values.shape[1]} features."
        )
    from sklearn.decomposition import PCA

    components: np.ndarray = PCA(count, random_state=seed).fit(values).components_.astype(np.float32)
    return components
