"""Histograms of oriented gradients (Dalal and Triggs 2005, CVPR): the edges of each part of a picture."""

import numpy as np

from tlkit.shallow.directions import bin_sums, direction_maps, scaled, windows

DIRECTIONS = 12  # of a whole turn, so that bright on dark is not dark on bright
CELL, BLOCK = 16, 3  # pixels of a cell's side, cells of a block's side
LARGEST = 0.2  # of a block's length, for one cell and direction (their L2-Hys)
FAINT = 1e-3  # blocks with less gradient per pixel, of 0 to 1, are flat


def oriented_gradients(grey: np.ndarray) -> np.ndarray:
    """Every block of cells, one cell apart, each of length 1 before its square root is taken (Arandjelović 2012).

    grey: float32 (height, width), 0 to 1
    returns: float32 (blocks down × blocks across × 108,); zero where a block is flat
    """
    blocks = windows(bin_sums(direction_maps(grey, DIRECTIONS), CELL), BLOCK, 1)
    faint = blocks.sum(axis=-1, keepdims=True) < FAINT * (BLOCK * CELL) ** 2
    values = scaled(np.minimum(scaled(blocks, 2), LARGEST), 2)
    rooted: np.ndarray = np.sqrt(np.where(faint, 0, values)).astype(np.float32)
    return rooted.ravel()
