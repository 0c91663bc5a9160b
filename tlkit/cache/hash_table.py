"""Tables on disk that find rows of a fixed size by 32-byte hashes: opened in constant time, merged as they grow.

A table is one file of sorted rows, memory-mapped. It never changes, is whole or absent, and its name is made from what
is in it, so any number of processes may add tables to one folder. A table that was removed stays readable for those
that have opened it. A search looks into the tables of a folder one after the other, the newest first; a new table is
merged with those that are not much larger, so that they are never many. Each row has a check of its own bytes: a
damaged row is not found.
"""

import hashlib
import json
import math
import mmap
import re
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.cache.folder import remember_use
from tlkit.cache.stored_folder import CacheFolder
from tlkit.utils.files import atomic_open, remove_if_possible
from tlkit.utils.reading import open_regular

TABLE = re.compile(r"[0-9a-f]{32}\.table")
MAGIC = b"tlkit-t1"  # the last bytes of a table
MAX_BYTES = 1 << 44
BLOCK_ROWS = 1 << 20  # rows that are merged at a time
MAPPED_BYTES = 32 << 20  # of a table that one search keeps in memory at a time
HEX_ROWS = 4096  # rows that become text at a time
GROWTH = 2  # a new table is merged with those that have up to this many times its rows
RETRIES = 20  # of listing a folder whose tables are being merged
_MULTIPLIERS = np.arange(1, 129, 2, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # odd: a changed word counts


@dataclass(frozen=True)
class RowKind:
    """The kind of the rows of a table.

    Attributes:
        name: of what they belong to; a table of another name is not opened
        fields: of a row beside its hash, as NumPy names them; together a multiple of 8 bytes
    """

    name: str
    fields: tuple[tuple[Any, ...], ...]

    @property
    def dtype(self) -> np.dtype:
        """A row: its hash, its fields, and a check of both."""
        return np.dtype([("hash", "u1", (32,)), *self.fields, ("check", "<u8")])

    def make_rows(self, hashes: np.ndarray, **columns: Any) -> np.ndarray:
        """Make rows of hashes, uint8 (rows, 32), and of a column for each field."""
        rows = np.zeros(len(hashes), self.dtype)
        rows["hash"] = hashes
        for name, column in columns.items():
            rows[name] = column
        rows["check"] = _checks(rows)
        return rows


class HashTable:
    """One table.

    Attributes:
        file: it is in
        covers: names of the files that its rows tell of
        made: when it was written, in nanoseconds
    """

    def __init__(self, file: Path, kind: RowKind) -> None:
        """Open a table.

        Raises:
            OSError
            ValueError: if it is damaged, or is not of this kind
        """
        with open_regular(file, MAX_BYTES) as opened:
            self._map = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        facts = _read_footer(self._map)
        count, itemsize = int(facts["rows"]), kind.dtype.itemsize
        if facts["kind"] != [kind.name, str(kind.dtype)] or len(self._map) < count * (itemsize + 8):
            raise ValueError("it is a table of another kind")
        self.file, self.covers, self.made = file, frozenset(map(str, facts["covers"])), int(facts["made"])
        self.rows = np.frombuffer(self._map, kind.dtype, count)
        self.prefixes = np.frombuffer(self._map, "<u8", count, count * itemsize)

    def __len__(self) -> int:
        return len(self.rows)

    def find(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find rows by their hashes, uint8 (n, 32): positions among `hashes` of those that are here, and their rows."""
        wanted = _prefixes(hashes)
        order = np.argsort(wanted)
        found, taken = [np.empty(0, np.int64)], [self.rows[:0].copy()]
        num_parts = max(1, min(len(order), len(self._map) // MAPPED_BYTES))
        for part in np.array_split(order, num_parts):
            for positions, rows in self._equal(part, hashes, wanted):
                is_whole = rows["check"] == _checks(rows)
                found.append(positions[is_whole])
                taken.append(rows[is_whole])
            if len(order) > 1:
                self._release()
        return np.concatenate(found), np.concatenate(taken)

    def _equal(
        self, part: np.ndarray, hashes: np.ndarray, wanted: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Give the rows that have these hashes; rows whose first 8 bytes are equal lie side by side."""
        indices = np.searchsorted(self.prefixes, wanted[part])
        while len(part):
            is_inside = indices < len(self)
            part, indices = part[is_inside], indices[is_inside]
            rows = self.rows[indices]
            is_equal = (rows["hash"] == hashes[part]).all(axis=1)
            yield part[is_equal], rows[is_equal]
            is_next = ~is_equal & (self.prefixes[indices] == wanted[part])
            part, indices = part[is_next], indices[is_next] + 1

    def _release(self) -> None:
        """Give the pages that were read back to the system, which keeps them as long as it has room."""
        if hasattr(mmap, "MADV_DONTNEED") and hasattr(self._map, "madvise"):
            self._map.madvise(mmap.MADV_DONTNEED)


class HashTables:
    """The tables of a folder; what is added is found at once, what other processes add after `refresh`."""

    def __init__(self, folder: CacheFolder, kind: RowKind) -> None:
        self.folder, self.kind = folder, kind
        self.tables: tuple[HashTable, ...] = ()
        self._changing = threading.Lock()
        self.refresh()

    def __len__(self) -> int:
        return sum(map(len, self.tables))

    @property
    def covers(self) -> frozenset[str]:
        """The names of the files that the tables tell of."""
        return frozenset[str]().union(*(table.covers for table in self.tables))

    def refresh(self) -> None:
        """Open the tables that are there now; a damaged one is removed, one of another kind is left alone."""
        with self._changing:
            for _ in range(RETRIES):
                opened = {table.file.name: table for table in self.tables}
                try:
                    names = sorted(self.folder.sizes(TABLE))
                    tables = [opened.get(name) or self._open(name) for name in names]
                except FileNotFoundError:  # no folder yet, or a table that was just merged
                    continue
                except OSError:  # a folder that may not be read is as good as empty
                    return
                self._set(table for table in tables if table)
                return

    def find(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find rows as `HashTable.find` does; where several tables have a hash, the row of the newest."""
        missing = np.arange(len(hashes))
        found, taken = [np.empty(0, np.int64)], [np.empty(0, self.kind.dtype)]
        for table in self.tables:
            positions, rows = table.find(hashes[missing])
            found.append(missing[positions])
            taken.append(rows)
            missing = np.delete(missing, positions)
        return np.concatenate(found), np.concatenate(taken)

    def add(self, rows: np.ndarray, covers: Iterable[str] = (), gone: Iterable[str] = ()) -> None:
        """Write a table of new rows, merged with those that are not much larger, and remove these.

        Args:
            rows: as `RowKind.make_rows` makes them; they count before older ones
            covers: the files that they tell of
            gone: files that are not there any more

        Raises:
            OSError: if it cannot be written
            StorageError: if it cannot be put into the cache's object store
        """
        with self._changing:
            total, merged = len(rows), list[HashTable]()
            for table in sorted(self.tables, key=len):
                if len(table) <= GROWTH * total:
                    merged.append(table)
                    total += len(table)
            merged.sort(key=lambda table: -table.made)
            names = sorted(frozenset(covers).union(*(table.covers for table in merged)) - frozenset(gone))
            file = _write(self.folder.path, self.kind, (rows, merged), names)
            self.folder.put(file.name)
            kept = [table for table in self.tables if table not in merged and table.file != file]
            written = list[HashTable]()
            with suppress(FileNotFoundError):  # another process has merged it already
                written.append(HashTable(file, self.kind))
            self._set([*written, *kept])
            for table in merged:
                if table.file != file:
                    self.folder.remove(table.file.name)
        if not written:
            self.refresh()

    def _set(self, tables: Iterable[HashTable]) -> None:
        self.tables = tuple(sorted(tables, key=lambda table: (-table.made, table.file.name)))

    def _open(self, name: str) -> HashTable | None:
        try:
            file = self.folder.fetch(name)
            table = HashTable(file, self.kind)
            remember_use(file)
            return table
        except FileNotFoundError:
            raise
        except OSError:  # a link, or what cannot be read now
            return None
        except ValueError:
            if not (file.parent.is_symlink() or file.parent.parent.is_symlink()):  # else it may lie anywhere
                remove_if_possible(file)
            return None


class HexColumn(Sequence[str]):
    """Hashes in hexadecimal, kept as bytes: a text takes three times as much, and is made when it is asked for."""

    def __init__(self, hashes: np.ndarray) -> None:
        self.hashes = hashes

    def __len__(self) -> int:
        return len(self.hashes)

    def __getitem__(self, index: Any) -> Any:
        """Give one text, or the column of some positions."""
        if isinstance(index, int | np.integer):
            return self.hashes[index].tobytes().hex()
        return HexColumn(self.hashes[index])

    def __iter__(self) -> Iterator[str]:
        digits = 2 * self.hashes.shape[1]
        for start in range(0, len(self), HEX_ROWS):
            text = self.hashes[start : start + HEX_ROWS].tobytes().hex()
            yield from (text[at : at + digits] for at in range(0, len(text), digits))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(str.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]


def as_hashes(digests: Iterable[str]) -> np.ndarray:
    """Turn SHA-256 hashes in hexadecimal into uint8 (n, 32)."""
    if isinstance(digests, HexColumn):
        return digests.hashes
    return np.frombuffer(bytes.fromhex("".join(digests)), np.uint8).reshape(-1, 32)


def _prefixes(hashes: np.ndarray) -> np.ndarray:
    """Give the first 8 bytes of each hash as a number."""
    return np.ascontiguousarray(hashes[:, :8]).view(">u8")[:, 0].astype(np.uint64)


def _checks(rows: np.ndarray) -> np.ndarray:
    """Compute the check of each row: a weighted sum of its words, which changes with each of them."""
    words = np.ascontiguousarray(rows).view(np.uint64).reshape(len(rows), rows.dtype.itemsize // 8)[:, :-1]
    return np.asarray((words * _MULTIPLIERS[: words.shape[1]]).sum(axis=1, dtype=np.uint64) + np.uint64(1))


def _read_footer(content: mmap.mmap) -> dict[str, Any]:
    """Read what the end of a table says of it.

    Raises:
        ValueError
    """
    length = int.from_bytes(content[-16:-8], "little")
    if content[-8:] != MAGIC or not 0 < length <= len(content) - 16:
        raise ValueError("it is no table")
    facts = json.loads(content[-16 - length : -16])
    if not isinstance(facts, dict) or set(facts) != {"kind", "rows", "covers", "made", "sha256"}:
        raise ValueError("it is no table")
    if facts.pop("sha256") != _fact_hash(facts):
        raise ValueError("its footer is damaged")
    return facts


def _fact_hash(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _write(folder: Path, kind: RowKind, content: tuple[np.ndarray, Sequence[HashTable]], covers: Sequence[str]) -> Path:
    """Write rows and those of tables as one table, named by what goes into it."""
    new, tables = content
    digest = hashlib.sha256(repr((kind, covers, [table.file.name for table in tables])).encode())
    digest.update(np.ascontiguousarray(new).view(np.uint8).data)
    file = folder / f"{digest.hexdigest()[:32]}.table"
    prefixes = list[np.ndarray]()
    with atomic_open(file, "wb") as opened:
        for block in _merged(new, tables):
            opened.write(block.view(np.uint8).data)
            prefixes.append(_prefixes(block["hash"]).astype("<u8"))
        for column in prefixes:
            opened.write(column.view(np.uint8).data)
        facts: dict[str, Any] = {"kind": [kind.name, str(kind.dtype)], "rows": sum(map(len, prefixes))}
        facts |= {"covers": list(covers), "made": time.time_ns()}
        footer = json.dumps(facts | {"sha256": _fact_hash(facts)}).encode()
        opened.write(footer + len(footer).to_bytes(8, "little") + MAGIC)
    return file


def _merged(new: np.ndarray, tables: Sequence[HashTable]) -> Iterator[np.ndarray]:
    """Give the rows of all in the order of their hashes, block by block; of equal hashes the first one stays."""
    new = _sorted(new)
    sources = [(_prefixes(new["hash"]), new), *((table.prefixes, table.rows) for table in tables)]
    num_blocks = max(1, math.ceil(sum(len(rows) for _, rows in sources) / BLOCK_ROWS))
    edges = np.array([(number << 64) // num_blocks for number in range(num_blocks)], np.uint64)
    starts = [np.searchsorted(prefixes, edges) for prefixes, _ in sources]
    stops = [[*start[1:], len(rows)] for start, (_, rows) in zip(starts, sources, strict=True)]
    for number in range(num_blocks):
        parts = [
            rows[start[number] : stop[number]] for start, stop, (_, rows) in zip(starts, stops, sources, strict=True)
        ]
        rows = _sorted(np.concatenate(parts))
        is_first = np.ones(len(rows), bool)
        is_first[1:] = (rows["hash"][1:] != rows["hash"][:-1]).any(axis=1)
        yield rows[is_first]


def _sorted(rows: np.ndarray) -> np.ndarray:
    """Sort rows by their hashes; equal ones keep their order."""
    prefixes = _prefixes(rows["hash"])
    order = np.argsort(prefixes, kind="stable")
    if (prefixes[order][1:] == prefixes[order][:-1]).any():
        words = np.ascontiguousarray(rows["hash"]).view(">u8")
        order = np.lexsort(words.T[::-1])
    return rows[order]
