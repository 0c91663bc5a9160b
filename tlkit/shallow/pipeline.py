"""A fitted classic classifier in one file of arrays: what describes pictures, and what tells them apart."""

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.shallow.decider import Decider, Scaling
from tlkit.shallow.describer import Describer
from tlkit.shallow.descriptors import DESCRIPTOR_VERSION, DESCRIPTORS

FACTS = "facts"
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
    """raises: ValueError, OSError where the file is none"""
    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        facts = json.loads(str(arrays.pop(FACTS)))
        if facts.pop("version") != DESCRIPTOR_VERSION:
            raise ValueError("its descriptors are those of another version of tlkit")
        scaling = Scaling(**_under("scaling", arrays))
        decider = Decider(facts["classifier"], facts["temperature"], scaling, _under("kept", arrays))
        return Pipeline(_describer(facts, arrays) if "descriptors" in facts else None, decider)
    except (KeyError, TypeError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"it is damaged: {error}") from None


def _describer(facts: dict[str, Any], arrays: dict[str, np.ndarray]) -> Describer:
    names, sizes, levels = (facts[name] for name in OF_DESCRIBER)
    vocabularies = {name: _under(name, arrays) for name in names if DESCRIPTORS[name].local}
    return Describer(tuple(names), tuple(sizes), levels, vocabularies)


def _under(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.partition("/")[2]: array for name, array in arrays.items() if name.startswith(f"{prefix}/")}
