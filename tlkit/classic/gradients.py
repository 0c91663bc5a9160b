"""Histograms of gradient orientations on a grid: HOG and dense SIFT.

A bin sums the gradients of one orientation under a triangle around its center, so that two neighboring bins
share a gradient between them. On a grid, the bins of all patches share a few rows and columns of centers, and
the sums are A · E · Aᵀ for the map E of each orientation (the "flat window" of Vedaldi and Fulkerson's VLFeat,
2008): some milliseconds an image, in compiled code that releases the interpreter lock.
"""

from functools import cache

import numpy as np

HOG_ORIENTATIONS = 12  # of a whole turn, so that bright on dark is not dark on bright
HOG_CELL, HOG_BLOCK = 16, 3  # side of a cell in pixels, side of a block in cells
HOG_CLIP = 0.2  # of a block's length, for one cell and orientation (L2-Hys of Dalal and Triggs)
HOG_FLAT = 1e-3  # a block with less gradient per pixel, of 0 to 1, is flat
SIFT_ORIENTATIONS, SIFT_BINS = 8, 4  # a patch has 4 × 4 bins of 8 orientations
SIFT_CLIP = 0.2  # of a patch's length, for one bin (Lowe 2004, section 6.1)
SIFT_FLAT = 1e-2  # a patch with less gradient per pixel, of 0 to 1, is flat


def hog(gray: np.ndarray) -> np.ndarray:
    """Compute histograms of oriented gradients, with square roots taken (Arandjelović 2012).

    Args:
        gray: float32 (height, width), 0 to 1

    Returns:
        float32 (blocks down × blocks across × 108,), blocks one cell apart; zero where a block is flat
    """
    cells = pool_orientations(orientation_maps(gray, HOG_ORIENTATIONS), HOG_CELL)
    blocks = sliding_blocks(cells, HOG_BLOCK, 1)
    is_flat = blocks.sum(axis=-1) < HOG_FLAT * (HOG_BLOCK * HOG_CELL) ** 2
    histograms = normalize_blocks(np.minimum(normalize_blocks(blocks, 2), HOG_CLIP), 2)
    return _rooted(histograms, is_flat).ravel()


def dense_sift(maps: np.ndarray, bin_size: int, step: int) -> np.ndarray:
    """Compute RootSIFT of all patches that lie inside an image (Lowe 2004; Arandjelović 2012).

    Args:
        maps: orientation maps of the image, with 8 orientations
        bin_size: side of a bin, in pixels; a patch is four of them wide
        step: pixels between neighboring patches; a multiple of `bin_size`

    Returns:
        float32 (rows, columns, 128), each of length 1; zero where a patch is flat
    """
    patches = sliding_blocks(pool_orientations(maps, bin_size), SIFT_BINS, step // bin_size)
    is_flat = patches.sum(axis=-1) < SIFT_FLAT * (SIFT_BINS * bin_size) ** 2
    clipped = normalize_blocks(patches, 2)
    return _rooted(normalize_blocks(np.minimum(clipped, SIFT_CLIP, out=clipped), 1), is_flat)


def _rooted(histograms: np.ndarray, is_flat: np.ndarray) -> np.ndarray:
    """Take square roots in place; flat blocks become zero."""
    histograms[is_flat] = 0
    rooted: np.ndarray = np.sqrt(histograms, out=histograms)
    return rooted


def orientation_maps(gray: np.ndarray, num_orientations: int) -> np.ndarray:
    """Split the gradient magnitude of each pixel between the two nearest orientations.

    One orientation after the other: its map stays in the cache of a core from one operation to the next.

    Args:
        gray: float32 (height, width), 0 to 1

    Returns:
        float32 (height, orientations, width); orientation k is k / num_orientations of a turn from right to down
    """
    down, across = np.gradient(gray)
    angle = np.arctan2(down, across)
    position = np.where(angle < 0, angle + np.float32(2 * np.pi), angle) * np.float32(num_orientations / (2 * np.pi))
    magnitude = np.hypot(down, across)
    maps = np.empty((len(gray), num_orientations, gray.shape[1]), np.float32)
    for orientation in range(num_orientations):
        distance = np.abs(position - orientation)
        if orientation == 0:
            distance = np.minimum(distance, num_orientations - distance)  # a whole turn is no turn
        weight = np.maximum(1 - distance, 0, out=distance)
        np.multiply(weight, magnitude, out=maps[:, orientation])
    return maps


def pool_orientations(maps: np.ndarray, bin_size: int) -> np.ndarray:
    """Sum orientation maps in the bins of a grid that fills the image: (rows, columns, orientations).

    Args:
        maps: (height, orientations, width)
        bin_size: side of a bin, in pixels, an even number; its triangle is twice as wide
    """
    height, num_orientations, width = maps.shape
    rows = _pool_rows(maps.reshape(height, -1), bin_size)
    sums = rows.reshape(-1, width) @ triangles(width, bin_size).T
    grid: np.ndarray = sums.reshape(len(rows), num_orientations, -1).transpose(0, 2, 1)
    return grid


def _pool_rows(rows: np.ndarray, bin_size: int) -> np.ndarray:
    """Sum rows under the triangle of each bin: a bin has few of them, so this is less work than a matrix product.

    Args:
        rows: float32 (height, values)

    Returns:
        float32 (height // bin_size, values)
    """
    num_bins, half = len(rows) // bin_size, bin_size // 2
    weights = triangles(4 * bin_size, bin_size)[1, half : half + 2 * bin_size]
    pooled = np.empty((num_bins, rows.shape[1]), np.float32)
    for index in range(num_bins):
        first = index * bin_size - half
        inside = slice(max(first, 0), first + 2 * bin_size)
        used = rows[inside]
        np.dot(weights[inside.start - first :][: len(used)], used, out=pooled[index])
    return pooled


@cache
def triangles(length: int, bin_size: int) -> np.ndarray:
    """Weigh each pixel for each bin along one side: float32 (bins, length)."""
    centers = bin_size * (np.arange(length // bin_size) + 0.5) - 0.5
    distance = np.abs(np.arange(length) - centers[:, None])
    weights: np.ndarray = np.maximum(0, 1 - distance / bin_size).astype(np.float32)
    return weights


def sliding_blocks(bins: np.ndarray, side: int, stride: int) -> np.ndarray:
    """Cut square blocks out of a grid of bins: (rows, columns, side × side × orientations).

    Args:
        side, stride: of the blocks, in bins
    """
    windows = np.lib.stride_tricks.sliding_window_view(bins, (side, side), axis=(0, 1))
    windows = np.moveaxis(windows[::stride, ::stride], 2, -1)
    return windows.reshape(*windows.shape[:2], -1)


def normalize_blocks(blocks: np.ndarray, order: int) -> np.ndarray:
    """Scale each block to length 1, by its norm of order 1 or 2; zero stays zero.

    Args:
        blocks: (rows, columns, values), none of them negative
    """
    lengths = np.sqrt(np.einsum("ijk,ijk->ij", blocks, blocks)) if order == 2 else blocks.sum(axis=-1)
    unit: np.ndarray = blocks / np.maximum(lengths, 1e-12)[..., None]
    return unit
