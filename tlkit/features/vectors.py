"""Feature vectors for classic classifiers: handcrafted, or of a frozen network."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np

from tlkit.classic.descriptors import DESCRIPTOR_VERSION, DESCRIPTORS, Descriptor, descriptor_sizes, find_descriptors
from tlkit.classic.encoding import fit_vocabulary, sample_patches
from tlkit.classic.fit import ColumnGroup, group_columns
from tlkit.classic.pipeline import DescriptorEngine, DescriptorPipeline
from tlkit.data.folder import ImageFolder
from tlkit.data.image import DECODE_VERSION
from tlkit.engines.base import installed_version
from tlkit.errors import OptionError
from tlkit.features.extract import Features, extract
from tlkit.features.extractor import FeatureExtractor, backbone_extractor, completed
from tlkit.features.store import FeatureKey
from tlkit.runs.run import InferenceStage, Run
from tlkit.settings.training import ClassicSettings
from tlkit.utils.files import atomic_write
from tlkit.utils.parallel import count_workers, ordered_map, single_threaded_blas
from tlkit.utils.progress import Progress


class FeatureVectors(Protocol):
    """What has been read of every image of a folder."""

    @property
    def extracted(self) -> Features:
        """With the readable images; of several descriptors, that of which most had been kept."""

    def learn(self, train: ImageFolder, seed: int, progress: Progress) -> "FeatureVectors":
        """The same, once what must be learnt from training images to describe any is learnt."""

    def only(self, names: Sequence[str]) -> "FeatureVectors":
        """The same without all but some of its parts."""

    def values(self, part: ImageFolder, progress: Progress) -> np.ndarray:
        """Of some images: float32 (images, values)."""

    def parts(self, train: ImageFolder) -> list[ColumnGroup]:
        """Of the columns."""

    def describer(self) -> DescriptorPipeline | None:
        """What describes pictures by hand; None where a network does."""

    def stages(self, run: Run) -> tuple[InferenceStage, ...]:
        """What comes before the classifier when a new image is predicted, written into the run."""


def compute_vectors(folder: ImageFolder, settings: ClassicSettings, progress: Progress) -> FeatureVectors:
    """What was kept earlier is reused."""
    if settings.descriptor:
        return compute_handcrafted(folder, settings, progress)
    return compute_deep(folder, settings, progress)


MAX_VECTOR_BYTES = 2e9  # of descriptions that are held in memory; fitting takes about three times as much


@dataclass(frozen=True)
class HandcraftedVectors:
    """Described by descriptors, what each says kept like features.

    each  what was read, for each descriptor of `by`
    """

    each: tuple[Features, ...]
    by: DescriptorPipeline

    @property
    def extracted(self) -> Features:
        """See `Described`."""
        return max(self.each, key=lambda extracted: extracted.reused)

    def only(self, names: Sequence[str]) -> "HandcraftedVectors":
        """See `Described`: with some of the descriptors."""
        each = dict(zip(self.by.descriptors, self.each, strict=True))
        return HandcraftedVectors(tuple(each[name] for name in names), self.by.only(names))

    def learn(self, train: ImageFolder, seed: int, progress: Progress) -> "HandcraftedVectors":
        """See `Described`: the vocabularies of local descriptors."""
        by = self.by
        for name, extracted in zip(by.descriptors, self.each, strict=True):
            if DESCRIPTORS[name].local:
                with progress.stage("vocabulary", 1, "") as advance:
                    rows = extracted.rows(train)
                    each = (rows[place : place + 1][0] for place in range(len(train)))
                    patches = sample_patches(each, len(train), seed)
                    by = by.with_vocabulary(name, fit_vocabulary(name, patches, seed))
                    advance(1)
        return HandcraftedVectors(self.each, by)

    def values(self, part: ImageFolder, progress: Progress) -> np.ndarray:
        """See `Described`."""
        rows = [extracted.rows(part) for extracted in self.each]
        if not any(DESCRIPTORS[name].local for name in self.by.descriptors):
            return np.concatenate([each[:] for each in rows], axis=1).astype(np.float32)

        def one(place: int) -> np.ndarray:
            return self.by.join([each[place : place + 1][0] for each in rows])

        found = _room(len(part), len(one(0)) if len(part) else 0)
        encoding = progress.stage("encoding", len(part), "images")
        with encoding as advance, single_threaded_blas(), ThreadPoolExecutor(count_workers()) as pool:
            for place, values in enumerate(ordered_map(pool, one, range(len(part)))):
                found[place] = values
                advance(1)
        return found

    def parts(self, train: ImageFolder) -> list[ColumnGroup]:
        """See `Described`: one of each descriptor."""
        names = self.by.descriptors
        first = [extracted.values(train.pick([0]))[0] for extracted in self.each]
        return group_columns(
            zip(names, self.by.lengths(first), [DESCRIPTORS[name].mixed for name in names], strict=True)
        )

    def describer(self) -> DescriptorPipeline | None:
        """See `Described`."""
        return self.by

    def stages(self, run: Run) -> tuple[InferenceStage, ...]:
        """See `Described`: none, for the classifier's file describes, too."""
        return ()


def compute_handcrafted(folder: ImageFolder, settings: ClassicSettings, progress: Progress) -> HandcraftedVectors:
    """One pass over the images for each descriptor; those that differ only in what is made of it share theirs."""
    rows = find_descriptors(settings.descriptor)
    sizes = descriptor_sizes(rows, settings.image_size)
    by = DescriptorPipeline(tuple(row.name for row in rows), sizes, settings.pyramid)
    ways, found = [(row.describe, size) for row, size in zip(rows, sizes, strict=True)], {}
    for row, way in zip(rows, ways, strict=True):
        if way not in found:
            found[way] = _compute_descriptor(folder, row, way[1], settings, progress)
    return HandcraftedVectors(tuple(found[way] for way in ways), by)


def _compute_descriptor(
    folder: ImageFolder, row: Descriptor, size: int, settings: ClassicSettings, progress: Progress
) -> Features:
    """What one descriptor says of every image, kept like features."""
    version = installed_version(row.package)
    cut = f"{row.describe.__name__} of {size} pixels, version {DESCRIPTOR_VERSION}"  # bow and fisher share theirs
    key = FeatureKey(DECODE_VERSION, settings.resize, settings.image_size, "classic", version, "float32", "", cut)
    lower = FeatureExtractor(DescriptorEngine(row, size), key)
    with single_threaded_blas():
        return extract(folder, completed(lower), (settings.image_size, settings.resize), progress, name=row.name)


def _room(images: int, values: int) -> np.ndarray:
    """raises: OptionError where so long descriptions of so many images would not fit into memory"""
    if (needed := 4 * images * values) > MAX_VECTOR_BYTES:
        raise OptionError(
            f"{values:,} values for each of {images:,} images are {needed / 1e9:.1f} GB, more than the "
            f"{MAX_VECTOR_BYTES / 1e9:.0f} GB that are held in memory; take fewer levels of --pyramid, or bow."
        )
    return np.empty((images, values), np.float32)


FEATURE_GROUP = "features"  # the name of all columns


@dataclass(frozen=True)
class DeepVectors:
    """Described by a frozen network's features."""

    extracted: Features
    lower: FeatureExtractor
    precision: str

    def learn(self, train: ImageFolder, seed: int, progress: Progress) -> "DeepVectors":
        """See `Described`: nothing."""
        return self

    def values(self, part: ImageFolder, progress: Progress) -> np.ndarray:
        """See `Described`."""
        return self.extracted.values(part).astype(np.float32)

    def parts(self, train: ImageFolder) -> list[ColumnGroup]:
        """See `Described`: one, of features with units of their own."""
        return group_columns([(FEATURE_GROUP, self.extracted.values(train.pick([0])).shape[1], True)])

    def only(self, names: Sequence[str]) -> "DeepVectors":
        """See `Described`: it has one part."""
        return self

    def describer(self) -> DescriptorPipeline | None:
        """See `Described`."""
        return None

    def stages(self, run: Run) -> tuple[InferenceStage, ...]:
        """See `Described`: the network."""
        (run.path / "engine").mkdir(exist_ok=True)
        if self.lower.file:
            atomic_write(run.path / "engine" / "lower.tflite", self.lower.file.read_bytes())
            return (InferenceStage("engine/lower.tflite", self.precision),)
        from tlkit.engines.keras import KerasEngine, save_network

        save_network(cast(KerasEngine, self.lower.engine).network, run.path / "engine" / "lower.keras")
        return (InferenceStage("engine/lower.keras", self.precision),)


def compute_deep(folder: ImageFolder, settings: ClassicSettings, progress: Progress) -> DeepVectors:
    """One pass over the images with the network."""
    with ThreadPoolExecutor(1) as background:
        lower = backbone_extractor(background, settings)
        extracted = extract(folder, lower, (settings.image_size, settings.resize), progress)
        return DeepVectors(extracted, lower.result(), settings.precision)
