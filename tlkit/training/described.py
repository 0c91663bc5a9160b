"""The pictures of a folder as rows of values: described by hand, or by a frozen network."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from shutil import copyfile
from typing import Protocol, cast

import numpy as np

from tlkit.data.folder import ImageFolder
from tlkit.data.pixels import DECODE_VERSION
from tlkit.engines.classic import DescriptorEngine
from tlkit.engines.engine import installed_version
from tlkit.errors import OptionError
from tlkit.extraction import Extracted, extract
from tlkit.facts import Stage
from tlkit.features import FeatureKey
from tlkit.progress import Progress
from tlkit.reading import Lower
from tlkit.runs import Run
from tlkit.settings import ClassicSettings
from tlkit.shallow.describer import Describer
from tlkit.shallow.descriptors import DESCRIPTOR_VERSION, DESCRIPTORS, descriptor_sizes, find_descriptors
from tlkit.shallow.encoding import learn_vocabulary, sample_patches
from tlkit.shallow.fitting import Part, place_parts
from tlkit.training.lower import lower_alone, there
from tlkit.workers import count_workers, one_thread_each, ordered_map

MOST_BYTES = 2e9  # of descriptions that are held in memory; fitting takes about three times as much


class Described(Protocol):
    """What has been read of every image of a folder."""

    @property
    def extracted(self) -> Extracted:
        """With the readable images; of several descriptors, of the first."""

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
    """One pass over the images for each descriptor, or one with the network; what was kept earlier is reused."""
    return _by_hand(folder, settings, progress) if settings.descriptor else _by_network(folder, settings, progress)


@dataclass(frozen=True)
class ByHand:
    """Described by descriptors, what each says kept like features.

    each  what was read, for each descriptor of `by`
    """

    each: tuple[Extracted, ...]
    by: Describer

    @property
    def extracted(self) -> Extracted:
        """See `Described`."""
        return self.each[0]

    def only(self, names: Sequence[str]) -> "ByHand":
        """See `Described`: with some of the descriptors."""
        each = dict(zip(self.by.descriptors, self.each, strict=True))
        return ByHand(tuple(each[name] for name in names), self.by.only(names))

    def learn(self, train: ImageFolder, seed: int, progress: Progress) -> "ByHand":
        """See `Described`: the vocabularies of local descriptors."""
        by = self.by
        for name, extracted in zip(by.descriptors, self.each, strict=True):
            if DESCRIPTORS[name].local:
                with progress.stage("vocabulary", 1, "") as advance:
                    rows = extracted.rows(train)
                    each = (rows[place : place + 1][0] for place in range(len(train)))
                    patches = sample_patches(each, len(train), seed)
                    by = by.with_vocabulary(name, learn_vocabulary(name, patches, seed))
                    advance(1)
        return ByHand(self.each, by)

    def values(self, part: ImageFolder, progress: Progress) -> np.ndarray:
        """See `Described`."""
        rows = [extracted.rows(part) for extracted in self.each]
        if not any(DESCRIPTORS[name].local for name in self.by.descriptors):
            return np.concatenate([each[:] for each in rows], axis=1).astype(np.float32)

        def one(place: int) -> np.ndarray:
            return self.by.join([each[place : place + 1][0] for each in rows])

        found = _room(len(part), len(one(0)) if len(part) else 0)
        encoding = progress.stage("encoding", len(part), "images")
        with encoding as advance, one_thread_each(), ThreadPoolExecutor(count_workers()) as pool:
            for place, values in enumerate(ordered_map(pool, one, range(len(part)))):
                found[place] = values
                advance(1)
        return found

    def parts(self, train: ImageFolder) -> list[Part]:
        """See `Described`: one of each descriptor."""
        names = self.by.descriptors
        first = [extracted.values(train.pick([0]))[0] for extracted in self.each]
        return place_parts(zip(names, self.by.lengths(first), [DESCRIPTORS[name].mixed for name in names], strict=True))

    def describer(self) -> Describer | None:
        """See `Described`."""
        return self.by

    def stages(self, run: Run) -> tuple[Stage, ...]:
        """See `Described`: none, for the classifier's file describes, too."""
        return ()


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
        return place_parts([("features", self.extracted.values(train.pick([0])).shape[1], True)])

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
            copyfile(self.lower.file, run.path / "engine" / "lower.tflite")
            return (Stage("engine/lower.tflite", self.precision),)
        from tlkit.engines.keras import KerasEngine, save_network

        save_network(cast(KerasEngine, self.lower.engine).network, run.path / "engine" / "lower.keras")
        return (Stage("engine/lower.keras", self.precision),)


def _by_hand(folder: ImageFolder, settings: ClassicSettings, progress: Progress) -> ByHand:
    rows = find_descriptors(settings.descriptor)
    sizes = descriptor_sizes(rows, settings.image_size)
    by = Describer(tuple(row.name for row in rows), sizes, settings.pyramid)
    each = (_described(folder, *one, settings, progress) for one in zip(by.descriptors, sizes, strict=True))
    return ByHand(tuple(each), by)


def _described(folder: ImageFolder, name: str, size: int, settings: ClassicSettings, progress: Progress) -> Extracted:
    """What one descriptor says of every image, kept like features."""
    row = DESCRIPTORS[name]
    version = installed_version(row.package)
    cut = f"{row.describe.__name__} of {size} pixels, version {DESCRIPTOR_VERSION}"  # bow and fisher share theirs
    key = FeatureKey(DECODE_VERSION, settings.resize, settings.image_size, "classic", version, "float32", "", cut)
    lower = Lower(DescriptorEngine(row, size), key)
    with one_thread_each():
        return extract(folder, there(lower), (settings.image_size, settings.resize), progress, name=name)


def _by_network(folder: ImageFolder, settings: ClassicSettings, progress: Progress) -> ByNetwork:
    with ThreadPoolExecutor(1) as background:
        lower = lower_alone(background, settings)
        extracted = extract(folder, lower, (settings.image_size, settings.resize), progress)
        return ByNetwork(extracted, lower.result(), settings.precision)


def _room(images: int, values: int) -> np.ndarray:
    """raises: OptionError where so long descriptions of so many images would not fit into memory"""
    if (needed := 4 * images * values) > MOST_BYTES:
        raise OptionError(
            f"{values:,} values for each of {images:,} images are {needed / 1e9:.1f} GB, more than the "
            f"{MOST_BYTES / 1e9:.0f} GB that are held in memory; take fewer levels of --pyramid, or bow."
        )
    return np.empty((images, values), np.float32)
