"""Dense SIFT: Lowe's descriptor (2004, IJCV 60:91) of patches on a regular grid, as two matrix products.

A bin of the descriptor sums the gradients of one direction under a triangle around its centre.
On a grid, all bins of all patches share a few rows and columns of centres, so the sums are
A · E · Aᵀ for the map E of each direction (the "flat window" of Vedaldi and Fulkerson's VLFeat, 2008):
some milliseconds an image, in compiled code that does not hold the interpreter.
"""

from functools import cache

import numpy as np

DIRECTIONS, BINS = 8, 4  # per descriptor: 4 × 4 bins of 8 directions
LARGEST = 0.2  # of a descriptor's length, for one bin (Lowe 2004, section 6.1)
FAINT = 1e-2  # patches with less gradient per pixel, of 0 to 1, have no direction to speak of


def dense_sift(maps: np.ndarray, bin_size: int, step: int) -> np.ndarray:
    """The descriptors of all patches that lie inside a picture.

    maps: what `direction_maps` gives for it
    bin_size: side of a bin, in pixels; a patch is four of them wide
    step: pixels between neighbouring patches; a multiple of `bin_size`
    returns: float32 (rows, columns, 128), lengths 1, square roots of Lowe's (Arandjelović 2012);
        zero where a patch is flat
    """
    down, across = (_triangles(length, bin_size) for length in maps.shape[1:])
    sums = np.einsum("ph,ohw->opw", down, maps, optimize=True) @ across.T
    return _normalized(_patches(np.moveaxis(sums, 0, -1), step // bin_size), bin_size)


def direction_maps(grey: np.ndarray) -> np.ndarray:
    """How much of a picture's gradient points each way, shared by the two nearest of eight directions.

    grey: float32 (height, width), 0 to 1
    returns: float32 (8, height, width); direction k points k / 8 of a turn from right to down
    """
    down, across = np.gradient(grey)
    place = np.arctan2(down, across) % (2 * np.pi) * (DIRECTIONS / (2 * np.pi))
    strength = np.hypot(down, across)
    away = np.abs(place - np.arange(DIRECTIONS, dtype=np.float32)[:, None, None])
    share = np.maximum(0, 1 - np.minimum(away, DIRECTIONS - away))
    maps: np.ndarray = (share * strength).astype(np.float32)
    return maps


@cache
def _triangles(length: int, bin_size: int) -> np.ndarray:
    """The weight of each pixel for each bin along one side: float32 (bins, length)."""
    centres = bin_size * (np.arange(length // bin_size) + 0.5) - 0.5
    away = np.abs(np.arange(length) - centres[:, None])
    weights: np.ndarray = np.maximum(0, 1 - away / bin_size).astype(np.float32)
    return weights


def _patches(sums: np.ndarray, stride: int) -> np.ndarray:
    """Windows of 4 × 4 bins, one bin or more apart: (rows, columns, 4, 4, 8)."""
    windows = np.lib.stride_tricks.sliding_window_view(sums, (BINS, BINS), axis=(0, 1))
    return np.moveaxis(windows[::stride, ::stride], 2, -1)


def _normalized(patches: np.ndarray, bin_size: int) -> np.ndarray:
    values = patches.reshape(*patches.shape[:2], -1)
    faint = values.sum(axis=-1, keepdims=True) < FAINT * (BINS * bin_size) ** 2
    values = np.minimum(_scaled(values, 2), LARGEST)
    rooted: np.ndarray = np.sqrt(np.where(faint, 0, _scaled(values, 1))).astype(np.float32)
    return rooted


def _scaled(values: np.ndarray, order: int) -> np.ndarray:
    lengths = np.linalg.norm(values, ord=order, axis=-1, keepdims=True)
    scaled: np.ndarray = values / np.maximum(lengths, 1e-12)
    return scaled
