"""Tar files that are read where they are: positions of the members, and single members by position.

A file on disk is scanned header by header. An object is read once from start to end, since a request for each header
would take longer; its images are then fetched by their positions.
"""

import io
import tarfile
import threading
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tlkit.errors import DataError, ImageError
from tlkit.utils.object_stores import explaining
from tlkit.utils.storage import Location, RemotePath, open_filesystem, open_stored

BLOCK_BYTES = 8 << 20  # that an object is read in
MAX_LABEL_BYTES = 1 << 16  # of a member that says what an image shows
LABEL_SUFFIXES = ("cls", "txt", "json")

_positions: dict[str, dict[str, tuple[int, int]]] = {}  # of the members of shards that were scanned, by their location
_scanning: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


@dataclass(frozen=True)
class TarContent:
    """The members of a tar file.

    Attributes:
        positions: where each begins, and its bytes
        labels: the content of the small ones that may say what an image shows
    """

    positions: dict[str, tuple[int, int]]
    labels: dict[str, bytes]


def scan_tar(shard: Location) -> TarContent:
    """Find the members of a tar file that is not compressed.

    Raises:
        DataError: if it is damaged, or no such file
        OSError, StorageError
    """
    positions, labels = dict[str, tuple[int, int]](), dict[str, bytes]()
    how: dict[str, Any] = {"mode": "r|", "bufsize": BLOCK_BYTES} if isinstance(shard, RemotePath) else {"mode": "r:"}
    try:
        with open_stored(shard) as file, tarfile.open(fileobj=file, **how) as tar:
            for member in tar:
                if not member.isreg() or member.issparse():
                    continue
                positions[member.name] = member.offset_data, member.size
                if member.name.rpartition(".")[2].lower() in LABEL_SUFFIXES and member.size <= MAX_LABEL_BYTES:
                    content = tar.extractfile(member)
                    labels[member.name] = content.read() if content else b""
                tar.members = []  # type: ignore[attr-defined]  # else every header stays in memory
    except tarfile.TarError as error:
        if str(error) == "empty file":
            return TarContent({}, {})
        raise DataError(f"'{shard}' cannot be read as a tar file ({error}).") from None
    _positions[_key(shard)] = positions
    return TarContent(positions, labels)


def read_tar_member(shard: Location, name: str, max_bytes: int) -> bytes:
    """Read one member.

    Raises:
        ImageError: if there is no such member, or it is cut off or too large
        OSError, StorageError
    """
    key = _key(shard)
    with _scanning[key]:
        try:
            positions = _positions[key] if key in _positions else scan_tar(shard).positions
        except DataError:
            raise ImageError("is in a shard that is damaged") from None
    if name not in positions:
        raise ImageError("does not exist")
    start, size = positions[name]
    if size > max_bytes:
        raise ImageError(f"is {size >> 20} MiB large; at most {max_bytes >> 20} MiB are read")
    content = _read_at(shard, start, size)
    if len(content) < size:
        raise ImageError("is cut off, with the shard that it is in")
    return content


def _read_at(shard: Location, start: int, size: int) -> bytes:
    if isinstance(shard, RemotePath):
        with explaining(shard):
            content: bytes = _opened_object(shard).read_at(size, start)
            return content
    with shard.open("rb", buffering=0) as file:
        file.seek(start)
        return io.BufferedReader(file).read(size)


@lru_cache(maxsize=64)
def _opened_object(shard: RemotePath) -> Any:
    """Open an object, which threads may read from at once."""
    store, name = open_filesystem(shard)
    return store.open_input_file(name)


def _key(shard: Location) -> str:
    """Give what the positions are remembered by; a file on disk that was changed is scanned again."""
    if isinstance(shard, Path):
        status = shard.stat()
        return f"{shard} {status.st_size} {status.st_mtime_ns}"
    return str(shard)
