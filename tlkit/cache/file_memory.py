"""Memory of files that have not changed since they were read, so that they need not be read again.

A file is known by its absolute path, size, inode and times of change. As in the index of git, a file that changed
within the last seconds before it was read is not remembered: it may change again without another time.
"""

import hashlib
import os
import re
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np

from tlkit.cache.folder import CachePart, claim_cache
from tlkit.cache.hash_table import TABLE, HashTables, RowKind
from tlkit.cache.stored_folder import cache_folder
from tlkit.errors import OptionError
from tlkit.utils.files import TEMPORARY, Owned
from tlkit.utils.storage import Location, RemotePath, is_remote, listed_state

SETTLED_NS = 2 * 10**9  # since the last change of a file, after which another change shows; FAT counts in 2 s
PENDING_FILES = 1 << 15  # that are looked up, or written, at once
KINDS = "hashes|headers|limits"  # names of what is remembered, each a folder
MEMORY_FILES = CachePart(
    "files",
    Owned(re.compile(f"(?:{KINDS})/(?:{TABLE.pattern}|{TEMPORARY.pattern})"), re.compile(KINDS)),
    f"(?:{KINDS})/{TABLE.pattern}",
)
HASHES = RowKind("hashes", (("sha256", "u1", (32,)),))  # of the bytes of a file

_reads_all: ContextVar[bool] = ContextVar("reads_all", default=False)


@contextmanager
def reading_all_files() -> Iterator[None]:
    """Read every file in this block again, also those that are remembered."""
    token = _reads_all.set(True)
    try:
        yield
    finally:
        _reads_all.reset(token)


def is_reading_all() -> bool:
    """Tell whether this is inside of such a block."""
    return _reads_all.get()


@dataclass(frozen=True)
class FileState:
    """Facts that change with a file."""

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @property
    def hash(self) -> bytes:
        """SHA-256 of all of it."""
        facts = f"{self.path}\0{self.size}\0{self.mtime_ns}\0{self.ctime_ns}\0{self.inode}"
        return hashlib.sha256(facts.encode("utf-8", "surrogateescape")).digest()


def file_state(file: str | Location) -> FileState | None:
    """Look at a file without reading it; None where it is no regular file or cannot be looked at.

    What is known of an object is what its store said when it was listed.
    """
    if isinstance(file, RemotePath):
        listed = listed_state(file)
        return FileState(file.uri, listed[0], listed[1], listed[1], 0) if listed else None
    try:
        status = os.stat(file)  # noqa: PTH116 - a Path takes longer
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    path = os.path.abspath(file)  # noqa: PTH100 - links stay
    return FileState(path, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


class FileMemory:
    """A row of facts for each file that was read, kept in the cache."""

    def __init__(self, kind: RowKind) -> None:
        self._tables = HashTables(cache_folder(MEMORY_FILES.name, kind.name), kind)
        self._pending = list[tuple[bytes, tuple[Any, ...]]]()
        self._changing = threading.Lock()

    def recall(self, files: Sequence[str | Location]) -> tuple[np.ndarray, np.ndarray]:
        """Give what is known of files: positions among `files` of those that are known, ascending, and their rows."""
        if _reads_all.get() or not len(self._tables):
            return np.empty(0, np.int64), np.empty(0, self._tables.kind.dtype)
        found = list[tuple[np.ndarray, np.ndarray]]()
        for start in range(0, max(1, len(files)), PENDING_FILES):
            states = map(file_state, files[start : start + PENDING_FILES])
            hashes = np.frombuffer(b"".join(state.hash if state else bytes(32) for state in states), np.uint8)
            positions, rows = self._tables.find(hashes.reshape(-1, 32))
            order = np.argsort(positions)
            found.append((start + positions[order], rows[order]))
        return np.concatenate([positions for positions, _ in found]), np.concatenate([rows for _, rows in found])

    def remember(self, before: FileState | None, *facts: Any) -> None:
        """Remember what reading a file gave, unless it has just changed or changes now.

        Args:
            before: the file, before it was read
            facts: a value for each field
        """
        newest_ns = max(before.mtime_ns, before.ctime_ns) if before else 0
        if before and newest_ns < time.time_ns() - SETTLED_NS and self._is_same(before):
            with self._changing:
                self._pending.append((before.hash, facts))
            if len(self._pending) >= PENDING_FILES:
                self.save()

    @staticmethod
    def _is_same(before: FileState) -> bool:
        """Look again whether a file is as before; an object that changed has another time when it is listed next."""
        return is_remote(before.path) or file_state(before.path) == before

    def save(self) -> None:
        """Write what was remembered, where the cache can be written."""
        with self._changing:
            pending, self._pending = self._pending, []
        if pending:
            hashes = np.frombuffer(b"".join(key for key, _ in pending), np.uint8).reshape(-1, 32)
            names = [name for name, *_ in self._tables.kind.fields]
            columns = dict(zip(names, map(list, zip(*(facts for _, facts in pending), strict=True)), strict=True))
            with suppress(OSError, OptionError):
                claim_cache(MEMORY_FILES)
                self._tables.folder.path.mkdir(parents=True, exist_ok=True)
                self._tables.add(self._tables.kind.make_rows(hashes, **columns))
