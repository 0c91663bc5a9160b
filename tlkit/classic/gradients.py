"""How brightness rises in each direction around each point of a grid: what SIFT and HOG are made from.

A bin sums the gradients of one direction under a triangle around its centre, so that a gradient between two
bins belongs to both. On a grid the bins of all patches share a few rows and columns of centres, and the sums
are A · E · Aᵀ for the map E of each direction (the "flat window" of Vedaldi and Fulkerson's VLFeat, 2008):
some milliseconds an image, in compiled code that does not hold the interpreter.
"""

from functools import cache

import numpy as np


def orientation_maps(grey: np.ndarray, directions: int) -> np.ndarray:
    """How much of a picture's gradient points each way, shared by the two nearest of some directions.

    grey: float32 (height, width), 0 to 1
    returns: float32 (directions, height, width); direction k points k / directions of a turn from right to down
    """
    down, across = np.gradient(grey)
    place = np.arctan2(down, across) % (2 * np.pi) * (directions / (2 * np.pi))
    strength = np.hypot(down, across)
    away = np.abs(place - np.arange(directions, dtype=np.float32)[:, None, None])
    share = np.maximum(0, 1 - np.minimum(away, directions - away))
    maps: np.ndarray = (share * strength).astype(np.float32)
    return maps


def pool_orientations(maps: np.ndarray, bin_size: int) -> np.ndarray:
    """What lies in each bin of a grid that fills a picture: (rows, columns, directions).

    maps: what `direction_maps` gives for it
    bin_size: side of a bin, in pixels; its triangle is twice as wide
    """
    down, across = (_triangles(length, bin_size) for length in maps.shape[1:])
    sums = np.einsum("ph,ohw->opw", down, maps, optimize=True) @ across.T
    return np.moveaxis(sums, 0, -1)


def sliding_blocks(sums: np.ndarray, bins: int, stride: int) -> np.ndarray:
    """Squares of some bins, one bin or more apart: (rows, columns, bins × bins × directions)."""
    found = np.lib.stride_tricks.sliding_window_view(sums, (bins, bins), axis=(0, 1))
    found = np.moveaxis(found[::stride, ::stride], 2, -1)
    return found.reshape(*found.shape[:2], -1)


def normalize(values: np.ndarray, order: int) -> np.ndarray:
    """Each window of length 1, by its norm of some order; nothing stays nothing."""
    lengths = np.linalg.norm(values, ord=order, axis=-1, keepdims=True)
    unit: np.ndarray = values / np.maximum(lengths, 1e-12)
    return unit


@cache
def _triangles(length: int, bin_size: int) -> np.ndarray:
    """The weight of each pixel for each bin along one side: float32 (bins, length)."""
    centres = bin_size * (np.arange(length // bin_size) + 0.5) - 0.5
    away = np.abs(np.arange(length) - centres[:, None])
    weights: np.ndarray = np.maximum(0, 1 - away / bin_size).astype(np.float32)
    return weights


HOG_ORIENTATIONS = 12  # of a whole turn, so that bright on dark is not dark on bright
HOG_CELL, HOG_BLOCK = 16, 3  # pixels of a cell's side, cells of a block's side
HOG_CLIP = 0.2  # of a block's length, for one cell and direction (their L2-Hys)
HOG_FLAT = 1e-3  # blocks with less gradient per pixel, of 0 to 1, are flat


def hog(grey: np.ndarray) -> np.ndarray:
    """Every block of cells, one cell apart, each of length 1 before its square root is taken (Arandjelović 2012).

    grey: float32 (height, width), 0 to 1
    returns: float32 (blocks down × blocks across × 108,); zero where a block is flat
    """
    blocks = sliding_blocks(pool_orientations(orientation_maps(grey, HOG_ORIENTATIONS), HOG_CELL), HOG_BLOCK, 1)
    faint = blocks.sum(axis=-1, keepdims=True) < HOG_FLAT * (HOG_BLOCK * HOG_CELL) ** 2
    values = normalize(np.minimum(normalize(blocks, 2), HOG_CLIP), 2)
    rooted: np.ndarray = np.sqrt(np.where(faint, 0, values)).astype(np.float32)
    return rooted.ravel()


SIFT_ORIENTATIONS, SIFT_BINS = 8, 4  # per descriptor: 4 × 4 bins of 8 directions
SIFT_CLIP = 0.2  # of a descriptor's length, for one bin (Lowe 2004, section 6.1)
SIFT_FLAT = 1e-2  # patches with less gradient per pixel, of 0 to 1, have no direction to speak of


def dense_sift(maps: np.ndarray, bin_size: int, step: int) -> np.ndarray:
    """The descriptors of all patches that lie inside a picture.

    maps: what `direction_maps` gives for it, of 8 directions
    bin_size: side of a bin, in pixels; a patch is four of them wide
    step: pixels between neighbouring patches; a multiple of `bin_size`
    returns: float32 (rows, columns, 128), lengths 1, square roots of Lowe's (Arandjelović 2012);
        zero where a patch is flat
    """
    patches = sliding_blocks(pool_orientations(maps, bin_size), SIFT_BINS, step // bin_size)
    faint = patches.sum(axis=-1, keepdims=True) < SIFT_FLAT * (SIFT_BINS * bin_size) ** 2
    values = np.minimum(normalize(patches, 2), SIFT_CLIP)
    rooted: np.ndarray = np.sqrt(np.where(faint, 0, normalize(values, 1))).astype(np.float32)
    return rooted
