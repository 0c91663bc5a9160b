"""Input and findings of a check."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np

from tlkit.data.appearance import Appearances
from tlkit.data.duplicates import NearDuplicates, Pair
from tlkit.data.folder import ImageFolder
from tlkit.data.listing import natural_key
from tlkit.features.copies import near_pairs

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")  # the worst first


@dataclass(frozen=True)
class Issue:
    """One thing to look at.

    Attributes:
        check: the check that found it
        severity: "error", "warning" or "info"
        paths: relative to DATA, the image to look at first
        score: from 0 to 1; the larger, the surer or the worse; its meaning is the check's
        message: the finding, one sentence
        remedy: what to do, one sentence
    """

    check: str
    severity: Severity
    paths: tuple[str, ...]
    score: float
    message: str
    remedy: str


@dataclass(frozen=True)
class CheckedData:
    """Everything that checks look at.

    Attributes:
        folder: the readable images, with their contents; the others are in its `skipped`
        near: their near duplicates by pixels
        features: of a backbone, float32 (images, values); None where none is used
    """

    folder: ImageFolder
    near: NearDuplicates
    features: np.ndarray | None = None

    @property
    def appearances(self) -> Appearances:
        """One `APPEARANCE` per image."""
        assert self.folder.appearances is not None, "the files are read"
        return self.folder.appearances

    @cached_property
    def near_pairs(self) -> list[Pair]:
        """List the pairs of images that are nearly the same, the most alike first; with features also crops."""
        return near_pairs(self.folder, self.near, self.features)

    def path(self, position: int) -> str:
        """Give the path of an image."""
        return self.folder.paths[position]

    def class_of(self, position: int) -> str:
        """Give the class of an image."""
        return self.folder.class_names[int(self.folder.labels[position])]

    def sorted_paths(self, positions: Sequence[int]) -> tuple[str, ...]:
        """Give the paths of images in natural order."""
        return tuple(sorted((self.path(position) for position in positions), key=natural_key))


class Check(Protocol):
    """One way of looking at the data."""

    @property
    def name(self) -> str:
        """The name in findings."""

    def find(self, data: CheckedData) -> list[Issue]:
        """List what is wrong, the worst first."""
