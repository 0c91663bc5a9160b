"""Dense SIFT: Lowe's descriptor (2004, IJCV 60:91) of patches on a regular grid, as two matrix products."""

import numpy as np

from tlkit.shallow.directions import bin_sums, scaled, windows

DIRECTIONS, BINS = 8, 4  # per descriptor: 4 × 4 bins of 8 directions
LARGEST = 0.2  # of a descriptor's length, for one bin (Lowe 2004, section 6.1)
FAINT = 1e-2  # patches with less gradient per pixel, of 0 to 1, have no direction to speak of


def dense_sift(maps: np.ndarray, bin_size: int, step: int) -> np.ndarray:
    """The descriptors of all patches that lie inside a picture.

    maps: what `direction_maps` gives for it, of 8 directions
    bin_size: side of a bin, in pixels; a patch is four of them wide
    step: pixels between neighbouring patches; a multiple of `bin_size`
    returns: float32 (rows, columns, 128), lengths 1, square roots of Lowe's (Arandjelović 2012);
        zero where a patch is flat
    """
    patches = windows(bin_sums(maps, bin_size), BINS, step // bin_size)
    faint = patches.sum(axis=-1, keepdims=True) < FAINT * (BINS * bin_size) ** 2
    values = np.minimum(scaled(patches, 2), LARGEST)
    rooted: np.ndarray = np.sqrt(np.where(faint, 0, scaled(values, 1))).astype(np.float32)
    return rooted
