"""What a frozen network gives for each image, computed once and kept: the heart of tlkit's speed.

Rows live in shards under `TLKIT_CACHE/features/<key>/`, each shard whole or absent and checked
when it is opened. The key says everything the values depend on but the image; within a key a row
is found by the SHA-256 of the image file's bytes.
"""

import hashlib
import io
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from tlkit.utils.files import atomic_write, cache_dir, claim_cache, is_regular, raise_open_file_limit, sha256_text

SHARD_ROWS = 512
SHARD_BYTES = 32 << 20  # a shard is written when either is reached
FORMAT_VERSION = 1
SHARD = re.compile(r"[0-9a-f]{32}\.npy")


@dataclass(frozen=True)
class FeatureKey:
    """Everything features depend on but the image itself."""

    decode_version: int
    resize: str
    image_size: int
    engine: str
    engine_version: str
    precision: str
    weights_sha256: str
    cut: str
    view: str = "plain"

    @property
    def digest(self) -> str:
        """The key as a file name."""
        return sha256_text(FORMAT_VERSION, *astuple(self))


@dataclass(frozen=True)
class FeatureRecord:
    """One image's features.

    sha256  of the file's bytes, hexadecimal
    group   of its pixels, hexadecimal
    values  float32, float16 or uint8, the shape at the cut
    """

    sha256: str
    group: str
    values: np.ndarray


class FeatureStore:
    """The rows of one key: those kept by earlier runs, and those this run adds."""

    def __init__(self, key: FeatureKey) -> None:
        self.folder = cache_dir() / "features" / key.digest
        self.damaged = 0
        raise_open_file_limit()  # each shard is one, for as long as its rows may be asked for
        self._rows: dict[bytes, tuple[np.ndarray, int]] = {}
        for file in sorted(self.folder.glob("*.npy")):
            if SHARD.fullmatch(file.name) and is_regular(file):  # whatever else is there is somebody's
                self._open(file)
        self._earlier = frozenset(self._rows)

    def find(self, sha256: str) -> FeatureRecord | None:
        """The row of a file's bytes, or None."""
        place = self._rows.get(bytes.fromhex(sha256))
        if place is None:
            return None
        shard, position = place
        record = shard[position]
        return FeatureRecord(sha256, record["group"].tobytes().hex(), record["values"])

    def is_earlier(self, sha256: str) -> bool:
        """Whether the row of a file's bytes was kept before this table was opened."""
        return bytes.fromhex(sha256) in self._earlier

    def add(self, rows: list[FeatureRecord]) -> None:
        """Keep rows as one shard. Where the disk does not take it, they stay in memory.

        raises: OptionError where the cache folder is not tlkit's
        """
        if not rows:
            return
        shard = _as_records(rows)
        content = _as_npy(shard)
        with suppress(OSError):
            claim_cache()
            self.folder.mkdir(parents=True, exist_ok=True)
            file = self.folder / f"{_checksum(content)}.npy"
            atomic_write(file, content)
            shard = _mapped(file, content)
        self._index(shard)

    def gather(self, sha256: Iterable[str]) -> np.ndarray:
        """The values of these files' rows, in this order: (images, …)."""
        rows = [self._rows[bytes.fromhex(digest)] for digest in sha256]
        return np.stack([shard[position]["values"] for shard, position in rows])

    def gather_views(self, sha256: Iterable[str], views: Iterable[int]) -> np.ndarray:
        """One view of each of these files' rows: (images, …)."""
        rows = [self._rows[bytes.fromhex(digest)] for digest in sha256]
        return np.stack([shard[position]["values"][view] for (shard, position), view in zip(rows, views, strict=True)])

    def _open(self, file: Path) -> None:
        """Take in a shard; remove it where it is not what was written, leave it where it cannot be read now."""
        try:
            content = file.read_bytes()
        except OSError:
            return
        if _checksum(content) == file.stem:
            self._index(_mapped(file, content))
            return
        self.damaged += 1
        if not (self.folder.is_symlink() or self.folder.parent.is_symlink()):  # else it may lie anywhere
            with suppress(OSError):
                file.unlink()

    def _index(self, shard: np.ndarray) -> None:
        keys = np.ascontiguousarray(shard["sha256"])
        self._rows.update((key.tobytes(), (shard, position)) for position, key in enumerate(keys))


class StoredFeatures:
    """Rows of a table that stay on disk: indexing reads as many as are asked for.

    In epoch e an image that is kept in several views shows view (its position + e) modulo their
    number, so that every view comes once before any comes again.
    """

    def __init__(self, table: FeatureStore, sha256: Sequence[str], num_views: int = 0, epoch: int = 0) -> None:
        self._table, self._num_views, self._epoch = table, num_views, epoch
        self._sha256 = np.array(sha256)

    def __len__(self) -> int:
        return len(self._sha256)

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        digests = self._sha256[rows].tolist()
        if not self._num_views:
            return self._table.gather(digests)
        positions = np.arange(len(self))[rows]
        return self._table.gather_views(digests, ((positions + self._epoch) % self._num_views).tolist())

    def in_epoch(self, epoch: int) -> "StoredFeatures":
        """The same images, as they are seen in an epoch."""
        return StoredFeatures(self._table, self._sha256.tolist(), self._num_views, epoch)


def as_half(values: np.ndarray) -> np.ndarray:
    """The same values in float16, unless one of them overflows there."""
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    return half if np.isfinite(half).all() else values


def _as_records(rows: list[FeatureRecord]) -> np.ndarray:
    precision = np.result_type(*{row.values.dtype for row in rows})
    kind = np.dtype([("sha256", "u1", (32,)), ("group", "u1", (16,)), ("values", precision, rows[0].values.shape)])
    records = np.empty(len(rows), kind)
    for record, row in zip(records, rows, strict=True):
        record["sha256"] = np.frombuffer(bytes.fromhex(row.sha256), np.uint8)
        record["group"] = np.frombuffer(bytes.fromhex(row.group), np.uint8)
        record["values"] = row.values
    return records


def _as_npy(records: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, records, allow_pickle=False)
    return buffer.getvalue()


def _mapped(file: Path, content: bytes) -> np.ndarray:
    """A shard left on disk; in memory where no more files can be open."""
    try:
        mapped: np.ndarray = np.load(file, mmap_mode="r")
    except OSError:
        return np.asarray(np.load(io.BytesIO(content), allow_pickle=False))
    return mapped


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
