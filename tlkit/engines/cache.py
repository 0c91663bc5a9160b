"""Converted networks on disk, so that each is converted once per machine."""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlkit.cache.folder import KEY, CachePart, cache_dir, claim_cache, remember_use
from tlkit.utils.files import TEMPORARY, Owned, atomic_write, sha256_file, sha256_text, write_json
from tlkit.utils.process import folder_of_process
from tlkit.utils.reading import read_regular, sha256_regular

CONVERSION_VERSION = 5
MAX_NOTE, MAX_CONVERTED = 1 << 16, 1 << 34  # bytes
CONVERTED_FILES = CachePart(
    "engines", Owned(files=re.compile(rf"{KEY}\.(?:tflite|keras|json)|{TEMPORARY.pattern}"), folders=re.compile("(?!)"))
)


@dataclass(frozen=True)
class ConvertedModel:
    """A network as the engines read it.

    Attributes:
        file: the `.tflite` file
        weights_sha256: of every array of the network it was made from
        grid: start and step of the feature map whose averages are the first features, see `MapGrid`; () without one
        body: the network itself, up to its features, as Keras saved it; None where nobody needs it
    """

    file: Path
    weights_sha256: str
    grid: tuple[float, ...] = ()
    body: Path | None = None


@dataclass(frozen=True)
class Conversion:
    """A network just converted.

    Attributes:
        content: of the `.tflite` file
        weights_sha256, grid: see `ConvertedModel`
        save_body: writes the network itself; None where nobody needs it
    """

    content: bytes
    weights_sha256: str
    grid: tuple[float, ...] = ()
    save_body: Callable[[Path], None] | None = None

    def write(self, file: Path) -> ConvertedModel:
        """Write the files, and give them; the names of the others are made from that of the `.tflite` file."""
        body = file.with_suffix(".keras") if self.save_body else None
        if self.save_body and body:
            self.save_body(body)
        atomic_write(file, self.content)
        return ConvertedModel(file, self.weights_sha256, self.grid, body)


def conversion_key(identity: Sequence[object]) -> str:
    """Hash what a network is made from, such as `NetworkSource.identity` gives."""
    return sha256_text(CONVERSION_VERSION, *identity)


def load_converted(key: str) -> ConvertedModel | None:
    """Load the network converted earlier, if its files are as they were written, and for this key."""
    note = _folder() / f"{key}.json"
    file, body = note.with_suffix(".tflite"), note.with_suffix(".keras")
    try:
        facts = json.loads(read_regular(note, MAX_NOTE))
        written = facts["key"] == key and facts["sha256"] == sha256_regular(file, MAX_CONVERTED)
        if not written or (facts["body"] and facts["body"] != sha256_regular(body, MAX_CONVERTED)):
            return None
        grid = tuple(float(value) for value in facts["grid"])
        remember_use(note)
        return ConvertedModel(file, str(facts["weights_sha256"]), grid, body if facts["body"] else None)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def save_converted(key: str, conversion: Conversion) -> ConvertedModel:
    """Keep a converted network, where the cache can be written; the note, written last, makes it count.

    Else it is in a folder that is removed when the process ends.

    Raises:
        OptionError: if the cache folder is not tlkit's
        WriteError: if no temporary file can be written either
    """
    file = _folder() / f"{key}.tflite"
    try:
        claim_cache(CONVERTED_FILES)
        file.parent.mkdir(parents=True, exist_ok=True)
        written = conversion.write(file)
        facts = {"key": key, "weights_sha256": written.weights_sha256, "grid": written.grid}
        facts |= {"sha256": sha256_file(file), "body": sha256_file(written.body) if written.body else ""}
        write_json(file.with_suffix(".json"), facts)
    except OSError:
        written = conversion.write(folder_of_process() / file.name)
    return written


def weights_digest(network: Any) -> str:
    """Hash every array of a Keras model, in order, with its shape (SHA-256)."""
    digest = hashlib.sha256()
    for value in network.get_weights():
        digest.update(f"{value.dtype}{value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def _folder() -> Path:
    return cache_dir() / CONVERTED_FILES.name
