"""A fitted classic classifier in one file of arrays: what describes pictures, and what tells them apart."""

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.shallow.classifiers import CLASSIFIERS
from tlkit.shallow.decider import Decider, Scaling
from tlkit.shallow.describer import Describer
from tlkit.shallow.descriptors import DESCRIPTOR_VERSION, DESCRIPTORS, require_packages

FACTS = "facts"
MOST_BYTES = 4 << 30  # of a file, unpacked
LARGEST_SIDE, MOST_LEVELS = 4096, 4  # of a picture in pixels, and of a pyramid
OF_DESCRIBER, OF_DECIDER = ("descriptors", "sizes", "levels"), ("classifier", "temperature")


@dataclass(frozen=True)
class Pipeline:
    """Pixels, or the features that a network makes of them, in; probabilities out.

    describer  of pixels; None where features come in
    """

    describer: Describer | None
    decider: Decider

    def classify(self, rows: np.ndarray) -> np.ndarray:
        """uint8 (images, side, side, 3) or float32 (images, values) to float32 (images, classes)."""
        values = rows if self.describer is None else np.stack([self.describer.describe(pixels) for pixels in rows])
        return self.decider.probabilities(values)


def to_bytes(pipeline: Pipeline) -> bytes:
    """What `open_pipeline` reads: a `.npz` of arrays, and JSON; no pickle."""
    describer, decider = pipeline.describer, pipeline.decider
    facts = {name: getattr(decider, name) for name in OF_DECIDER} | {"version": DESCRIPTOR_VERSION}
    arrays = {f"scaling/{name}": array for name, array in vars(decider.scaling).items() if array is not None}
    arrays |= {f"kept/{name}": array for name, array in decider.kept.items()}
    if describer:
        facts |= {name: getattr(describer, name) for name in OF_DESCRIBER}
        for descriptor, vocabulary in describer.vocabularies.items():
            arrays |= {f"{descriptor}/{name}": array for name, array in vocabulary.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **{FACTS: np.array(json.dumps(facts))}, **arrays)
    return buffer.getvalue()


def open_pipeline(file: Path) -> Pipeline:
    """What `to_bytes` wrote, tried once, so that what was damaged or made up ends here and not while predicting.

    raises: ValueError, OSError where the file is none; ModelError where a package is missing
    """
    try:
        arrays = _read(file)
        facts = json.loads(str(arrays.pop(FACTS)))
        scaling = Scaling(**_under("scaling", arrays))
        if scaling.mean.ndim != 1 or scaling.mean.shape != scaling.factor.shape:
            raise ValueError("it is damaged: means and factors of different lengths")
        decider = Decider(facts["classifier"], float(facts["temperature"]), scaling, _under("kept", arrays))
        pipeline = Pipeline(_describer(facts, arrays) if "descriptors" in facts else None, decider)
        CLASSIFIERS[decider.classifier].check(decider.kept)
        _try(pipeline)
        return pipeline
    except (KeyError, TypeError, AttributeError, IndexError, zipfile.BadZipFile, EOFError, MemoryError) as error:
        raise ValueError(f"it is damaged: {error}") from None


def _read(file: Path) -> dict[str, np.ndarray]:
    """raises: ValueError where it would not fit into memory, or holds what is no array"""
    with zipfile.ZipFile(file) as members:
        if sum(member.file_size for member in members.infolist()) > MOST_BYTES:
            raise ValueError(f"it unpacks to more than {MOST_BYTES >> 30} GB")
    with np.load(file, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def _try(pipeline: Pipeline) -> None:
    """raises: what comes of arrays that do not fit together"""
    describer, scaling = pipeline.describer, pipeline.decider.scaling
    if describer:
        side = max(describer.sizes)
        found = pipeline.classify(np.zeros((1, side, side, 3), np.uint8))
    else:
        found = pipeline.classify(np.zeros((1, len(scaling.mean)), np.float32))
    if found.ndim != 2 or not np.isfinite(found).all():
        raise ValueError("its answers are no probabilities")


def _describer(facts: dict[str, Any], arrays: dict[str, np.ndarray]) -> Describer:
    if facts["version"] != DESCRIPTOR_VERSION:
        raise ValueError("its descriptors are those of another version of tlkit")
    names, sizes, levels = (facts[name] for name in OF_DESCRIBER)
    require_packages([DESCRIPTORS[name] for name in names])
    if not (all(0 < size <= LARGEST_SIDE for size in sizes) and 1 <= levels <= MOST_LEVELS):
        raise ValueError("it is damaged: impossible sizes")
    vocabularies = {name: _under(name, arrays) for name in names if DESCRIPTORS[name].local}
    return Describer(tuple(names), tuple(sizes), levels, vocabularies)


def _under(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.partition("/")[2]: array for name, array in arrays.items() if name.startswith(f"{prefix}/")}
