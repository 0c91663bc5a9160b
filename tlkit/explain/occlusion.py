"""Occlusion: what happens to a class when a part of the image is covered (Zeiler and Fergus 2014)."""

from collections.abc import Callable

import numpy as np

from tlkit.models.map_grid import MapGrid

Classify = Callable[[np.ndarray], np.ndarray]  # uint8 (images, size, size, 3) to probabilities (images, classes)
NUM_STEPS = 12  # positions of the cover in each direction
COVER = 4  # side of the cover, in steps: a third of the image; less leaves parts of most things to be recognized
CHUNK = 24  # images at a time


class Occlusion:
    """The loss of probability where a gray square covers the image; it needs nothing but answers.

    Attributes:
        name, grid: see `HeatMethod`
    """

    name = "occlusion"
    grid: MapGrid | None = None

    def __init__(self, classify: Classify) -> None:
        self._classify = classify

    def heat(self, pixels: np.ndarray, label: int) -> np.ndarray:
        """Compute the heat map: float32 (`NUM_STEPS`, `NUM_STEPS`).

        A position's value is the mean fall of the logarithm of the class's probability, over the covers that hide it.
        """
        size = len(pixels)
        steps = min(NUM_STEPS, size)
        edges = np.linspace(0, size, steps + 1)
        gray = pixels.reshape(-1, 3).mean(axis=0).astype(np.uint8)  # no edge in brightness or color
        corners = [(row, column) for row in range(1 - COVER, steps) for column in range(1 - COVER, steps)]
        falls, counts = np.zeros((steps, steps), np.float64), np.zeros((steps, steps), np.int64)
        before = self._log_probability(pixels[None], label)[0]
        for start in range(0, len(corners), CHUNK):
            some = corners[start : start + CHUNK]
            covered = np.repeat(pixels[None], len(some), axis=0)
            cells = [tuple(slice(max(0, first), first + COVER) for first in corner) for corner in some]
            for image, (rows, columns) in zip(covered, cells, strict=True):
                top, bottom = (round(edges[min(end, steps)]) for end in (rows.start, rows.stop))
                left, right = (round(edges[min(end, steps)]) for end in (columns.start, columns.stop))
                image[top:bottom, left:right] = gray
            for cell, after in zip(cells, self._log_probability(covered, label), strict=True):
                falls[cell] += before - after
                counts[cell] += 1
        return np.maximum(falls / counts, 0).astype(np.float32)

    def _log_probability(self, pixels: np.ndarray, label: int) -> np.ndarray:
        return np.log(np.maximum(self._classify(pixels)[:, label].astype(np.float64), 1e-12))
