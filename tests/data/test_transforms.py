"""Random maps, colors, noise and erasing: the distribution of what is drawn."""

import numpy as np
import pytest

from tlkit.data.augment import PRESETS, Augmentation
from tlkit.data.transforms import (
    MAX_ASPECT,
    MIDDLE_GRAY,
    ImageDraws,
    add_noise,
    random_erase,
    sample_affine,
    sample_color_matrix,
)

SIDE, SIZE = 74, 64
LIGHT = PRESETS["light"]


def affines(count=300, augmentation=LIGHT):
    return list(sample_affine(SIDE, SIZE, augmentation, draws(count)).reshape(-1, 2, 3))


def draws(count):
    return ImageDraws([str(number) for number in range(count)])


def test_image_draws_are_uniform_and_depend_on_the_key_alone():
    many = draws(2000)
    columns = np.stack([many.uniform(-2, 3) for _ in range(13)])
    np.testing.assert_allclose((columns.min(axis=1), columns.max(axis=1)), [[-2] * 13, [3] * 13], atol=0.02)
    np.testing.assert_allclose(columns.mean(axis=1), 0.5, atol=0.15)
    np.testing.assert_allclose(np.corrcoef(columns), np.eye(13), atol=0.1)
    few = ImageDraws(["7", "11"])
    np.testing.assert_array_equal([few.uniform(-2, 3) for _ in range(13)], columns[:, [7, 11]])


def test_maps_and_colors_of_an_image_do_not_depend_on_the_others():
    strong = PRESETS["strong"]
    limits = strong.brightness, strong.contrast, strong.saturation
    for number, together in enumerate(zip(affines(70, strong), sample_color_matrix(*limits, draws(70)), strict=True)):
        alone = ImageDraws([str(number)])
        np.testing.assert_array_equal(sample_affine(SIDE, SIZE, strong, alone)[0], together[0].ravel())
        np.testing.assert_array_equal(sample_color_matrix(*limits, ImageDraws([str(number)]))[0], together[1])


def test_half_of_the_views_are_mirrored_and_none_is_upside_down():
    turns = [np.linalg.det(affine[:, :2]) < 0 for affine in affines()]
    assert 0.4 < np.mean(turns) < 0.6
    assert all(affine[1, 1] > 0 for affine in affines())


def test_views_keep_within_the_limits_of_area_aspect_and_angle():
    for affine in affines():
        width, height = (SIZE * np.linalg.norm(affine[:, axis]) for axis in (0, 1))
        assert width * height / SIDE**2 <= 1 + 1e-9
        assert width <= SIDE + 1e-9
        assert height <= SIDE + 1e-9
        min_area = LIGHT.crop if max(width, height) < SIDE - 1e-9 else LIGHT.crop / MAX_ASPECT
        assert width * height / SIDE**2 >= min_area - 1e-9
        angle = np.degrees(np.arctan2(-affine[0, 1], affine[1, 1]))
        assert abs(angle) <= LIGHT.rotation + 1e-9


def test_zoom_shift_and_shear_keep_within_their_limits():
    zooms = [np.linalg.norm(affine[:, 0]) * SIZE / SIDE for affine in affines(augmentation=Augmentation(zoom=0.25))]
    assert (min(zooms), max(zooms)) == pytest.approx((0.8, 1.25), abs=0.02)
    middle = [affine @ (SIZE / 2, SIZE / 2, 1) / SIDE - 0.5 for affine in affines(augmentation=Augmentation(shift=0.1))]
    assert np.abs(middle).max() == pytest.approx(0.1, abs=0.005)
    leans = [affine[0, 1] / affine[1, 1] for affine in affines(augmentation=Augmentation(shear=20))]
    assert np.degrees(np.arctan(np.abs(leans).max())) == pytest.approx(20, abs=0.5)


def test_sample_color_matrix_without_change_is_none():
    assert sample_color_matrix(0, 0, 0, draws(1)) is None


def test_sample_color_matrix_keeps_gray_gray():
    """Saturation changes no gray; contrast turns about middle gray; brightness multiplies."""
    matrices = (sample_color_matrix(*limits, draws(20)).reshape(20, 3, 4) for limits in ((0, 0.5, 0.5), (0.5, 0, 0)))
    for matrix, brightness in zip(*matrices, strict=True):
        gray = matrix @ (MIDDLE_GRAY, MIDDLE_GRAY, MIDDLE_GRAY, 1)
        np.testing.assert_allclose(gray, MIDDLE_GRAY)
        np.testing.assert_allclose(brightness, np.eye(3, 4) * brightness[0, 0], atol=1e-12)
        assert 0.5 <= brightness[0, 0] <= 1.5


def test_add_noise_has_the_deviation_asked_for_and_stays_within_a_byte():
    noisy = add_noise(np.full((200, 200, 3), 128, np.uint8), 0.1, np.random.default_rng(0))
    assert noisy.dtype == np.uint8
    assert noisy.std() / 255 == pytest.approx(0.1, abs=0.002)
    white = add_noise(np.full((50, 50, 3), 255, np.uint8), 0.5, np.random.default_rng(0))
    assert (white == 255).mean() == pytest.approx(0.5, abs=0.02)


def test_random_erase_hides_one_rectangle_of_a_copy():
    white = np.full((60, 80, 3), 255, np.uint8)
    fractions = []
    for number in range(200):
        erased = random_erase(white, 0.3, np.random.default_rng(number))
        rows, columns = np.nonzero((erased == MIDDLE_GRAY).all(axis=2))
        assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        fractions.append(len(rows) / (60 * 80))
    assert 0.25 < max(fractions) <= 0.32
    assert min(fractions) < 0.04
    assert (white == 255).all()
