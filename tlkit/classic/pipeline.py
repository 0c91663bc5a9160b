"""A fitted classic pipeline: descriptors, scaling and classifier in one file of arrays, and its engine."""

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.classic.base import softmax
from tlkit.classic.classifiers import CLASSIFIERS
from tlkit.classic.descriptors import DESCRIPTOR_VERSION, DESCRIPTORS, Descriptor, require_packages, resized
from tlkit.classic.encoding import encode
from tlkit.engines.base import InferenceFunction


@dataclass(frozen=True)
class DescriptorPipeline:
    """Pixels in, a row of values out.

    descriptors   their names, in order
    sizes         height and width of the picture each is made of, in pixels
    levels        of the spatial pyramid over local ones
    vocabularies  of local descriptors, by name, once they are learnt
    """

    descriptors: tuple[str, ...]
    sizes: tuple[int, ...]
    levels: int
    vocabularies: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)

    def describe(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (side, side, 3) to float32 (values,)."""
        each = zip(self.descriptors, self.sizes, strict=True)
        return self.join([DESCRIPTORS[name].describe(resized(pixels, size)) for name, size in each])

    def join(self, described: Sequence[np.ndarray]) -> np.ndarray:
        """What the descriptors of one picture say, local ones encoded, one after the other: float32 (values,)."""
        parts = zip(self.descriptors, described, strict=True)
        return np.concatenate([self._encoded(name, values) for name, values in parts]).astype(np.float32)

    def lengths(self, described: Sequence[np.ndarray]) -> list[int]:
        """How many values each descriptor has in `join`."""
        parts = zip(self.descriptors, described, strict=True)
        return [len(self._encoded(name, values)) for name, values in parts]

    def only(self, names: Sequence[str]) -> "DescriptorPipeline":
        """The same with some of its descriptors, in another order."""
        sizes = dict(zip(self.descriptors, self.sizes, strict=True))
        vocabularies = {name: learnt for name, learnt in self.vocabularies.items() if name in names}
        return replace(
            self, descriptors=tuple(names), sizes=tuple(sizes[name] for name in names), vocabularies=vocabularies
        )

    def with_vocabulary(self, name: str, vocabulary: dict[str, np.ndarray]) -> "DescriptorPipeline":
        """The same with the vocabulary of one local descriptor learnt."""
        return replace(self, vocabularies=self.vocabularies | {name: vocabulary})

    def _encoded(self, name: str, values: np.ndarray) -> np.ndarray:
        return encode(self.vocabularies[name], values, self.levels) if DESCRIPTORS[name].local else values


@dataclass(frozen=True)
class ScaledClassifier:
    """Rows of values in, probabilities out.

    classifier   its name
    temperature  what scores that are no probabilities are multiplied with before the softmax
    scaling      how values are scaled and projected before
    kept         the classifier's arrays
    """

    classifier: str
    temperature: float
    scaling: "Scaler"
    kept: dict[str, np.ndarray]

    def probabilities(self, values: np.ndarray) -> np.ndarray:
        """float32 (images, values) to float32 (images, classes)."""
        row = CLASSIFIERS[self.classifier]
        scores = row.scores(self.kept, self.scaling.apply(values))
        return (scores if row.sure else softmax(scores * self.temperature)).astype(np.float32)


@dataclass(frozen=True)
class Scaler:
    """What is done to values before they are told apart.

    mean, factor  float32 (values,): what is taken from them, and what the rest is multiplied with
    components    float32 (components, values): what that is projected on, principal components; None for nothing
    """

    mean: np.ndarray
    factor: np.ndarray
    components: np.ndarray | None = None

    def apply(self, values: np.ndarray) -> np.ndarray:
        """float32 (images, values) to float32 (images, values or components)."""
        scaled: np.ndarray = (values - self.mean) * self.factor
        if self.components is not None:
            scaled = scaled @ self.components.T
        return scaled


FACTS = "facts"
MAX_BYTES = 4 << 30  # of a file, unpacked
MAX_SIDE, MAX_LEVELS = 4096, 4  # of a picture in pixels, and of a pyramid
DESCRIPTOR_FIELDS, CLASSIFIER_FIELDS = ("descriptors", "sizes", "levels"), ("classifier", "temperature")


@dataclass(frozen=True)
class ClassicPipeline:
    """Pixels, or the features that a network makes of them, in; probabilities out.

    describer  of pixels; None where features come in
    """

    describer: DescriptorPipeline | None
    decider: ScaledClassifier

    def classify(self, rows: np.ndarray) -> np.ndarray:
        """uint8 (images, side, side, 3) or float32 (images, values) to float32 (images, classes)."""
        values = rows if self.describer is None else np.stack([self.describer.describe(pixels) for pixels in rows])
        return self.decider.probabilities(values)


def to_bytes(pipeline: ClassicPipeline) -> bytes:
    """What `open_pipeline` reads: a `.npz` of arrays, and JSON; no pickle."""
    describer, decider = pipeline.describer, pipeline.decider
    facts = {name: getattr(decider, name) for name in CLASSIFIER_FIELDS} | {"version": DESCRIPTOR_VERSION}
    arrays = {f"scaling/{name}": array for name, array in vars(decider.scaling).items() if array is not None}
    arrays |= {f"kept/{name}": array for name, array in decider.kept.items()}
    if describer:
        facts |= {name: getattr(describer, name) for name in DESCRIPTOR_FIELDS}
        for descriptor, vocabulary in describer.vocabularies.items():
            arrays |= {f"{descriptor}/{name}": array for name, array in vocabulary.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **{FACTS: np.array(json.dumps(facts))}, **arrays)
    return buffer.getvalue()


def open_pipeline(file: Path) -> ClassicPipeline:
    """What `to_bytes` wrote, tried once, so that what was damaged or made up ends here and not while predicting.

    raises: ValueError, OSError where the file is none; ModelError where a package is missing
    """
    try:
        arrays = _read(file)
        facts = json.loads(str(arrays.pop(FACTS)))
        scaling = Scaler(**_with_prefix("scaling", arrays))
        if scaling.mean.ndim != 1 or scaling.mean.shape != scaling.factor.shape:
            raise ValueError("it is damaged: means and factors of different lengths")
        decider = ScaledClassifier(
            facts["classifier"], float(facts["temperature"]), scaling, _with_prefix("kept", arrays)
        )
        pipeline = ClassicPipeline(_read_descriptors(facts, arrays) if "descriptors" in facts else None, decider)
        CLASSIFIERS[decider.classifier].check(decider.kept)
        _try(pipeline)
        return pipeline
    except (KeyError, TypeError, AttributeError, IndexError, zipfile.BadZipFile, EOFError, MemoryError) as error:
        raise ValueError(f"it is damaged: {error}") from None


def _read(file: Path) -> dict[str, np.ndarray]:
    """raises: ValueError where it would not fit into memory, or holds what is no array"""
    with zipfile.ZipFile(file) as members:
        if sum(member.file_size for member in members.infolist()) > MAX_BYTES:
            raise ValueError(f"it unpacks to more than {MAX_BYTES >> 30} GB")
    with np.load(file, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def _try(pipeline: ClassicPipeline) -> None:
    """raises: what comes of arrays that do not fit together"""
    describer, scaling = pipeline.describer, pipeline.decider.scaling
    if describer:
        side = max(describer.sizes)
        found = pipeline.classify(np.zeros((1, side, side, 3), np.uint8))
    else:
        found = pipeline.classify(np.zeros((1, len(scaling.mean)), np.float32))
    if found.ndim != 2 or not np.isfinite(found).all():
        raise ValueError("its answers are no probabilities")


def _read_descriptors(facts: dict[str, Any], arrays: dict[str, np.ndarray]) -> DescriptorPipeline:
    if facts["version"] != DESCRIPTOR_VERSION:
        raise ValueError("its descriptors are those of another version of tlkit")
    names, sizes, levels = (facts[name] for name in DESCRIPTOR_FIELDS)
    require_packages([DESCRIPTORS[name] for name in names])
    if not (all(0 < size <= MAX_SIDE for size in sizes) and 1 <= levels <= MAX_LEVELS):
        raise ValueError("it is damaged: impossible sizes")
    vocabularies = {name: _with_prefix(name, arrays) for name in names if DESCRIPTORS[name].local}
    return DescriptorPipeline(tuple(names), tuple(sizes), levels, vocabularies)


def _with_prefix(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.partition("/")[2]: array for name, array in arrays.items() if name.startswith(f"{prefix}/")}


class ClassicEngine:
    """A fitted pipeline: uint8 (1, side, side, 3), or features, to float32 (…, classes)."""

    batch_size = 1

    def __init__(self, file: Path) -> None:
        self._pipeline = open_pipeline(file)

    def session(self) -> InferenceFunction:
        """See `Engine.session`."""
        return self._pipeline.classify


class DescriptorEngine:
    """One descriptor: uint8 (1, side, side, 3) to what it says of that picture, (1, …)."""

    batch_size = 1

    def __init__(self, row: Descriptor, size: int) -> None:
        self._row, self._size = row, size

    def session(self) -> InferenceFunction:
        """See `Engine.session`."""
        return lambda rows: self._row.describe(resized(rows[0], self._size))[None]
