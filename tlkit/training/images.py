"""One pass over the images while the network is still being built, and the training that follows."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlkit.data.folder import ImageFolder
from tlkit.data.split import Split, split_folder
from tlkit.extraction import Extracted, extract
from tlkit.progress import Progress
from tlkit.reading import Lower
from tlkit.settings import FinetuneSettings, TrainingSettings
from tlkit.training.former import former_sides
from tlkit.training.lower import build_in_background, prepare_lower

if TYPE_CHECKING:
    from tlkit.training.forecast import Ready
    from tlkit.training.upper import Trained


@dataclass(frozen=True)
class Read:
    """What one pass over the images leaves."""

    network: Any
    lower: Lower
    extracted: Extracted
    split: Split

    @property
    def ready(self) -> "Ready":
        """What a forecast is made from."""
        from tlkit.training.forecast import Ready

        part, held_out = self.split.train, len(self.split.validation) + len(self.split.test)
        return Ready(self.network, self.lower.engine, part.files, (len(part), held_out), part.num_classes)


def read_images(folder: ImageFolder, settings: TrainingSettings, progress: Progress) -> Read:
    """Every image's features, while the network is still being built, and the split."""
    sides = former_sides(settings)
    with ThreadPoolExecutor(1) as background:
        body = build_in_background(background, settings)
        lower = prepare_lower(background, body, settings)
        extracted = extract(folder, lower, (settings.image_size, settings.resize), progress)
        split = split_folder(extracted.folder, settings.validation_split, settings.test_split, settings.seed, sides)
        return Read(body.result(), lower.result(), extracted, split)


def train_strategy(
    read: Read, settings: TrainingSettings, progress: Progress, checkpoints: Path | None = None
) -> "Trained":
    """The head, and what else the strategy trains.

    checkpoints: a folder to write them to, and to go on from
    """
    from tlkit.training.blocks import train_blocks
    from tlkit.training.upper import Below, train_upper
    from tlkit.training.whole import augmented_pictures

    seen = augmented_pictures(read.lower, read.split.train, settings, progress)
    below = Below(read.extracted, read.lower.file, seen)
    trained = train_upper(read.network, below, read.split, settings, progress, checkpoints)
    if isinstance(settings, FinetuneSettings) and settings.freeze == "lower":
        return train_blocks(read.network, trained, read.split, settings, progress, checkpoints)
    return trained
