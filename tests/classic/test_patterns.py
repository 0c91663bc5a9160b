"""Local binary patterns: against scikit-image, on images whose patterns are known."""

import numpy as np
import pytest

from tlkit.classic.patterns import BAND, count_patterns

CIRCLES = ((8, 1), (16, 2), (24, 3))


def noise(height, width, levels=256):
    return np.random.default_rng(0).integers(0, levels, (height, width), dtype=np.uint8)


def test_count_patterns_gives_the_counts_of_scikit_image():
    """Few levels have many equal neighbors, where the last bit of an interpolation decides."""
    feature = pytest.importorskip("skimage.feature")
    images = [noise(61, 97), noise(BAND + 1, 40, levels=3) * np.uint8(90), noise(2 * BAND, 5), noise(1, 1)]
    images += [np.full((40, 30), level, np.uint8) for level in (0, 77, 255)]
    for image in images:
        for neighbors, radius in CIRCLES:
            patterns = feature.local_binary_pattern(image, neighbors, radius, "uniform").astype(int)
            expected = np.bincount(patterns.ravel(), minlength=neighbors + 2)
            np.testing.assert_array_equal(count_patterns(image, neighbors, radius), expected)


def test_count_patterns_of_single_bright_and_dark_pixels():
    image = np.full((9, 9), 100, np.uint8)
    image[4, 4] = 200  # no neighbor is as bright
    counts = count_patterns(image, 8, 1)
    assert counts.sum() == 81
    assert counts[0] == 1
    image[4, 4] = 50  # all are brighter, as around a pixel of the same brightness
    assert count_patterns(image, 8, 1)[0] == 0


def test_count_patterns_of_stripes_counts_what_is_not_uniform():
    """Left and right of a dark line are bright; above and below it is dark: four changes around its pixels."""
    image = np.full((20, 20), 100, np.uint8)
    image[:, 10] = 0
    image[9:11, 9:12] = ((0, 50, 0), (200, 60, 200))
    assert count_patterns(image, 8, 1)[9] > 0
