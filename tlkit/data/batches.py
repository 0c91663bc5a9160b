"""Pictures that are augmented anew in every epoch, batch by batch, on every core."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from tlkit.data.augment import Augmentation, augmented_view, random_of
from tlkit.workers import count_workers


class AugmentedRows:
    """Indexing gives one view of each image asked for: uint8 (images, image_size, image_size, 3).

    working: anything that gives uint8 (images, side, side, 3) by position, such as `KeptRows`
    sha256: of each image; with the seed and the epoch it decides every draw
    """

    def __init__(
        self,
        working: Any,
        sha256: Sequence[str],
        augmentation: Augmentation,
        image_size: int,
        seed: int,
        epoch: int = 0,
    ) -> None:
        self._parts = working, sha256, augmentation, image_size, seed
        self._epoch = epoch
        self._pool = ThreadPoolExecutor(count_workers())

    def __len__(self) -> int:
        return len(self._parts[1])

    def in_epoch(self, epoch: int) -> "AugmentedRows":
        """The same images, as they are seen in an epoch."""
        return AugmentedRows(*self._parts, epoch)

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        working, sha256, augmentation, image_size, seed = self._parts

        def view(row: int, picture: np.ndarray) -> np.ndarray:
            return augmented_view(picture, image_size, augmentation, random_of(seed, self._epoch, sha256[row]))

        positions = np.arange(len(self))[rows]
        return np.stack(list(self._pool.map(view, positions.tolist(), working[positions])))
