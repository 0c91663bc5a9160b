"""`--descriptor auto`: descriptions that are tried side by side, on training images alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from tlkit.data.folder import ImageFolder
from tlkit.progress import Progress
from tlkit.settings import ClassicSettings
from tlkit.shallow.choosing import Choice, Sides
from tlkit.shallow.decider import Decider
from tlkit.shallow.descriptors import DESCRIPTORS, descriptor_sizes, find_descriptors
from tlkit.shallow.fitting import Fitting, choose_fit, fit_chosen, pick_parts
from tlkit.training.described import Described

AUTO = "auto"
CANDIDATES = ("hog", "fisher+hog", "fisher+histogram", "fisher+histogram+lbp+haralick")  # the fullest last


def describe_all(settings: ClassicSettings, candidates: Sequence[str]) -> ClassicSettings:
    """With every descriptor of all candidates, so that each is described, and its vocabulary learnt, once."""
    if settings.descriptor != AUTO:
        return settings
    names = dict.fromkeys(name for candidate in candidates for name in candidate.split("+"))
    sizes = descriptor_sizes([DESCRIPTORS[name] for name in names], 0)
    return replace(settings, descriptor="+".join(names), image_size=max(sizes))


@dataclass(frozen=True)
class Best:
    """The candidate that was taken.

    name     its descriptors
    choices  what folds found for each candidate
    """

    name: str
    decider: Decider
    choices: Mapping[str, Choice]


def fit_best(
    described: Described, train: ImageFolder, settings: ClassicSettings, candidates: Sequence[str], progress: Progress
) -> Best:
    """Try all candidates in folds of the training images, which are described once, and fit the best on all of them."""
    values, parts = described.values(train, progress), described.parts(train)
    sides = Sides(train.labels, train.groups)
    fitting = Fitting(settings.classifier, settings.pca, settings.seed, progress)
    picked = {name: partial(pick_parts, values, parts, name.split("+")) for name in candidates}
    chosen = {name: choose_fit(*pick(), sides, fitting) for name, pick in picked.items()}
    choices = {name: choice for name, (_, choice) in chosen.items()}
    best = _best_of(choices)
    return Best(best, fit_chosen(picked[best]()[0], sides, chosen[best], fitting), choices)


def _best_of(choices: Mapping[str, Choice]) -> str:
    """The most accurate in folds; without any the last, which is the fullest."""
    shares = {name: share for name, choice in choices.items() if (share := known(choice.accuracy)) is not None}
    return max(shares, key=lambda name: shares[name]) if shares else list(choices)[-1]


def as_chosen(settings: ClassicSettings, chosen: str) -> ClassicSettings:
    """With the description taken, which has no pyramid where there is nothing local in it."""
    if settings.features:
        return settings
    local = any(row.local for row in find_descriptors(chosen))
    return replace(settings, descriptor=chosen, pyramid=settings.pyramid if local else 1)


def known(accuracy: float) -> float | None:
    """In folds; None where there were too few images for any."""
    return None if np.isnan(accuracy) else accuracy
