"""Occlusion: what happens to a class when a part of the image is hidden (Zeiler and Fergus 2014)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tlkit.models.map_grid import MapGrid

NUM_STEPS = 12  # positions of the window in each direction
WIDTH = 4  # side of the window, in steps: a third of the image; less leaves parts of most things to be recognized
CHUNK = 24  # windows at a time

Classify = Callable[[np.ndarray], np.ndarray]  # uint8 (images, size, size, 3) to probabilities (images, classes)


@dataclass(frozen=True)
class Window:
    """A hidden part of an image: edges as fractions of its sides."""

    top: float = 0.0
    bottom: float = 0.0
    left: float = 0.0
    right: float = 0.0

    def slices(self, size: int) -> tuple[slice, slice]:
        """Give rows and columns of a square of some size in pixels."""
        edges = [round(edge * size) for edge in (self.top, self.bottom, self.left, self.right)]
        return slice(*edges[:2]), slice(*edges[2:])

    def contains(self, across: np.ndarray, down: np.ndarray) -> np.ndarray:
        """Tell which points lie in the window, from their fractions of both sides."""
        is_between = (self.left <= across) & (across < self.right)
        return np.asarray(is_between & (self.top <= down) & (down < self.bottom))


def slide_window(probability_of: Callable[[Sequence[Window]], np.ndarray], steps: int = NUM_STEPS) -> np.ndarray:
    """Slide a window over an image, and see where hiding it costs a class its probability.

    Args:
        probability_of: computes the probability of the class with each of some windows hidden
        steps: positions in each direction

    Returns:
        float32 (steps, steps): the mean fall of the logarithm of the probability, over the windows at each position
    """
    corners = [(row, column) for row in range(1 - WIDTH, steps) for column in range(1 - WIDTH, steps)]
    cells = [tuple(slice(max(0, first), min(steps, first + WIDTH)) for first in corner) for corner in corners]
    windows = [
        Window(rows.start / steps, rows.stop / steps, columns.start / steps, columns.stop / steps)
        for rows, columns in cells
    ]
    chunks = [windows[start : start + CHUNK] for start in range(0, len(windows), CHUNK)]
    before, *after = np.log(
        np.maximum(np.concatenate([probability_of(some) for some in ([Window()], *chunks)]).astype(np.float64), 1e-12)
    )
    falls, counts = np.zeros((steps, steps)), np.zeros((steps, steps), np.int64)
    for cell, value in zip(cells, after, strict=True):
        falls[cell] += before - value
        counts[cell] += 1
    return np.maximum(falls / counts, 0).astype(np.float32)


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
        """Compute the heat map: float32 (`NUM_STEPS`, `NUM_STEPS`), fewer of a smaller image."""
        gray = pixels.reshape(-1, 3).mean(axis=0).astype(np.uint8)  # of the image's own brightness and color

        def probability_of(windows: Sequence[Window]) -> np.ndarray:
            """Cover the image, and classify."""
            covered = np.repeat(pixels[None], len(windows), axis=0)
            for image, window in zip(covered, windows, strict=True):
                image[window.slices(len(pixels))] = gray
            return self._classify(covered)[:, label]

        return slide_window(probability_of, min(NUM_STEPS, len(pixels)))
