"""A generation of an index's files, written beside the last one; `index.json` names that until the new one is whole."""

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.errors import OptionError
from tlkit.features.compress import Codec
from tlkit.runs.ledger import record_run
from tlkit.search.approximate import write_faiss
from tlkit.search.index import CHECKED_BYTES, ENDINGS, FACTS, INDEX_FILES, IndexFacts
from tlkit.search.records import ImageRecord, encode_record, write_records
from tlkit.search.vectors import VectorFile, open_vectors, write_vectors
from tlkit.utils.files import atomic_write, owned_files, remove_if_possible, sha256_file, sha256_text
from tlkit.utils.progress import Advance, Progress


@dataclass(frozen=True)
class Content:
    """The next generation of an index: records, vectors in blocks, thumbnails uint8 (images, 1024)."""

    records: list[ImageRecord]
    vectors: Iterable[np.ndarray]
    thumbnails: np.ndarray
    codec: Codec


def write_generation(
    folder: Path,
    facts: IndexFacts,
    content: Content,
    make_faiss: Callable[[VectorFile, IndexFacts], Any],
    progress: Progress,
) -> IndexFacts:
    """Write the files of a generation, and give its facts; what an error leaves is removed."""
    facts = replace(facts, key=_content_key(facts, content.records))
    _remove_generation(folder, facts)  # of a command that was interrupted
    hashes, is_small = dict[str, str](), 4 * facts.num_images * facts.num_values <= CHECKED_BYTES
    dtype = "float16" if facts.metric == "cosine" and not (facts.kind == "flat" and is_small) else "float32"
    try:
        hashes["images"] = write_records(folder / facts.name("images"), content.records)
        with progress.stage("vectors", facts.num_images, "images") as advance:
            blocks = _counted(content.vectors, advance)
            hashes["vectors"] = write_vectors(folder / facts.name("vectors"), blocks, facts.shape, dtype)
        thumbnails = folder / facts.name("thumbnails")
        hashes["thumbnails"] = write_vectors(thumbnails, [content.thumbnails], content.thumbnails.shape, "uint8")
        if arrays := content.codec.arrays():
            hashes["codec"] = _write_codec(folder / facts.name("codec"), arrays)
        if facts.kind != "flat":
            faiss_index = make_faiss(open_vectors(folder / facts.name("vectors")), facts)
            hashes["faiss"] = _write_faiss_file(folder / facts.name("faiss"), faiss_index)
    except BaseException:
        _remove_generation(folder, facts)
        raise
    names = {facts.name(stem): digest for stem, digest in hashes.items()}
    return replace(facts, files={name: ((folder / name).stat().st_size, digest) for name, digest in names.items()})


def write_facts(folder: Path, facts: IndexFacts) -> None:
    """Make a generation the current one, and enter the index in the ledger of what this machine made.

    Raises:
        WriteError
    """
    content = json.dumps(facts.as_json(), indent=2) + "\n"
    record_run(hashlib.sha256(content.encode()).hexdigest())  # first, so that an index of this machine is always known
    atomic_write(folder / FACTS, content)


@contextmanager
def changing(folder: Path) -> Iterator[None]:
    """Keep other commands from changing an index in this block; the lock ends with the process, however that ends.

    Raises:
        OptionError: if another command changes it now
    """
    descriptor = os.open(folder, os.O_RDONLY) if os.name == "posix" else None  # Windows opens no folder
    try:
        if descriptor is not None:
            _lock(descriptor, folder)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OptionError(f"another command is changing '{folder}'; repeat this one when it has ended.") from None
    except OSError:  # a network folder without locks
        pass


def remove_others(folder: Path, facts: IndexFacts) -> None:
    """Remove the files of all generations but one."""
    for file in owned_files(folder, INDEX_FILES):
        if file.name not in {FACTS, *facts.files}:
            remove_if_possible(file)


def _remove_generation(folder: Path, facts: IndexFacts) -> None:
    for stem in ENDINGS:
        remove_if_possible(folder / facts.name(stem))


def _content_key(facts: IndexFacts, records: Iterable[ImageRecord]) -> str:
    """Name a generation by what it holds."""
    digest = hashlib.sha256()
    names = ("kind", "metric", "num_values", "code_bytes", "seed", "feature_key", "roots")
    digest.update(sha256_text(*(getattr(facts, name) for name in names)).encode())
    for record in records:
        digest.update(encode_record(record))
    return digest.hexdigest()[:16]


def _counted(blocks: Iterable[np.ndarray], advance: Advance) -> Iterator[np.ndarray]:
    for block in blocks:
        yield block
        advance(len(block))


def _write_codec(file: Path, arrays: dict[str, np.ndarray]) -> str:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    atomic_write(file, buffer.getvalue())
    return sha256_file(file)


def _write_faiss_file(file: Path, faiss_index: Any) -> str:
    with file.open("xb") as opened:
        write_faiss(faiss_index, opened)
        opened.flush()
        os.fsync(opened.fileno())
    return sha256_file(file)
