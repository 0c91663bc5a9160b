"""Features and appearances that stay on disk and read like arrays."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tlkit.cache.hash_table import as_hashes
from tlkit.features.store import FeatureStore


class StoredFeatures:
    """Features of some images that stay on disk: indexing by positions reads those: (images, …).

    In epoch e an image that is cached in several views shows view (its position + e) modulo their
    number, so that every view comes once before any comes again.

    Attributes:
        hashes: of the files, uint8 (images, 32)
    """

    def __init__(
        self, store: FeatureStore, sha256: Sequence[str] | np.ndarray, num_views: int = 0, epoch: int = 0
    ) -> None:
        self._store, self._num_views, self._epoch = store, num_views, epoch
        self.hashes = sha256 if isinstance(sha256, np.ndarray) else as_hashes(sha256)

    def __len__(self) -> int:
        return len(self.hashes)

    def __getitem__(self, indices: np.ndarray | slice) -> np.ndarray:
        hashes = self.hashes[indices]
        if not self._num_views:
            return self._store.gather(hashes)
        positions = np.arange(len(self))[indices]
        return self._store.gather(hashes, (positions + self._epoch) % self._num_views)

    def in_epoch(self, epoch: int) -> "StoredFeatures":
        """Take the same images as an epoch sees them."""
        return StoredFeatures(self._store, self.hashes, self._num_views, epoch)


class StoredAppearances:
    """Appearances that stay on disk, where they are many: as of an array of `APPEARANCE`s, positions give some of them.

    The name of a field gives its values of all.
    """

    def __init__(self, store: FeatureStore, hashes: np.ndarray) -> None:
        self._store, self._hashes = store, hashes

    def __len__(self) -> int:
        return len(self._hashes)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, str):
            return self._store.appearances(self._hashes, index)
        return StoredAppearances(self._store, self._hashes[index])
