"""Heat maps on images."""

import numpy as np
import pytest
from PIL import Image

from tlkit.data.image import ImageSpec
from tlkit.explain.overlay import OUTSIDE, draw_overlay, find_peak, upsample
from tlkit.models.map_grid import MapGrid


def spot(size, x, y):
    """A heat map with one warm position."""
    heat = np.zeros((size, size), np.float32)
    heat[y, x] = 1
    return heat


@pytest.mark.parametrize(
    ("resize", "expected"), [("crop", (50 + 37, 262)), ("squash", (50, 262)), ("pad", (50, 300))], ids=str
)
def test_find_peak_is_in_pixels_of_the_original(resize, expected):
    width, height = 400, 300
    if resize == "pad":
        expected = (50, 299)  # below the image: the bars belong to nobody
    x, y = find_peak(spot(4, 0, 3), ImageSpec(4, resize), width, height)
    assert abs(x - expected[0]) <= 1 and abs(y - expected[1]) <= 1


def test_find_peak_of_two_equal_maxima_is_one_of_them():
    heat = spot(9, 1, 1) + spot(9, 7, 7)
    assert find_peak(heat, ImageSpec(9), 90, 90) in ((15, 15), (75, 75))
    assert find_peak(np.ones((9, 9), np.float32), ImageSpec(9), 90, 90) == (45, 45)


def test_find_peak_of_no_evidence_is_none():
    assert find_peak(np.zeros((4, 4), np.float32), ImageSpec(4), 40, 30) is None


def test_upsample_scales_to_one_and_keeps_the_maximum_in_its_cell():
    enlarged = upsample(spot(7, 2, 5) * 3, 224)
    assert enlarged.shape == (224, 224) and enlarged.max() == 1
    y, x = np.unravel_index(enlarged.argmax(), enlarged.shape)
    assert 64 <= x < 96 and 160 <= y < 192
    assert (upsample(np.zeros((7, 7), np.float32), 14) == 0).all()


def test_upsample_puts_positions_where_their_receptive_fields_are():
    for start, step in ((31, 32), (0, 32), (15.5, 32)):
        y, x = np.unravel_index(upsample(spot(7, 2, 5), 224, MapGrid(start, step)).argmax(), (224, 224))
        assert abs(x - (start + 2 * step)) <= 1 and abs(y - (start + 5 * step)) <= 1
    even = upsample(spot(7, 2, 5), 224, MapGrid.even(224, 7))
    np.testing.assert_allclose(upsample(spot(7, 2, 5), 224), even, atol=1e-6)


def test_draw_overlay_colors_the_warm_part_and_darkens_what_is_not_seen():
    image = Image.new("RGB", (200, 100), (120, 120, 120))
    drawn = np.asarray(draw_overlay(image, upsample(spot(4, 1, 1), 64), ImageSpec(64, "crop"), 480))
    assert drawn.shape == (100, 200, 3)
    assert abs(int(drawn[50, 10, 0]) - OUTSIDE * 120) <= 1  # left of the square
    assert abs(int(drawn[90, 140, 0]) - 120) <= 1  # in the square, cold
    warm = drawn[45, 50 + 45].astype(int)  # beside the maximum, which is nearly white
    assert warm.max() - warm.min() > 60


def test_draw_overlay_keeps_to_the_longer_side():
    image = Image.new("RGB", (2000, 1000))
    assert draw_overlay(image, np.zeros((8, 8), np.float32), ImageSpec(8, "pad"), 300).size == (300, 150)
