"""Pictures as rows of values, described by a frozen network's features."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import cast

import numpy as np

from tlkit.data.folder import ImageFolder
from tlkit.extraction import Extracted, extract
from tlkit.facts import Stage
from tlkit.files import write_atomically
from tlkit.progress import Progress
from tlkit.reading import Lower
from tlkit.runs import Run
from tlkit.settings import ClassicSettings
from tlkit.shallow.describer import Describer
from tlkit.shallow.fitting import Part, place_parts
from tlkit.training.lower import lower_alone

FEATURES = "features"  # the name of all columns


@dataclass(frozen=True)
class ByNetwork:
    """Described by a frozen network's features."""

    extracted: Extracted
    lower: Lower
    precision: str

    def learn(self, train: ImageFolder, seed: int, progress: Progress) -> "ByNetwork":
        """See `Described`: nothing."""
        return self

    def values(self, part: ImageFolder, progress: Progress) -> np.ndarray:
        """See `Described`."""
        return self.extracted.values(part).astype(np.float32)

    def parts(self, train: ImageFolder) -> list[Part]:
        """See `Described`: one, of features with units of their own."""
        return place_parts([(FEATURES, self.extracted.values(train.pick([0])).shape[1], True)])

    def only(self, names: Sequence[str]) -> "ByNetwork":
        """See `Described`: it has one part."""
        return self

    def describer(self) -> Describer | None:
        """See `Described`."""
        return None

    def stages(self, run: Run) -> tuple[Stage, ...]:
        """See `Described`: the network."""
        (run.path / "engine").mkdir(exist_ok=True)
        if self.lower.file:
            write_atomically(run.path / "engine" / "lower.tflite", self.lower.file.read_bytes())
            return (Stage("engine/lower.tflite", self.precision),)
        from tlkit.engines.keras import KerasEngine, save_network

        save_network(cast(KerasEngine, self.lower.engine).network, run.path / "engine" / "lower.keras")
        return (Stage("engine/lower.keras", self.precision),)


def describe_by_network(folder: ImageFolder, settings: ClassicSettings, progress: Progress) -> ByNetwork:
    """One pass over the images with the network."""
    with ThreadPoolExecutor(1) as background:
        lower = lower_alone(background, settings)
        extracted = extract(folder, lower, (settings.image_size, settings.resize), progress)
        return ByNetwork(extracted, lower.result(), settings.precision)
