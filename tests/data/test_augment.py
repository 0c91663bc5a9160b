"""Augmented views: where their pixels come from, and that every draw is decided by its seed."""

import numpy as np
import pytest

from tlkit.data.augment import LARGEST_ANGLE, LARGEST_ASPECT, LEAST_AREA, OUTSIDE, Views, augmented_view, draw_affine

SIDE, SIZE = 74, 64
SHA, OTHER = "ab" * 32, "cd" * 32


def ramp(side=SIDE):
    """Red says the column, green the row."""
    column, row = np.meshgrid(np.arange(side), np.arange(side))
    return np.stack([column, row, np.zeros_like(row)], axis=2).astype(np.uint8)


def affines(count=300):
    return [np.array(draw_affine(SIDE, SIZE, np.random.default_rng(number))).reshape(2, 3) for number in range(count)]


def plain():
    return np.full((SIZE, SIZE, 3), 7, np.uint8)


def test_a_view_is_what_its_affine_says():
    """On a ramp of colours, each pixel tells where it was taken from."""
    for number in range(20):
        a, b, c, d, e, f = draw_affine(SIDE, SIZE, np.random.default_rng(number))
        view = augmented_view(ramp(), SIZE, np.random.default_rng(number)).astype(float)
        x, y = np.meshgrid(np.arange(SIZE) + 0.5, np.arange(SIZE) + 0.5)
        column, row = a * x + b * y + c - 0.5, d * x + e * y + f - 0.5
        inside = (column >= 1) & (column < SIDE - 2) & (row >= 1) & (row < SIDE - 2)
        assert inside.mean() > 0.5
        np.testing.assert_allclose(view[inside][:, 0], column[inside], atol=1.01)
        np.testing.assert_allclose(view[inside][:, 1], row[inside], atol=1.01)


def test_half_of_the_views_are_mirrored_and_none_is_upside_down():
    turns = [np.linalg.det(place[:, :2]) < 0 for place in affines()]
    assert 0.4 < np.mean(turns) < 0.6
    assert all(place[1, 1] > 0 for place in affines())


def test_views_keep_within_the_limits_of_area_aspect_and_angle():
    for place in affines():
        width, height = (SIZE * np.linalg.norm(place[:, axis]) for axis in (0, 1))
        assert width * height / SIDE**2 <= 1 + 1e-9
        assert width <= SIDE + 1e-9
        assert height <= SIDE + 1e-9
        least = LEAST_AREA if max(width, height) < SIDE - 1e-9 else LEAST_AREA / LARGEST_ASPECT
        assert width * height / SIDE**2 >= least - 1e-9
        angle = np.degrees(np.arctan2(-place[0, 1], place[1, 1]))
        assert abs(angle) <= LARGEST_ANGLE + 1e-9


def test_what_lies_outside_the_picture_is_grey():
    black = np.zeros((SIDE, SIDE, 3), np.uint8)
    views = np.stack([augmented_view(black, SIZE, np.random.default_rng(number)) for number in range(50)])
    assert views.max() == OUTSIDE[0]
    assert (views == 0).mean() > 0.9


def test_the_first_view_is_the_plain_one():
    views = Views(4, seed=0).of(plain(), ramp(), SHA)
    assert (views.shape, views.dtype) == ((4, SIZE, SIZE, 3), np.uint8)
    np.testing.assert_array_equal(views[0], plain())
    assert len({view.tobytes() for view in views}) == 4


def test_one_view_is_the_plain_one_alone():
    np.testing.assert_array_equal(Views(1, seed=0).of(plain(), ramp(), SHA), plain()[None])


def test_more_views_change_none_of_the_fewer():
    np.testing.assert_array_equal(Views(5, 3).of(plain(), ramp(), SHA)[:3], Views(3, 3).of(plain(), ramp(), SHA))


@pytest.mark.parametrize(("seed", "sha256"), [(1, SHA), (0, OTHER)], ids=["another seed", "another image"])
def test_seed_and_image_decide_the_views(seed, sha256):
    first = Views(3, 0).of(plain(), ramp(), SHA)
    np.testing.assert_array_equal(first, Views(3, 0).of(plain(), ramp(), SHA))
    assert not np.array_equal(first[1:], Views(3, seed).of(plain(), ramp(), sha256)[1:])


def test_the_key_names_what_views_depend_on():
    keys = {Views(5, 0).key, Views(4, 0).key, Views(5, 1).key}
    assert len(keys) == 3
