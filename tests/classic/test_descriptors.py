"""Descriptors made by hand: what each says of pictures that are known."""

import numpy as np
import pytest

pytest.importorskip("skimage")

from tlkit.classic.descriptors import _DESCRIPTORS, DESCRIPTORS, find_descriptors, resized
from tlkit.classic.gradients import hog
from tlkit.errors import OptionError

every_descriptor = pytest.mark.parametrize("row", _DESCRIPTORS, ids=lambda row: row.name)


def picture(seed=0, side=64):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


def halves(first, second, side=64):
    """Two colours, the first on three quarters of the picture."""
    found = np.empty((side, side, 3), np.uint8)
    found[:] = first
    found[: side // 4] = second
    return found


@every_descriptor
def test_the_same_picture_is_described_alike_and_another_otherwise(row):
    first, again, other = row.describe(picture()), row.describe(picture()), row.describe(picture(seed=1))
    np.testing.assert_array_equal(first, again)
    assert first.shape == other.shape
    assert first.dtype in (np.float32, np.float16)
    assert np.isfinite(first).all()
    assert not np.array_equal(first, other)


@every_descriptor
@pytest.mark.parametrize("shade", [0, 128, 255])
def test_a_picture_of_one_colour_is_described_too(row, shade):
    assert np.isfinite(row.describe(np.full((64, 64, 3), shade, np.uint8))).all()


def test_the_two_most_frequent_colours():
    found = DESCRIPTORS["colours"].describe(halves((255, 0, 0), (0, 0, 255)))
    np.testing.assert_allclose(found, [1, 0, 0, 0, 0, 1], atol=0.02)


def test_the_histogram_counts_hues():
    found = DESCRIPTORS["histogram"].describe(halves((255, 0, 0), (0, 0, 255))) ** 2
    assert sorted(found[found > 0].tolist()) == pytest.approx([0.25, 0.75])
    turned = DESCRIPTORS["histogram"].describe(halves((255, 0, 0), (0, 0, 255)).transpose(1, 0, 2)) ** 2
    np.testing.assert_allclose(turned, found)


def test_patterns_do_not_change_with_brightness():
    grey = np.repeat(picture()[:, :, :1] // 2, 3, axis=2)
    first, brighter = (DESCRIPTORS["lbp"].describe(grey + np.uint8(more)) for more in (0, 60))
    np.testing.assert_allclose(first**2, brighter**2, atol=0.01)  # where neighbours are equal, rounding decides
    assert len(first) == 10 + 18 + 26


def test_gradients_across_and_along_are_told_apart():
    stripes = np.repeat((np.arange(64) // 4 % 2 * 255).astype(np.uint8)[:, None], 64, axis=1)
    lying = np.repeat(stripes[:, :, None], 3, axis=2)
    standing = lying.transpose(1, 0, 2)
    first, second = (DESCRIPTORS["hog"].describe(each).reshape(-1, 12).sum(axis=0) for each in (lying, standing))
    assert set(np.argsort(first)[-2:]) == {3, 9}  # down and up, of twelve directions in a turn
    assert set(np.argsort(second)[-2:]) == {0, 6}
    assert len(DESCRIPTORS["hog"].describe(lying)) == 2 * 2 * 9 * 12


def test_bright_on_dark_is_not_dark_on_bright():
    ramp = np.repeat(np.repeat(np.arange(64, dtype=np.uint8)[:, None] * 4, 64, axis=1)[:, :, None], 3, axis=2)
    rising, falling = (DESCRIPTORS["hog"].describe(each).reshape(-1, 12).sum(axis=0) for each in (ramp, ramp[::-1]))
    assert (rising.argmax(), falling.argmax()) == (3, 9)
    assert rising[9] < 1e-3 * rising[3]


def test_blocks_of_gradients_are_of_length_one_and_do_not_change_with_contrast():
    picture = np.random.default_rng(0).random((96, 96)).astype(np.float32)
    found = hog(picture)
    lengths = np.linalg.norm(found.reshape(16, -1) ** 2, axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-5)
    np.testing.assert_allclose(hog(0.5 * picture + 0.2), found, atol=1e-4)
    assert not hog(np.full((96, 96), 0.5, np.float32)).any()


def test_a_small_shift_changes_gradients_little():
    """An edge that crosses from a cell into the next one is shared by both, and by neighbouring directions."""
    down, across = np.mgrid[:96, :96].astype(np.float32)
    edges = [1 / (1 + np.exp(-(across + 0.5 * down - offset) / 2)) for offset in (70, 71)]
    first, second = (hog(edge.astype(np.float32)) for edge in edges)
    assert np.linalg.norm(first - second) < 0.15 * np.linalg.norm(first)


def test_smooth_and_rough_textures_are_told_apart():
    smooth, rough = (DESCRIPTORS["haralick"].describe(each) for each in (np.full((64, 64, 3), 9, np.uint8), picture()))
    contrast, energy = 0, 3 * 3  # of seven properties at three distances
    assert smooth[contrast] == 0 < rough[contrast]
    assert smooth[energy] == pytest.approx(1) and rough[energy] < 0.2
    assert len(smooth) == 42


def test_patches_lie_where_they_say():
    found = DESCRIPTORS["bow"].describe(picture(side=64)).astype(np.float32)
    assert found.shape[1] == 130
    places = found[:, -2:]
    assert 0 < places.min() < 0.2 and 0.8 < places.max() < 1
    np.testing.assert_allclose(places.mean(axis=0), 0.5, atol=1e-3)


def test_names_are_joined_by_plus():
    assert [row.name for row in find_descriptors("hog+lbp")] == ["hog", "lbp"]
    with pytest.raises(OptionError, match="there is no ''"):
        find_descriptors("hog+")


def test_a_picture_in_its_size_stays_as_it_is():
    assert resized(picture(), 64) is not None
    np.testing.assert_array_equal(resized(picture(), 64), picture())
    assert resized(picture(), 32).shape == (32, 32, 3)
