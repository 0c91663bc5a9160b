"""Features of images on disk: computed once, cached, and found by the content of the image file.

Records live in shards under `TLKIT_CACHE/features/<key>/`. The key holds everything the features depend on but the
image; within a key a record is found by the SHA-256 of the image file's bytes. New records are written in small shards,
so that a killed run loses little. They become shards of about 128 MB with a table that finds their records, so that a
large store opens at once; a shard without a table is read when the store is opened.
"""

import re
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.cache.file_memory import HASHES, FileMemory
from tlkit.cache.folder import KEY, CachePart, cache_dir, claim_cache, remember_use
from tlkit.cache.hash_table import TABLE, HashTables, RowKind, as_hashes
from tlkit.cache.stored_folder import cache_folder
from tlkit.data.appearance import APPEARANCE
from tlkit.data.image import ImageSpec
from tlkit.data.sources.files import hash_of
from tlkit.features.shards import (
    SHARD,
    FeatureRecord,
    count_records,
    distinct,
    group_shards,
    make_shard,
    open_shard,
    release,
    write_shard,
)
from tlkit.utils.files import TEMPORARY, Owned, owned_files, remove_if_possible, sha256_text
from tlkit.utils.process import raise_open_file_limit
from tlkit.utils.storage import Location

FORMAT_VERSION = 3
SAMPLED_FILES = 64  # that tell which fraction of a folder is cached
SHARD_ROWS = 512
SHARD_BYTES = 32 << 20  # a shard is written when either is reached
JOINED_BYTES = 128 << 20  # of small shards, which are then joined
LOOSE_SHARDS, LOOSE_RECORDS = 16, 4096  # without a table: this many are joined at the end of a run
LOCATED_RECORDS = 1 << 16  # that are looked up at a time
RELEASED_RECORDS = 1000  # that are read at once, after which the pages of their shards are given back
SHARD_FILES = CachePart(
    "features",
    Owned(re.compile(rf"{KEY}/(?:{SHARD.pattern}|{TABLE.pattern}|{TEMPORARY.pattern})"), re.compile(KEY)),
    rf"{KEY}/(?:{SHARD.pattern}|{TABLE.pattern})",
)
INDEX_FIELDS = (("digest", "u1", (16,)), ("shard", "S16"), ("record", "<u8"))

Located = tuple[np.ndarray, np.ndarray, np.ndarray]  # positions in a request, a shard, positions of records in it


@dataclass(frozen=True)
class FeatureKey:
    """Everything that features depend on but the image itself; `extractor.py` and `vectors.py` make them."""

    decode_version: int
    image: ImageSpec
    engine: str
    engine_version: str
    precision: str
    weights_sha256: str
    cut: str
    view: str = "plain"

    @property
    def digest(self) -> str:
        """The key as a folder's name."""
        return sha256_text(FORMAT_VERSION, *astuple(self))


class FeatureStore:
    """The records of one key: those cached by earlier runs and by other processes, and those this run adds.

    Attributes:
        folder: of the shards
        damaged: number of shards that were not what had been written
    """

    def __init__(self, key: FeatureKey) -> None:
        self._files = cache_folder(SHARD_FILES.name, key.digest)
        self.folder = self._files.path
        self.damaged = 0
        raise_open_file_limit()  # each shard stays open
        self._shards: dict[str, np.ndarray | None] = {}  # opened, by name; None where there is none
        self._loose: dict[bytes, tuple[str, int]] = {}  # shard and position in it of records that no table has
        self._own: dict[str, int] = {}  # bytes of the small shards that this store has written
        self._changing = threading.RLock()
        self._tables = HashTables(self._files, RowKind(key.digest, INDEX_FIELDS))
        self._find_loose()
        self._cached_before = frozenset(self._loose), self._tables.tables

    def refresh(self) -> None:
        """Find what other processes have added meanwhile."""
        with self._changing:
            self._tables.refresh()
            self._find_loose()

    def _find_loose(self) -> None:
        with suppress(OSError):  # a folder that may not be read is as good as empty
            names = {Path(file).stem for file in self._files.sizes(SHARD)}
            for name in sorted(names - self._tables.covers - {name for name, _ in self._loose.values()}):
                self._add_loose(name)

    def find(self, sha256: str) -> FeatureRecord | None:
        """Find the record of a file's bytes, or None."""
        if not self._tables.tables and bytes.fromhex(sha256) not in self._loose:
            return None
        for _, shard, positions in self._locate(as_hashes([sha256])):
            record = shard[positions[0]]
            return FeatureRecord(sha256, record["digest"].tobytes().hex(), record["appearance"], record["values"])
        return None

    def find_positions(self, hashes: np.ndarray) -> np.ndarray:
        """Look many records up and open no shard: positions among `hashes` of those that are cached, ascending.

        Args:
            hashes: of the bytes of files, uint8 (files, 32)
        """
        loose = self._loose
        known = [index for index, key in enumerate(map(bytes, hashes)) if key in loose] if loose else []
        return np.union1d(self._tables.find(hashes)[0], np.array(known, np.int64))

    def find_digests(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find many records at once, and check the shards that they are in.

        Args:
            hashes: of the bytes of files, uint8 (files, 32)

        Returns:
            Positions among `hashes` of those that are cached, ascending, and digests, uint8 (found, 16)
        """
        found, digests = np.zeros(len(hashes), bool), np.zeros((len(hashes), 16), np.uint8)
        for positions, shard, records in self._locate_many(hashes):
            found[positions], digests[positions] = True, shard["digest"][records]
        return np.flatnonzero(found), digests[found]

    def appearances(self, hashes: np.ndarray, field: str = "") -> np.ndarray:
        """Read the appearances of files, or a field of them, in this order.

        Raises:
            KeyError: if some are not cached
        """
        kind = APPEARANCE[field] if field else APPEARANCE
        gathered, count = np.empty(len(hashes), kind), 0
        for positions, shard, records in self._locate_many(hashes):
            column = shard["appearance"][field] if field else shard["appearance"]
            gathered[positions] = column[records]
            count += len(positions)
        _require_all(count, len(hashes))
        return gathered

    def was_cached(self, sha256: str) -> bool:
        """Tell whether the record of a file's bytes was cached before this store was opened."""
        loose, tables = self._cached_before
        if bytes.fromhex(sha256) in loose:
            return True
        rows = [table.find(as_hashes([sha256]))[1] for table in tables]
        return any(self._open(name) is not None for found in rows for name in _names_of(found["shard"]))

    def add(self, records: Sequence[FeatureRecord]) -> None:
        """Write records as one shard. Where it cannot be written, they stay in memory.

        Raises:
            OptionError: if the cache folder is not tlkit's
        """
        if not records:
            return
        shard, name = make_shard(records), f"in memory {len(self._shards)}"
        with suppress(OSError):
            claim_cache(SHARD_FILES)
            self.folder.mkdir(parents=True, exist_ok=True)
            name, shard = write_shard(self.folder, [shard])
            self._files.put(f"{name}.npy")
            self._own[name] = shard.nbytes
        with self._changing:
            self._shards[name] = shard
            self._add_loose(name)
            if sum(self._own.values()) >= JOINED_BYTES:
                self._join(self._own)

    def finish(self) -> None:
        """Join the small shards and those without a table, where they are many; to be called when a run ends."""
        with self._changing:
            loose = {name for name, _ in self._loose.values() if SHARD.fullmatch(f"{name}.npy")}
            names = loose | set(self._small_shards())
            if len(names) >= LOOSE_SHARDS or len(self._loose) >= LOOSE_RECORDS:
                self._join(names)

    def gather(self, sha256: Iterable[str] | np.ndarray, views: np.ndarray | None = None) -> np.ndarray:
        """Read the features of files, in this order: (images, …).

        Args:
            sha256: of the files: hexadecimal, or uint8 (images, 32)
            views: one of each to read, where several are cached; None for all of them

        Raises:
            KeyError: if some are not cached
        """
        hashes = sha256 if isinstance(sha256, np.ndarray) else as_hashes(sha256)
        located = list(self._locate(hashes))
        _require_all(sum(len(positions) for positions, _, _ in located), len(hashes))
        values = [shard["values"] for _, shard, _ in located]
        shape = values[0].shape[1 if views is None else 2 :]
        gathered = np.empty((len(hashes), *shape), np.result_type(*values))
        for (positions, shard, records), column in zip(located, values, strict=True):
            gathered[positions] = column[records] if views is None else column[records, views[positions]]
            if len(hashes) > RELEASED_RECORDS:
                release(shard)
        return gathered

    def _locate_many(self, hashes: np.ndarray) -> Iterator[Located]:
        """Do as `_locate`, some records at a time, and give the pages of each shard back."""
        for start in range(0, len(hashes), LOCATED_RECORDS):
            for positions, shard, records in self._locate(hashes[start : start + LOCATED_RECORDS]):
                yield start + positions, shard, records
                release(shard)

    def _locate(self, hashes: np.ndarray) -> Iterator[Located]:
        """Find records shard by shard; those that are not cached are left out."""
        loose = self._loose
        keys = enumerate(map(bytes, hashes) if loose else ())
        known = [(index, *entry) for index, key in keys if (entry := loose.get(key))]
        others = np.delete(np.arange(len(hashes)), [index for index, _, _ in known])
        found, rows = self._tables.find(hashes[others])
        by_shard = defaultdict[str, list[tuple[np.ndarray, np.ndarray]]](list)
        for index, name, record in known:
            by_shard[name].append((np.array([index]), np.array([record])))
        names, inverse = np.unique(rows["shard"], return_inverse=True)
        members = np.split(np.argsort(inverse, kind="stable"), np.cumsum(np.bincount(inverse))[:-1])
        for name, chosen in zip(_names_of(names), members, strict=False):  # no shards have one empty member
            by_shard[name].append((others[found[chosen]], rows["record"][chosen].astype(np.int64)))
        for name, parts in by_shard.items():
            positions, records = (np.concatenate(columns) for columns in zip(*parts, strict=True))
            is_new = name not in self._shards
            shard = self._open(name)
            if shard is None and is_new:  # another process has joined it with others, or it is damaged
                self.refresh()
                for indices, other, chosen in self._locate(hashes[positions]):
                    yield positions[indices], other, chosen
            elif shard is not None:
                yield positions, shard, records

    def _open(self, name: str) -> np.ndarray | None:
        """Open a shard, checked the first time; None where it is damaged or gone."""
        with self._changing:
            if name not in self._shards:
                self._shards[name] = self._checked(f"{name}.npy")
            return self._shards[name]

    def _checked(self, name: str) -> np.ndarray | None:
        """Map a shard; remove it where it is not what was written, leave it where it cannot be read now."""
        try:
            file = self._files.fetch(name)
            shard = open_shard(file)
            remember_use(file)
            return shard
        except OSError:
            return None
        except (ValueError, IndexError, EOFError):
            self.damaged += 1
            if not (self.folder.is_symlink() or self.folder.parent.is_symlink()):  # else it may lie anywhere
                remove_if_possible(file)
            return None

    def _add_loose(self, name: str) -> None:
        if (shard := self._open(name)) is not None:
            hashes = np.ascontiguousarray(shard["sha256"])
            self._loose.update((key.tobytes(), (name, position)) for position, key in enumerate(hashes))
            release(shard)

    def _small_shards(self) -> Iterator[str]:
        with suppress(OSError):
            yield from (Path(name).stem for name, size in self._files.sizes(SHARD).items() if size < JOINED_BYTES // 8)

    def _join(self, names: Iterable[str]) -> None:
        """Make large shards of small ones, and a table that finds all their records; then remove the small ones."""
        rows, covers, joined = list[np.ndarray](), list[str](), set[str]()
        with suppress(OSError):
            opened = [(name, shard) for name in sorted(names) if (shard := self._open(name)) is not None]
            for group in group_shards(opened, JOINED_BYTES):
                name, shard = group[0]
                if len(group) > 1:
                    name, shard = write_shard(self.folder, distinct([shard for _, shard in group]))
                    self._files.put(f"{name}.npy")
                    self._shards[name] = shard
                columns: dict[str, Any] = {
                    "digest": shard["digest"],
                    "shard": bytes.fromhex(name),
                    "record": np.arange(len(shard)),
                }
                rows.append(self._tables.kind.make_rows(shard["sha256"], **columns))
                covers.append(name)
                release(shard)
                joined.update(name for name, _ in group)
            gone = joined - set(covers)
            if rows:
                self._tables.add(np.concatenate(rows), covers, gone)
            self._loose = {key: entry for key, entry in self._loose.items() if entry[0] not in joined}
            self._own = {name: size for name, size in self._own.items() if name not in joined}
            for name in gone:
                del self._shards[name]
                self._files.remove(f"{name}.npy")


def count_cached() -> dict[str, int]:
    """Count the keys that have features, and their records."""
    folders, num_records = set[Path](), 0
    for file in owned_files(cache_dir() / SHARD_FILES.name, SHARD_FILES.owned):
        with suppress(OSError, ValueError):
            if SHARD.fullmatch(file.name):
                num_records += count_records(file)
                folders.add(file.parent)
    return {"keys": len(folders), "records": num_records}


def cached_fraction(files: Sequence[Location], key: FeatureKey) -> float:
    """Judge by some of the files for how many of them features are cached."""
    if not (sample := files[:: max(1, -(-len(files) // SAMPLED_FILES))]):
        return 0.0
    store = FeatureStore(key)
    known, rows = FileMemory(HASHES).recall(sample)
    hashes = dict(zip(known.tolist(), (row.tobytes().hex() for row in rows["sha256"]), strict=True))
    hashes |= {k: digest for k, file in enumerate(sample) if k not in hashes and (digest := hash_of(file))}
    return sum(map(store.was_cached, hashes.values())) / len(sample)


def as_half(features: np.ndarray) -> np.ndarray:
    """Convert features to float16, unless one of them overflows there."""
    with np.errstate(over="ignore"):
        half = features.astype(np.float16)
    return half if np.isfinite(half).all() else features


def _require_all(num_found: int, num_asked: int) -> None:
    """Check that no record is missing, with a KeyError"""
    if num_found < num_asked:
        raise KeyError("features that are not in the cache any more; repeat the command.")


def _names_of(shards: np.ndarray) -> list[str]:
    """Give the names of shards in a table, whose last zeros NumPy leaves out."""
    return [name.ljust(16, b"\0").hex() for name in shards.tolist()]
