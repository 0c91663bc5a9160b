"""Pictures as rows of values, described by hand."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

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
from tlkit.shallow.descriptors import (
    DESCRIPTOR_VERSION,
    DESCRIPTORS,
    Descriptor,
    descriptor_sizes,
    find_descriptors,
)
from tlkit.shallow.encoding import learn_vocabulary, sample_patches
from tlkit.shallow.fitting import Part, place_parts
from tlkit.training.lower import there
from tlkit.workers import count_workers, one_thread_each, ordered_map

MOST_BYTES = 2e9  # of descriptions that are held in memory; fitting takes about three times as much


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
        return max(self.each, key=lambda extracted: extracted.reused)

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


def describe_by_hand(folder: ImageFolder, settings: ClassicSettings, progress: Progress) -> ByHand:
    """One pass over the images for each descriptor; those that differ only in what is made of it share theirs."""
    rows = find_descriptors(settings.descriptor)
    sizes = descriptor_sizes(rows, settings.image_size)
    by = Describer(tuple(row.name for row in rows), sizes, settings.pyramid)
    ways, found = [(row.describe, size) for row, size in zip(rows, sizes, strict=True)], {}
    for row, way in zip(rows, ways, strict=True):
        if way not in found:
            found[way] = _described(folder, row, way[1], settings, progress)
    return ByHand(tuple(found[way] for way in ways), by)


def _described(
    folder: ImageFolder, row: Descriptor, size: int, settings: ClassicSettings, progress: Progress
) -> Extracted:
    """What one descriptor says of every image, kept like features."""
    version = installed_version(row.package)
    cut = f"{row.describe.__name__} of {size} pixels, version {DESCRIPTOR_VERSION}"  # bow and fisher share theirs
    key = FeatureKey(DECODE_VERSION, settings.resize, settings.image_size, "classic", version, "float32", "", cut)
    lower = Lower(DescriptorEngine(row, size), key)
    with one_thread_each():
        return extract(folder, there(lower), (settings.image_size, settings.resize), progress, name=row.name)


def _room(images: int, values: int) -> np.ndarray:
    """raises: OptionError where so long descriptions of so many images would not fit into memory"""
    if (needed := 4 * images * values) > MOST_BYTES:
        raise OptionError(
            f"{values:,} values for each of {images:,} images are {needed / 1e9:.1f} GB, more than the "
            f"{MOST_BYTES / 1e9:.0f} GB that are held in memory; take fewer levels of --pyramid, or bow."
        )
    return np.empty((images, values), np.float32)
