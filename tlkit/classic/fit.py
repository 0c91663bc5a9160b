"""Fits a classifier on vectors: scaling, PCA, hyperparameters, temperature."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tlkit.classic.base import fit_quietly, softmax
from tlkit.classic.model_selection import GroupedLabels, SearchResult, grid_search
from tlkit.classic.pipeline import ScaledClassifier, Scaler
from tlkit.errors import OptionError
from tlkit.utils.progress import Progress, Silent

TEMPERATURES = np.geomspace(0.05, 50, 70)
CONSTANT_RANGE = 1e-6  # a column whose range is less than this share of the most varying one's deviation is constant


@dataclass(frozen=True)
class ColumnGroup:
    """Columns that one descriptor, or a network, has filled.

    name   its
    mixed  whether they have units of their own, so that each is standardized by itself
    """

    name: str
    columns: slice
    mixed: bool


def group_columns(each: Iterable[tuple[str, int, bool]]) -> list[ColumnGroup]:
    """Parts one after the other, from the name of each, its number of columns, and whether they are mixed."""
    found, end = [], 0
    for name, length, mixed in each:
        found.append(ColumnGroup(name, slice(end, end + length), mixed))
        end += length
    return found


def select_columns(
    values: np.ndarray, parts: Sequence[ColumnGroup], names: Sequence[str]
) -> tuple[np.ndarray, list[ColumnGroup]]:
    """Some parts of the columns, in the order of the names: the columns, and where each part lies now."""
    named = {part.name: part for part in parts}
    chosen = [named[name] for name in names]
    columns = [values[:, part.columns] for part in chosen]
    lengths = [each.shape[1] for each in columns]
    picked = group_columns((part.name, length, part.mixed) for part, length in zip(chosen, lengths, strict=True))
    return np.concatenate(columns, axis=1), picked


@dataclass(frozen=True)
class FitOptions:
    """How a decider is fitted.

    classifier  its name, or a family's
    components  principal components to reduce the values to; 0 for none
    """

    classifier: str
    components: int = 0
    seed: int = 0
    progress: Progress = field(default_factory=Silent)


def fit_classifier(
    values: np.ndarray, parts: Sequence[ColumnGroup], sides: GroupedLabels, fitting: FitOptions
) -> tuple[ScaledClassifier, SearchResult]:
    """Scale what was described, choose hyperparameters in folds, and fit on all training images.

    values: float32 (images, values)
    parts: of the columns, which are made to weigh alike
    raises: OptionError where there cannot be so many components
    """
    scaling, choice = select_model(values, parts, sides, fitting)
    return refit(values, sides, (scaling, choice), fitting), choice


def select_model(
    values: np.ndarray, parts: Sequence[ColumnGroup], sides: GroupedLabels, fitting: FitOptions
) -> tuple[Scaler, SearchResult]:
    """What `fit_decider` fits with, before it does."""
    scaling = fit_scaler(values, parts, fitting.components, fitting.seed)
    return scaling, grid_search(scaling.apply(values), sides, fitting.classifier, fitting.seed, fitting.progress)


def refit(
    values: np.ndarray, sides: GroupedLabels, chosen: tuple[Scaler, SearchResult], fitting: FitOptions
) -> ScaledClassifier:
    """A decider fitted on all training images, with what was chosen."""
    scaling, choice = chosen
    row = choice.row
    with fitting.progress.stage("fit", 1, "") as advance:
        fitted = fit_quietly(row.make(choice.options, fitting.seed), scaling.apply(values), sides.labels)
        advance(1)
    kept = {name: np.asarray(array) for name, array in row.export(fitted).items()}
    return ScaledClassifier(row.name, _temperature(choice), scaling, kept)


def _temperature(choice: SearchResult) -> float:
    """1 of probabilities, and where nothing was held out that could tell."""
    if choice.row.sure or choice.scores is None or choice.labels is None:
        return 1.0
    return best_temperature(choice.scores, choice.labels)


def best_temperature(scores: np.ndarray, labels: np.ndarray) -> float:
    """What scores must be multiplied with for their softmax to be as sure as it is right (Guo 2017)."""
    rows = np.arange(len(labels))
    losses = [-np.mean(np.log(softmax(scores * factor)[rows, labels] + 1e-12)) for factor in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def fit_scaler(values: np.ndarray, parts: Sequence[ColumnGroup], components: int, seed: int) -> Scaler:
    """Each part centred and of length 1 on average; mixed columns standardized, constant ones dropped; then projected.

    raises: OptionError where there cannot be so many principal components
    """
    mean, factor = values.mean(axis=0, dtype=np.float64), np.zeros(values.shape[1])
    for part in parts:
        factor[part.columns] = _factors(values[:, part.columns], part.mixed)
    scaling = Scaler(mean.astype(np.float32), factor.astype(np.float32))
    if not components:
        return scaling
    return replace(scaling, components=principal_components(scaling.apply(values), components, seed))


def _factors(values: np.ndarray, mixed: bool) -> np.ndarray:
    """What the columns of one part are multiplied with: 0 where they are constant, for those may be anything later.

    Of columns of one unit it is the same for all.
    """
    deviations = values.std(axis=0, dtype=np.float64)
    shared = deviations * len(deviations) ** 0.5 if mixed else np.full(len(deviations), np.linalg.norm(deviations))
    varies = np.ptp(values, axis=0) > CONSTANT_RANGE * deviations.max(initial=0)
    factors: np.ndarray = np.divide(1, shared, out=np.zeros(len(shared)), where=varies)
    return factors


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
