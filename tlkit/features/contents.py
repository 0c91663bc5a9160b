"""Findings of a pass over files: hashes in arrays, reasons of files that cannot be read."""

from typing import NamedTuple

import numpy as np

from tlkit.cache.hash_table import HexColumn
from tlkit.data.appearance import APPEARANCE, Appearances
from tlkit.data.folder import ImageFolder
from tlkit.data.listing import FileEntry
from tlkit.errors import ImageError
from tlkit.features.store import FeatureStore
from tlkit.features.stored import StoredAppearances

MAX_IN_MEMORY = 256 << 20  # bytes of features, pixels or appearances that a training holds in memory


class FileHashes(NamedTuple):
    """SHA-256 of a file's bytes, and the digest of its pixels, hexadecimal."""

    sha256: str
    digest: str


HashesOrError = FileHashes | ImageError


class Contents:
    """Findings of a pass in its files, in arrays: an object for each would take half a kilobyte more."""

    def __init__(self, num_files: int) -> None:
        self.is_known = np.zeros(num_files, bool)
        self._sha256 = np.zeros((num_files, 32), np.uint8)
        self._digests = np.zeros((num_files, 16), np.uint8)
        self._errors = dict[int, str]()

    @property
    def count(self) -> int:
        """The number of files that were read or are known."""
        return int(self.is_known.sum())

    def put(self, position: int, row: HashesOrError) -> None:
        """Add a file that was read."""
        self.is_known[position] = True
        if isinstance(row, ImageError):
            self._errors[position] = str(row)
        else:
            self._sha256[position] = np.frombuffer(bytes.fromhex(row.sha256), np.uint8)
            self._digests[position] = np.frombuffer(bytes.fromhex(row.digest), np.uint8)

    def put_many(self, positions: np.ndarray, sha256: np.ndarray, digests: np.ndarray) -> None:
        """Add files that need not be read."""
        self.is_known[positions], self._sha256[positions], self._digests[positions] = True, sha256, digests

    def readable(self, folder: ImageFolder, store: FeatureStore) -> ImageFolder:
        """Keep the images that could be read, with their hashes; the others are skipped with their reasons."""
        if not self._errors:
            return folder.with_contents(*self._columns(slice(None), store))
        skipped = [FileEntry(folder.paths[position], reason) for position, reason in sorted(self._errors.items())]
        kept = np.delete(np.arange(len(folder)), list(self._errors))
        readable = folder.readable(kept).with_contents(*self._columns(kept, store))
        return readable.with_skipped([*folder.skipped, *skipped])

    def _columns(self, kept: slice | np.ndarray, store: FeatureStore) -> tuple[HexColumn, HexColumn, Appearances]:
        hashes = self._sha256[kept]
        is_small = len(hashes) * APPEARANCE.itemsize <= MAX_IN_MEMORY
        looks = store.appearances(hashes) if is_small else StoredAppearances(store, hashes)
        return HexColumn(hashes), HexColumn(self._digests[kept]), looks
