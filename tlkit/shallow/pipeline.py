"""A fitted classic classifier: descriptors, vocabularies, scales and a classifier, in one file of arrays."""

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tlkit.shallow.classifiers import CLASSIFIERS
from tlkit.shallow.descriptors import DESCRIPTOR_VERSION, DESCRIPTORS, resized
from tlkit.shallow.encoding import encode
from tlkit.shallow.linear import softmax

FACTS = "facts"
PLAIN = ("descriptors", "sizes", "levels", "classifier", "temperature")


@dataclass(frozen=True)
class Pipeline:
    """Pixels in, probabilities out.

    descriptors   their names, in order
    sizes         height and width of the picture each is made of, in pixels
    levels        of the spatial pyramid over local ones
    classifier    its name
    temperature   what scores that are no probabilities are multiplied with before the softmax
    vocabularies  of local descriptors, by name
    mean, scale   float32 (values,): what is taken from described pictures, and what the rest is multiplied with
    kept          the classifier's arrays
    """

    descriptors: tuple[str, ...]
    sizes: tuple[int, ...]
    levels: int
    classifier: str
    temperature: float
    vocabularies: dict[str, dict[str, np.ndarray]]
    mean: np.ndarray
    scale: np.ndarray
    kept: dict[str, np.ndarray]

    def classify(self, pixels: np.ndarray) -> np.ndarray:
        """The probabilities of one picture: uint8 (side, side, 3) to float32 (classes,)."""
        each = zip(self.descriptors, self.sizes, strict=True)
        described = [DESCRIPTORS[name].describe(resized(pixels, size)) for name, size in each]
        shares: np.ndarray = self.probabilities(join(self, described)[None])[0]
        return shares

    def probabilities(self, values: np.ndarray) -> np.ndarray:
        """Of described pictures: float32 (images, values) to float32 (images, classes)."""
        row = CLASSIFIERS[self.classifier]
        scores = row.scores(self.kept, (values - self.mean) * self.scale)
        return (scores if row.sure else softmax(scores * self.temperature)).astype(np.float32)


def join(pipeline: Pipeline, described: Sequence[np.ndarray]) -> np.ndarray:
    """What the descriptors of one picture say, the local ones encoded, one after the other: float32 (values,)."""
    return np.concatenate(
        [
            encode(pipeline.vocabularies[name], values, pipeline.levels) if DESCRIPTORS[name].local else values
            for name, values in zip(pipeline.descriptors, described, strict=True)
        ]
    )


def to_bytes(pipeline: Pipeline) -> bytes:
    """What `open_pipeline` reads: a `.npz` of arrays, and JSON; no pickle."""
    facts = {name: getattr(pipeline, name) for name in PLAIN}
    arrays = {"mean": pipeline.mean, "scale": pipeline.scale}
    arrays |= {f"kept/{name}": array for name, array in pipeline.kept.items()}
    for descriptor, vocabulary in pipeline.vocabularies.items():
        arrays |= {f"{descriptor}/{name}": array for name, array in vocabulary.items()}
    buffer = io.BytesIO()
    text = np.array(json.dumps(facts | {"version": DESCRIPTOR_VERSION}))
    np.savez_compressed(buffer, allow_pickle=False, **{FACTS: text}, **arrays)
    return buffer.getvalue()


def open_pipeline(file: Path) -> Pipeline:
    """raises: ValueError, OSError where the file is none"""
    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        facts = json.loads(str(arrays.pop(FACTS)))
        if facts.pop("version") != DESCRIPTOR_VERSION:
            raise ValueError("its descriptors are those of another version of tlkit")
        facts |= {name: tuple(facts[name]) for name in ("descriptors", "sizes")}
        return Pipeline(
            **facts,
            vocabularies={name: _under(name, arrays) for name in facts["descriptors"] if DESCRIPTORS[name].local},
            mean=arrays["mean"],
            scale=arrays["scale"],
            kept=_under("kept", arrays),
        )
    except (KeyError, TypeError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"it is damaged: {error}") from None


def _under(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.partition("/")[2]: array for name, array in arrays.items() if name.startswith(f"{prefix}/")}
