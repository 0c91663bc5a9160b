"""The pictures of a folder as rows of values: described by hand, or by a frozen network."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from tlkit.data.folder import ImageFolder
from tlkit.extraction import Extracted
from tlkit.facts import Stage
from tlkit.progress import Progress
from tlkit.runs import Run
from tlkit.settings import ClassicSettings
from tlkit.shallow.describer import Describer
from tlkit.shallow.fitting import Part
from tlkit.training.by_hand import describe_by_hand
from tlkit.training.by_network import describe_by_network


class Described(Protocol):
    """What has been read of every image of a folder."""

    @property
    def extracted(self) -> Extracted:
        """With the readable images; of several descriptors, that of which most had been kept."""

    def learn(self, train: ImageFolder, seed: int, progress: Progress) -> "Described":
        """The same, once what must be learnt from training images to describe any is learnt."""

    def only(self, names: Sequence[str]) -> "Described":
        """The same without all but some of its parts."""

    def values(self, part: ImageFolder, progress: Progress) -> np.ndarray:
        """Of some images: float32 (images, values)."""

    def parts(self, train: ImageFolder) -> list[Part]:
        """Of the columns."""

    def describer(self) -> Describer | None:
        """What describes pictures by hand; None where a network does."""

    def stages(self, run: Run) -> tuple[Stage, ...]:
        """What comes before the classifier when a new image is predicted, written into the run."""


def describe_folder(folder: ImageFolder, settings: ClassicSettings, progress: Progress) -> Described:
    """What was kept earlier is reused."""
    if settings.descriptor:
        return describe_by_hand(folder, settings, progress)
    return describe_by_network(folder, settings, progress)
