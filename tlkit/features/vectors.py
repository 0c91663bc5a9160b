"""Feature vectors for classic classifiers: handcrafted, or of a frozen network."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tlkit.classic.descriptors import DESCRIPTOR_VERSION, DESCRIPTORS, Descriptor
from tlkit.classic.encoding import fit_vocabulary, sample_patches
from tlkit.classic.fit import ColumnGroup, group_columns
from tlkit.classic.pipeline import DescriptorEngine, DescriptorPipeline
from tlkit.data.folder import ImageFolder
from tlkit.data.image import DECODE_VERSION, ImageSpec
from tlkit.engines.base import EngineSpec, installed_version
from tlkit.errors import OptionError
from tlkit.features.extract import Features, extract
from tlkit.features.extractor import ExtractorSpec, FrozenExtractor, build_extractor, completed
from tlkit.features.store import FeatureKey
from tlkit.models.sources import NetworkSource
from tlkit.runs.manifest import InferenceStage
from tlkit.runs.run import Run
from tlkit.utils.files import make_folder
from tlkit.utils.parallel import count_workers, ordered_map, single_threaded_blas
from tlkit.utils.progress import Progress

MAX_VECTOR_BYTES = 2e9  # of vectors that are held in memory; fitting takes about three times as much
DEEP_GROUP = "features"  # the name of all columns of a network's features


class FeatureVectors(Protocol):
    """The images of a folder as vectors."""

    @property
    def features(self) -> Features:
        """The features of the images; with several descriptors, those of the one with the most cached images."""

    def fit_vocabularies(self, train: ImageFolder, seed: int, progress: Progress) -> "FeatureVectors":
        """Fit what must be fitted on training images before any image is a vector."""

    def select(self, names: Sequence[str]) -> "FeatureVectors":
        """Keep some of the column groups."""

    def load(self, images: ImageFolder, progress: Progress) -> np.ndarray:
        """Load the vectors of some images: float32 (images, values)."""

    def column_groups(self, train: ImageFolder) -> list[ColumnGroup]:
        """Give the groups of columns that are scaled together."""

    def descriptors(self) -> DescriptorPipeline | None:
        """Give the pipeline from pixels to vectors; None where a network computes them."""

    def save(self, run: Run) -> tuple[InferenceStage, ...]:
        """Write what comes before the classifier when a new image is predicted."""


@dataclass(frozen=True)
class HandcraftedVectors:
    """Vectors of descriptors, which are cached like features.

    Attributes:
        by_descriptor: what was read, for each descriptor of the pipeline
    """

    by_descriptor: tuple[Features, ...]
    pipeline: DescriptorPipeline

    @property
    def features(self) -> Features:
        """The features of the descriptor with the most cached images."""
        return max(self.by_descriptor, key=lambda features: features.num_cached)

    def fit_vocabularies(self, train: ImageFolder, seed: int, progress: Progress) -> "HandcraftedVectors":
        """Fit the vocabularies of local descriptors."""
        pipeline = self.pipeline
        for name, features in zip(pipeline.descriptors, self.by_descriptor, strict=True):
            if DESCRIPTORS[name].is_local:
                with progress.stage("vocabulary", 1, "") as advance:
                    stored = features.open(train)
                    image_patches = (stored[index : index + 1][0] for index in range(len(train)))
                    patches = sample_patches(image_patches, len(train), seed)
                    pipeline = pipeline.with_vocabulary(name, fit_vocabulary(name, patches, seed))
                    advance(1)
        return HandcraftedVectors(self.by_descriptor, pipeline)

    def joined(self, others: "HandcraftedVectors") -> "HandcraftedVectors":
        """Append descriptors of the same images that were computed later."""
        return HandcraftedVectors(self.by_descriptor + others.by_descriptor, self.pipeline.joined(others.pipeline))

    def select(self, names: Sequence[str]) -> "HandcraftedVectors":
        """Keep some of the descriptors."""
        features = dict(zip(self.pipeline.descriptors, self.by_descriptor, strict=True))
        return HandcraftedVectors(tuple(features[name] for name in names), self.pipeline.select(names))

    def load(self, images: ImageFolder, progress: Progress) -> np.ndarray:
        """Load the vectors of some images; local descriptors are encoded on every core.

        Raises:
            OptionError: if the vectors would not fit into memory
        """
        stored = [features.open(images) for features in self.by_descriptor]
        if not any(DESCRIPTORS[name].is_local for name in self.pipeline.descriptors):
            return np.concatenate([descriptor[:] for descriptor in stored], axis=1).astype(np.float32)

        def encode(index: int) -> np.ndarray:
            """Encode one image."""
            return self.pipeline.concatenate([descriptor[index : index + 1][0] for descriptor in stored])

        vectors = _empty_vectors(len(images), len(encode(0)) if len(images) else 0)
        encoding = progress.stage("encoding", len(images), "images")
        with encoding as advance, single_threaded_blas(), ThreadPoolExecutor(count_workers()) as pool:
            for index, vector in enumerate(ordered_map(pool, encode, range(len(images)))):
                vectors[index] = vector
                advance(1)
        return vectors

    def column_groups(self, train: ImageFolder) -> list[ColumnGroup]:
        """Give one group per descriptor."""
        first = [features.load(train.subset([0]))[0] for features in self.by_descriptor]
        names, lengths = self.pipeline.descriptors, self.pipeline.lengths(first)
        standardize = [DESCRIPTORS[name].standardize_columns for name in names]
        return group_columns(zip(names, lengths, standardize, strict=True))

    def descriptors(self) -> DescriptorPipeline | None:
        """Give the pipeline of the descriptors."""
        return self.pipeline

    def save(self, run: Run) -> tuple[InferenceStage, ...]:
        """Write nothing: the classifier's file holds the descriptors, too."""
        return ()


def compute_handcrafted(
    folder: ImageFolder,
    descriptors: Sequence[tuple[Descriptor, int]],
    levels: int,
    image: ImageSpec,
    progress: Progress,
) -> HandcraftedVectors:
    """Read the images once for each descriptor; those that differ only in their encoding share a pass.

    Args:
        descriptors: each with the height and width of the image it is computed on, in pixels
        levels: of the spatial pyramid
    """
    passes: dict[tuple[str, int], Features] = {}
    for descriptor, size in descriptors:
        if (descriptor.key, size) not in passes:
            passes[descriptor.key, size] = _compute_descriptor(folder, descriptor, size, image, progress)
    names, sizes = tuple(row.name for row, _ in descriptors), tuple(size for _, size in descriptors)
    by_descriptor = tuple(passes[row.key, size] for row, size in descriptors)
    return HandcraftedVectors(by_descriptor, DescriptorPipeline(names, sizes, levels))


def _compute_descriptor(
    folder: ImageFolder, descriptor: Descriptor, size: int, image: ImageSpec, progress: Progress
) -> Features:
    """Compute one descriptor of every image, cached like features."""
    extractor = completed(descriptor_extractor(descriptor, size, image))
    with single_threaded_blas():
        return extract(folder, extractor, image, progress, name=descriptor.name)


def descriptor_extractor(descriptor: Descriptor, size: int, image: ImageSpec) -> FrozenExtractor:
    """Make the extractor of one descriptor.

    Args:
        size: height and width of the image that it is computed on, in pixels
    """
    version = installed_version(descriptor.package)
    cut = f"{descriptor.key} of {size} pixels, version {DESCRIPTOR_VERSION}"
    key = FeatureKey(DECODE_VERSION, image, "classic", version, "float32", "", cut)
    return FrozenExtractor(DescriptorEngine(descriptor, size), key)


def _empty_vectors(num_images: int, num_values: int) -> np.ndarray:
    """Make an array for the vectors of all images.

    Raises:
        OptionError: if it would not fit into memory
    """
    if (needed := 4 * num_images * num_values) > MAX_VECTOR_BYTES:
        raise OptionError(
            f"{num_values:,} features of {num_images:,} images need {needed / 1e9:.1f} GB of memory; expected at most "
            f"{MAX_VECTOR_BYTES / 1e9:.0f} GB: use a smaller --pyramid, or bow."
        )
    return np.empty((num_images, num_values), np.float32)


@dataclass(frozen=True)
class DeepVectors:
    """Vectors of a frozen network's features."""

    features: Features
    extractor: FrozenExtractor
    engine: EngineSpec

    def fit_vocabularies(self, train: ImageFolder, seed: int, progress: Progress) -> "DeepVectors":
        """Fit nothing: a network needs no vocabulary."""
        return self

    def select(self, names: Sequence[str]) -> "DeepVectors":
        """Keep the only group there is."""
        return self

    def load(self, images: ImageFolder, progress: Progress) -> np.ndarray:
        """Load the vectors of some images."""
        return self.features.load(images).astype(np.float32)

    def column_groups(self, train: ImageFolder) -> list[ColumnGroup]:
        """Give one group, of columns with units of their own."""
        return group_columns([(DEEP_GROUP, self.features.load(train.subset([0])).shape[1], True)])

    def descriptors(self) -> DescriptorPipeline | None:
        """Give None: a network computes the vectors."""
        return None

    def save(self, run: Run) -> tuple[InferenceStage, ...]:
        """Write the network."""
        make_folder(run.path / "engine")
        file = self.extractor.save(run.path / "engine")
        return (InferenceStage(f"engine/{file}", self.engine.name, self.engine.precision),)


def compute_deep(
    folder: ImageFolder, source: NetworkSource, image: ImageSpec, engine: EngineSpec, progress: Progress
) -> DeepVectors:
    """Read the images once with a network."""
    with ThreadPoolExecutor(1) as background:
        spec = ExtractorSpec(image, engine)
        extractor = build_extractor(background, source.build, source.identity(), spec, source)
        features = extract(folder, extractor, image, progress)
        return DeepVectors(features, extractor.result(), engine)
