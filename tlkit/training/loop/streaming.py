"""Features that do not fit into memory: an epoch reads them in windows, each of pieces from everywhere on the disk.

Images lie on the disk in the order of their paths, class by class. A window gets one piece of each stretch of that
order, so it has the classes in the proportions of all images; its images are then shuffled. Which piece goes to which
window depends on the seed and the epoch alone, so a resumed training sees the same (docs/decisions/056).
"""

import math
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np

WINDOW_BYTES = 256 << 20  # in memory, twice: the next window is read while one is in use
PIECE_BYTES = 256 << 10  # read from one place


class Stored(Protocol):
    """Features of images by position, on the disk."""

    def __len__(self) -> int:
        """Give the number of images."""

    def __getitem__(self, indices: Any) -> np.ndarray:
        """Read (images, …)."""

    def in_epoch(self, epoch: int) -> "Stored":
        """Take the same images as an epoch sees them."""


class StreamedFeatures:
    """Features on the disk that an epoch goes through with two windows in memory."""

    def __init__(self, stored: Stored, window_bytes: int = WINDOW_BYTES, piece_bytes: int = PIECE_BYTES) -> None:
        image_bytes = stored[:1].nbytes
        self._stored = stored
        self._piece = max(1, piece_bytes // image_bytes)
        self._num_pieces = math.ceil(len(stored) / self._piece)
        self._num_windows = min(self._num_pieces, math.ceil(len(stored) * image_bytes / window_bytes))

    def __getitem__(self, indices: Any) -> np.ndarray:
        """Read some images: (images, …)."""
        return self._stored[indices]

    def shuffled(self, seed: int, epoch: int) -> tuple["Windows", np.ndarray]:
        """Give the features as an epoch sees them, and all positions in the order in which they are read fastest.

        Where one window holds all, it is the order of features in memory.
        """
        random = np.random.default_rng((seed, epoch))
        assigned = assign_windows(self._num_pieces, self._num_windows, random)
        windows = Windows(self._stored.in_epoch(epoch), self._piece, assigned)
        order, start = np.empty(len(self._stored), np.int64), 0
        for number in range(self._num_windows):
            positions = windows.positions(number)
            random.shuffle(positions)
            order[start : start + len(positions)] = positions
            start += len(positions)
        return windows, order


def assign_windows(num_pieces: int, num_windows: int, random: np.random.Generator) -> np.ndarray:
    """Choose the window of each piece: as many successive pieces as there are windows go to a different one each.

    >>> sorted(assign_windows(6, 3, np.random.default_rng(0))[3:].tolist())
    [0, 1, 2]
    """
    rounds = np.tile(np.arange(num_windows), (math.ceil(num_pieces / num_windows), 1))
    assigned: np.ndarray = (random.permuted(rounds, axis=1) if num_windows > 1 else rounds).ravel()[:num_pieces]
    return assigned


class Windows:
    """Features as one epoch sees them. Those of a window and the next one are in memory, in the order of windows."""

    def __init__(self, stored: Stored, piece: int, assigned: np.ndarray) -> None:
        """Begin to read the first window.

        Args:
            piece: images of one
            assigned: the window of each piece
        """
        self._stored, self._piece, self._assigned = stored, piece, assigned
        self._pieces = np.argsort(assigned, kind="stable")
        self._ends = np.cumsum(np.bincount(assigned)).tolist()
        self._thread, self._number, self._reading = ThreadPoolExecutor(1), 0, dict[int, Future[Window]]()

    def positions(self, number: int) -> np.ndarray:
        """Give the positions of the images of a window, in their order."""
        pieces = self._pieces[self._ends[number - 1] if number else 0 : self._ends[number]]
        positions: np.ndarray = (pieces[:, np.newaxis] * self._piece + np.arange(self._piece)).ravel()
        return positions[positions < len(self._stored)]

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        """Read some images: (images, …)."""
        windows = self._assigned[indices // self._piece]
        parts = [np.flatnonzero(windows == number) for number in np.unique(windows)]
        rows = np.concatenate([self._read(windows[part[0]], indices[part]) for part in parts])
        return rows[np.argsort(np.concatenate(parts))] if len(parts) > 1 else rows

    def _read(self, number: int, indices: np.ndarray) -> np.ndarray:
        """Read images of one window: those of another than this and the next one are read alone."""
        if number not in (self._number, self._number + 1):
            return self._stored[indices]
        self._number = number
        wanted = [near for near in (number, number + 1) if near < len(self._ends)]
        self._reading = {near: self._reading.get(near) or self._thread.submit(self._load, near) for near in wanted}
        positions, rows = self._reading[number].result()
        return rows[np.searchsorted(positions, indices)]

    def _load(self, number: int) -> "Window":
        positions = self.positions(number)
        return positions, self._stored[positions]


Window = tuple[np.ndarray, np.ndarray]  # positions of images, and their features
