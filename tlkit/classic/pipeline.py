"""A fitted classic pipeline: descriptors, scaler and classifier, its file of arrays, and its engine."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.classic.base import softmax
from tlkit.classic.classifiers import CLASSIFIERS
from tlkit.classic.descriptors import DESCRIPTOR_VERSION, DESCRIPTORS, Descriptor, require_packages, resize_square
from tlkit.classic.encoding import VOCABULARY_SHAPES, encode
from tlkit.classic.gradients import SIFT_BINS, SIFT_ORIENTATIONS
from tlkit.utils.arrays import ArrayFile, ArrayHeader, check_shapes, open_arrays


@dataclass(frozen=True)
class DescriptorPipeline:
    """Handcrafted features: pixels to a vector.

    Attributes:
        descriptors: their names, in order
        sizes: height and width of the image that each is computed on, in pixels
        levels: of the spatial pyramid over local descriptors
        vocabularies: of local descriptors, by name, once they are fitted
    """

    descriptors: tuple[str, ...]
    sizes: tuple[int, ...]
    levels: int
    vocabularies: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)

    def transform(self, pixels: np.ndarray) -> np.ndarray:
        """Compute the vector of an image: uint8 (side, side, 3) to float32 (values,)."""
        descriptors = zip(self.descriptors, self.sizes, strict=True)
        return self.concatenate([DESCRIPTORS[name].compute(resize_square(pixels, size)) for name, size in descriptors])

    def concatenate(self, computed: Sequence[np.ndarray]) -> np.ndarray:
        """Concatenate the descriptors of one image, local ones encoded: float32 (values,).

        Args:
            computed: what each descriptor has computed, in order
        """
        return np.concatenate(self._encode_local(computed)).astype(np.float32)

    def lengths(self, computed: Sequence[np.ndarray]) -> list[int]:
        """Count the values that each descriptor has in `concatenate`."""
        return [len(values) for values in self._encode_local(computed)]

    def _encode_local(self, computed: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [
            encode(self.vocabularies[name], values, self.levels) if DESCRIPTORS[name].is_local else values
            for name, values in zip(self.descriptors, computed, strict=True)
        ]

    def select(self, names: Sequence[str]) -> "DescriptorPipeline":
        """Keep some of the descriptors, in the order of the names."""
        sizes = dict(zip(self.descriptors, self.sizes, strict=True))
        vocabularies = {name: vocabulary for name, vocabulary in self.vocabularies.items() if name in names}
        return replace(
            self, descriptors=tuple(names), sizes=tuple(sizes[name] for name in names), vocabularies=vocabularies
        )

    def joined(self, others: "DescriptorPipeline") -> "DescriptorPipeline":
        """Append the descriptors of another pipeline."""
        return replace(
            self,
            descriptors=self.descriptors + others.descriptors,
            sizes=self.sizes + others.sizes,
            vocabularies=self.vocabularies | others.vocabularies,
        )

    def with_vocabulary(self, name: str, vocabulary: dict[str, np.ndarray]) -> "DescriptorPipeline":
        """Add the vocabulary of a local descriptor."""
        return replace(self, vocabularies=self.vocabularies | {name: vocabulary})


@dataclass(frozen=True)
class Scaler:
    """Scaling and projection of feature vectors before the classifier.

    Attributes:
        mean, factor: float32 (values,): subtracted first, then multiplied with
        components: float32 (components, values): principal components to project on; None for no projection
    """

    mean: np.ndarray
    factor: np.ndarray
    components: np.ndarray | None = None

    def transform(self, values: np.ndarray) -> np.ndarray:
        """Scale and project: float32 (images, values) to float32 (images, values or components)."""
        scaled: np.ndarray = (values - self.mean) * self.factor
        if self.components is not None:
            scaled = scaled @ self.components.T
        return scaled


@dataclass(frozen=True)
class ScaledClassifier:
    """A fitted classifier with its scaler: feature vectors to probabilities.

    Attributes:
        classifier: its name
        temperature: factor of scores before the softmax, where scores are not probabilities already
        arrays: the exported classifier
    """

    classifier: str
    temperature: float
    scaler: Scaler
    arrays: dict[str, np.ndarray]

    def predict_proba(self, values: np.ndarray) -> np.ndarray:
        """Compute probabilities: float32 (images, values) to float32 (images, classes)."""
        return self.classify_scaled(self.scaler.transform(values))

    def classify_scaled(self, scaled: np.ndarray) -> np.ndarray:
        """Compute the probabilities of vectors that are scaled already."""
        classifier = CLASSIFIERS[self.classifier]
        scores = classifier.decision_function(self.arrays, scaled)
        return (scores if classifier.is_probabilistic else softmax(scores * self.temperature)).astype(np.float32)


@dataclass(frozen=True)
class ClassicPipeline:
    """A classic model: pixels, or the features of a network, to probabilities.

    Attributes:
        descriptors: None where the input is a network's features
    """

    descriptors: DescriptorPipeline | None
    classifier: ScaledClassifier

    def predict_proba(self, inputs: np.ndarray) -> np.ndarray:
        """Compute probabilities: float32 (images, classes).

        Args:
            inputs: uint8 (images, side, side, 3), or float32 (images, values) without descriptors
        """
        return self.classify(self.features(inputs))

    def features(self, inputs: np.ndarray) -> np.ndarray:
        """Compute the scaled vectors of images; a network's features are features already."""
        if self.descriptors is None:
            return inputs
        return self.scale(np.stack([self.descriptors.transform(pixels) for pixels in inputs]))

    def scale(self, vectors: np.ndarray) -> np.ndarray:
        """Scale descriptors, which have different units, to features; a network's features stay."""
        return vectors if self.descriptors is None else self.classifier.scaler.transform(vectors)

    def classify(self, features: np.ndarray) -> np.ndarray:
        """Turn features into probabilities: float32 (images, classes)."""
        if self.descriptors is None:
            return self.classifier.predict_proba(features)
        return self.classifier.classify_scaled(features)


METADATA = "metadata"  # the member of the file that holds JSON
FILE_VERSION = 2  # of the file
MAX_BYTES = 4 << 30  # of the unpacked file
MAX_SIDE, MAX_LEVELS = 4096, 4  # of an image in pixels, and of a spatial pyramid
MAX_METADATA_BYTES, MAX_TEMPERATURE = 1 << 20, 1e6
DESCRIPTOR_FIELDS, CLASSIFIER_FIELDS = ("descriptors", "sizes", "levels"), ("classifier", "temperature")


def to_bytes(pipeline: ClassicPipeline) -> bytes:
    """Write a pipeline as the bytes of a `.npz` file: arrays and JSON, no pickle."""
    descriptors, classifier = pipeline.descriptors, pipeline.classifier
    metadata: dict[str, Any] = {"format_version": FILE_VERSION, "descriptor_version": DESCRIPTOR_VERSION}
    metadata |= {name: getattr(classifier, name) for name in CLASSIFIER_FIELDS}
    arrays = {f"scaler/{name}": array for name, array in vars(classifier.scaler).items() if array is not None}
    arrays |= {f"classifier/{name}": array for name, array in classifier.arrays.items()}
    if descriptors:
        metadata |= {name: getattr(descriptors, name) for name in DESCRIPTOR_FIELDS}
        for descriptor, vocabulary in descriptors.vocabularies.items():
            arrays |= {f"vocabulary/{descriptor}/{name}": array for name, array in vocabulary.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **{METADATA: np.array(json.dumps(metadata))}, **arrays)
    return buffer.getvalue()


def open_pipeline(file: Path) -> ClassicPipeline:
    """Read a pipeline and run it once, so that a damaged or forged file is found here and not while predicting.

    Raises:
        ValueError, OSError: if the file holds no pipeline
        ModelError: if a package is missing
    """
    try:
        with open_arrays(file, MAX_BYTES) as stored:
            metadata = _read_metadata(stored)
            num_values = _check_arrays(metadata, stored.headers)
            arrays = {name: stored.read(name) for name in stored.headers if name != METADATA}
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise ValueError("it is damaged: its outputs are not probabilities, because a value is not finite")
        scaler, classifier_arrays = Scaler(**_with_prefix("scaler/", arrays)), _with_prefix("classifier/", arrays)
        CLASSIFIERS[metadata["classifier"]].validate(classifier_arrays, num_values)
        pipeline = ClassicPipeline(
            _read_descriptors(metadata, arrays) if "descriptors" in metadata else None,
            ScaledClassifier(metadata["classifier"], float(metadata["temperature"]), scaler, classifier_arrays),
        )
        _run_once(pipeline)
        return pipeline
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError, MemoryError) as error:
        raise ValueError(f"it is damaged: {error}") from None


def _read_metadata(stored: ArrayFile) -> dict[str, Any]:
    """Read and check what is not an array.

    Raises:
        ValueError: if it is not what `to_bytes` writes
        ModelError: if a package of a descriptor is missing
    """
    header = stored.headers.get(METADATA)
    if header is None or header.dtype.kind != "U" or header.shape or header.num_bytes > MAX_METADATA_BYTES:
        raise ValueError("it is damaged: it does not say what it contains")
    metadata = json.loads(str(stored.read(METADATA)))
    if metadata["format_version"] != FILE_VERSION:
        raise ValueError("it was written by another version of tlkit")
    temperature = metadata["temperature"]
    is_number = isinstance(temperature, int | float) and not isinstance(temperature, bool)
    if metadata["classifier"] not in CLASSIFIERS or not (is_number and 0 < temperature < MAX_TEMPERATURE):
        raise ValueError("it is damaged: an unknown classifier, or an impossible temperature")
    if "descriptors" not in metadata:
        return dict(metadata)
    if metadata["descriptor_version"] != DESCRIPTOR_VERSION:
        raise ValueError("its descriptors are from another version of tlkit")
    names, sizes, levels = (metadata[name] for name in DESCRIPTOR_FIELDS)
    known = len(names) == len(sizes) == len(set(names)) and all(name in DESCRIPTORS for name in names)
    if not (names and known and isinstance(levels, int) and 1 <= levels <= MAX_LEVELS):
        raise ValueError("it is damaged: unknown descriptors, or one without a size")
    require_packages([DESCRIPTORS[name] for name in names])
    min_sizes = [DESCRIPTORS[name].min_size for name in names]
    if not all(isinstance(size, int) and low <= size <= MAX_SIDE for size, low in zip(sizes, min_sizes, strict=True)):
        raise ValueError("it is damaged: impossible sizes")
    return dict(metadata)


def _check_arrays(metadata: dict[str, Any], headers: Mapping[str, ArrayHeader]) -> int:
    """Check the shapes of all arrays before any is read.

    Returns:
        The number of values that the classifier takes

    Raises:
        ValueError
    """
    expected = {"scaler/mean": "f columns", "scaler/factor": "f columns"}
    if "scaler/components" in headers:
        expected["scaler/components"] = "f values columns"
    expected |= {f"classifier/{name}": words for name, words in CLASSIFIERS[metadata["classifier"]].shapes.items()}
    for descriptor in metadata.get("descriptors", ()):
        shapes = VOCABULARY_SHAPES.get(descriptor, {})
        expected |= {f"vocabulary/{descriptor}/{name}": words for name, words in shapes.items()}
    mean = headers.get("scaler/mean")
    sizes = {"patch_values": SIFT_ORIENTATIONS * SIFT_BINS**2}
    if "scaler/components" not in headers and mean and mean.shape:
        sizes["values"] = mean.shape[0]
    check_shapes({name: header for name, header in headers.items() if name != METADATA}, expected, sizes)
    return sizes.get("values", 0)


def _with_prefix(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _read_descriptors(metadata: dict[str, Any], arrays: dict[str, np.ndarray]) -> DescriptorPipeline:
    names, sizes, levels = (metadata[name] for name in DESCRIPTOR_FIELDS)
    vocabularies = {name: _with_prefix(f"vocabulary/{name}/", arrays) for name in names if DESCRIPTORS[name].is_local}
    return DescriptorPipeline(tuple(names), tuple(sizes), levels, vocabularies)


def _run_once(pipeline: ClassicPipeline) -> None:
    """Predict one black image; arrays that do not fit together raise."""
    if pipeline.descriptors:
        side = max(pipeline.descriptors.sizes)
        probabilities = pipeline.predict_proba(np.zeros((1, side, side, 3), np.uint8))
    else:
        probabilities = pipeline.predict_proba(np.zeros((1, len(pipeline.classifier.scaler.mean)), np.float32))
    if probabilities.ndim != 2 or not np.isfinite(probabilities).all():
        raise ValueError("its outputs are not probabilities")


class ClassicEngine:
    """The engine of one step of a classic pipeline; each row is computed by itself."""

    batch_size = 1
    single_threaded_blas = True

    def __init__(self, run: Callable[[np.ndarray], np.ndarray]) -> None:
        self._run = run

    def session(self) -> Callable[[np.ndarray], np.ndarray]:
        """Return the function that runs one batch; threads may share it."""
        return self._run


def classic_engines(file: Path) -> tuple[ClassicEngine, ...]:
    """Open a pipeline as two engines, pixels to features to probabilities; the second alone on a network's features.

    Raises:
        ValueError, OSError: if the file holds no pipeline
        ModelError: if a package is missing
    """
    pipeline = open_pipeline(file)
    head = ClassicEngine(pipeline.classify)
    return (head,) if pipeline.descriptors is None else (ClassicEngine(pipeline.features), head)


class DescriptorEngine:
    """The engine of one descriptor: uint8 (1, side, side, 3) to (1, …)."""

    batch_size = 1
    single_threaded_blas = True

    def __init__(self, descriptor: Descriptor, size: int) -> None:
        self._descriptor, self._size = descriptor, size

    def __reduce__(self) -> tuple[Callable[[str, int], "DescriptorEngine"], tuple[str, int]]:
        """Travel to another process as a name."""
        return _named_engine, (self._descriptor.name, self._size)

    def session(self) -> Callable[[np.ndarray], np.ndarray]:
        """Return the function that computes one image's descriptor; threads may share it."""
        return lambda images: self._descriptor.compute(resize_square(images[0], self._size))[None]


def _named_engine(name: str, size: int) -> DescriptorEngine:
    return DescriptorEngine(DESCRIPTORS[name], size)
