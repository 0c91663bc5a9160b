"""Features of images on disk: computed once, cached, and found by the content of the image file.

Records live in shards under `TLKIT_CACHE/features/<key>/`, each shard whole or absent and checked
when it is opened. The key holds everything the features depend on but the image; within a key a
record is found by the SHA-256 of the image file's bytes.
"""

import hashlib
import io
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from tlkit.data.appearance import APPEARANCE
from tlkit.data.image import ImageSpec
from tlkit.utils.cache import KEY, CachePart, cache_dir, claim_cache
from tlkit.utils.files import TEMPORARY, Owned, atomic_write, is_regular, sha256_file, sha256_text
from tlkit.utils.process import raise_open_file_limit

FORMAT_VERSION = 3
SAMPLED_FILES = 64  # that tell which fraction of a folder is cached
SHARD_ROWS = 512
SHARD_BYTES = 32 << 20  # a shard is written when either is reached
SHARD = re.compile(r"[0-9a-f]{32}\.npy")  # a shard's name: the SHA-256 of its key and bytes, shortened
SHARD_FILES = CachePart(
    "features", Owned(re.compile(rf"{KEY}/(?:{SHARD.pattern}|{TEMPORARY.pattern})"), re.compile(KEY))
)


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


@dataclass(frozen=True)
class FeatureRecord:
    """One image's features.

    Attributes:
        sha256: of the file's bytes, hexadecimal
        digest: of its pixels, hexadecimal
        appearance: an `APPEARANCE`
        values: float32, float16 or uint8, of the shape at the cut
    """

    sha256: str
    digest: str
    appearance: np.void
    values: np.ndarray


class FeatureStore:
    """The records of one key: those cached by earlier runs, and those this run adds.

    Attributes:
        folder: of the shards
        damaged: number of shards that were not what had been written
    """

    def __init__(self, key: FeatureKey) -> None:
        self.folder = cache_dir() / SHARD_FILES.name / key.digest
        self.damaged = 0
        raise_open_file_limit()  # each shard stays open
        self._index: dict[bytes, tuple[np.ndarray, int]] = {}  # shard and position in it, by SHA-256
        shards = list[Path]()
        with suppress(OSError):  # a folder that may not be read is as good as empty
            shards = sorted(self.folder.glob("*.npy"))
        for file in shards:
            if SHARD.fullmatch(file.name) and is_regular(file):  # other files are not tlkit's
                self._open_shard(file)
        self._cached_before = frozenset(self._index)

    def find(self, sha256: str) -> FeatureRecord | None:
        """Find the record of a file's bytes, or None."""
        if (entry := self._index.get(bytes.fromhex(sha256))) is None:
            return None
        shard, position = entry
        record = shard[position]
        return FeatureRecord(sha256, record["digest"].tobytes().hex(), record["appearance"], record["values"])

    def was_cached(self, sha256: str) -> bool:
        """Tell whether the record of a file's bytes was cached before this store was opened."""
        return bytes.fromhex(sha256) in self._cached_before

    def add(self, records: list[FeatureRecord]) -> None:
        """Write records as one shard. Where it cannot be written, they stay in memory.

        Raises:
            OptionError: if the cache folder is not tlkit's
        """
        if not records:
            return
        shard = _make_shard(records)
        buffer = io.BytesIO()
        np.save(buffer, shard, allow_pickle=False)
        content = buffer.getvalue()
        with suppress(OSError):
            claim_cache(SHARD_FILES)
            self.folder.mkdir(parents=True, exist_ok=True)
            file = self.folder / f"{self._checksum(content)}.npy"
            atomic_write(file, content)
            shard = _memory_map(file, content)
        self._add_to_index(shard)

    def gather(self, sha256: Iterable[str]) -> np.ndarray:
        """Read the features of these files, in this order: (images, …)."""
        entries = [self._index[bytes.fromhex(digest)] for digest in sha256]
        return np.stack([shard[position]["values"] for shard, position in entries])

    def gather_views(self, sha256: Iterable[str], views: Iterable[int]) -> np.ndarray:
        """Read one view of each of these files: (images, …)."""
        entries = [self._index[bytes.fromhex(digest)] for digest in sha256]
        return np.stack(
            [shard[position]["values"][view] for (shard, position), view in zip(entries, views, strict=True)]
        )

    def _open_shard(self, file: Path) -> None:
        """Index a shard; remove it where it is not what was written, leave it where it cannot be read now."""
        try:
            content = file.read_bytes()
        except OSError:
            return
        with suppress(ValueError, IndexError, EOFError):  # it is no table of records
            if self._checksum(content) == file.stem:
                self._add_to_index(_memory_map(file, content))
                return
        self.damaged += 1
        if not (self.folder.is_symlink() or self.folder.parent.is_symlink()):  # else it may lie anywhere
            with suppress(OSError):
                file.unlink()

    def _checksum(self, content: bytes) -> str:
        """Hash a shard's bytes and the key, so that a shard in the folder of another key counts as damaged."""
        return hashlib.sha256(self.folder.name.encode() + content).hexdigest()[:32]

    def _add_to_index(self, shard: np.ndarray) -> None:
        keys = np.ascontiguousarray(shard["sha256"])
        self._index.update((key.tobytes(), (shard, position)) for position, key in enumerate(keys))


def cached_fraction(files: Sequence[Path], key: FeatureKey) -> float:
    """Judge by some of the files for how many of them features are cached."""
    if not (sample := files[:: max(1, -(-len(files) // SAMPLED_FILES))]):
        return 0.0
    store = FeatureStore(key)
    return sum(store.was_cached(sha256_file(file)) for file in sample if file.is_file()) / len(sample)


class StoredFeatures:
    """Features of some images that stay on disk: indexing by positions reads those: (images, …).

    In epoch e an image that is cached in several views shows view (its position + e) modulo their
    number, so that every view comes once before any comes again.
    """

    def __init__(self, store: FeatureStore, sha256: Sequence[str], num_views: int = 0, epoch: int = 0) -> None:
        self._store, self._num_views, self._epoch = store, num_views, epoch
        self._sha256 = np.array(sha256)

    def __len__(self) -> int:
        return len(self._sha256)

    def __getitem__(self, indices: np.ndarray | slice) -> np.ndarray:
        digests = self._sha256[indices].tolist()
        if not self._num_views:
            return self._store.gather(digests)
        positions = np.arange(len(self))[indices]
        return self._store.gather_views(digests, ((positions + self._epoch) % self._num_views).tolist())

    def in_epoch(self, epoch: int) -> "StoredFeatures":
        """Take the same images as an epoch sees them."""
        return StoredFeatures(self._store, self._sha256.tolist(), self._num_views, epoch)


def as_half(features: np.ndarray) -> np.ndarray:
    """Convert features to float16, unless one of them overflows there."""
    with np.errstate(over="ignore"):
        half = features.astype(np.float16)
    return half if np.isfinite(half).all() else features


def _make_shard(records: list[FeatureRecord]) -> np.ndarray:
    precision = np.result_type(*{record.values.dtype for record in records})
    shape = records[0].values.shape
    kinds = [("sha256", "u1", (32,)), ("digest", "u1", (16,)), ("appearance", APPEARANCE), ("values", precision, shape)]
    shard = np.empty(len(records), kinds)
    for entry, record in zip(shard, records, strict=True):
        entry["sha256"] = np.frombuffer(bytes.fromhex(record.sha256), np.uint8)
        entry["digest"] = np.frombuffer(bytes.fromhex(record.digest), np.uint8)
        entry["appearance"] = record.appearance
        entry["values"] = record.values
    return shard


def _memory_map(file: Path, content: bytes) -> np.ndarray:
    """Map a shard's file, or load it into memory where no more files can be open."""
    try:
        mapped: np.ndarray = np.load(file, mmap_mode="r")
    except OSError:
        return np.asarray(np.load(io.BytesIO(content), allow_pickle=False))
    return mapped
