"""Converted networks on disk, so that each is converted once per machine."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlkit.utils.cache import KEY, CachePart, cache_dir, claim_cache
from tlkit.utils.files import TEMPORARY, Owned, atomic_write, sha256_text, write_json
from tlkit.utils.process import folder_of_process
from tlkit.utils.reading import read_regular, sha256_regular

CONVERSION_VERSION = 3
MAX_NOTE, MAX_CONVERTED = 1 << 16, 1 << 34  # bytes
CONVERTED_FILES = CachePart(
    "engines", Owned(files=re.compile(rf"{KEY}\.(?:tflite|json)|{TEMPORARY.pattern}"), folders=re.compile("(?!)"))
)


@dataclass(frozen=True)
class ConvertedModel:
    """A network as the engines read it.

    Attributes:
        file: the `.tflite` file
        weights_sha256: of every array of the network it was made from
    """

    file: Path
    weights_sha256: str


def conversion_key(identity: Sequence[object]) -> str:
    """Hash what a network is made from, such as `NetworkSource.identity` gives."""
    return sha256_text(CONVERSION_VERSION, *identity)


def load_converted(key: str) -> ConvertedModel | None:
    """Load the network converted earlier, if its file is as it was written, and for this key."""
    note = _folder() / f"{key}.json"
    file = note.with_suffix(".tflite")
    try:
        facts = json.loads(read_regular(note, MAX_NOTE))
        written = (facts["key"], facts["sha256"]) == (key, sha256_regular(file, MAX_CONVERTED))
        return ConvertedModel(file, str(facts["weights_sha256"])) if written else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def save_converted(key: str, content: bytes, weights_sha256: str) -> ConvertedModel:
    """Keep a converted network, where the cache can be written; the note, written last, makes it count.

    Else it is in a folder that is removed when the process ends.

    Raises:
        OptionError: if the cache folder is not tlkit's
        WriteError: if no temporary file can be written either
    """
    file = _folder() / f"{key}.tflite"
    facts = {"key": key, "weights_sha256": weights_sha256, "sha256": hashlib.sha256(content).hexdigest()}
    try:
        claim_cache(CONVERTED_FILES)
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(file, content)
        write_json(file.with_suffix(".json"), facts)
    except OSError:
        file = folder_of_process() / file.name
        atomic_write(file, content)
    return ConvertedModel(file, weights_sha256)


def weights_digest(network: Any) -> str:
    """Hash every array of a Keras model, in order, with its shape (SHA-256)."""
    digest = hashlib.sha256()
    for value in network.get_weights():
        digest.update(f"{value.dtype}{value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def _folder() -> Path:
    return cache_dir() / CONVERTED_FILES.name
