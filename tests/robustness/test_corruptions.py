"""The corruptions: what each does to an image, in five severities."""

import colorsys
import io

import numpy as np
import pytest
from PIL import Image

from tests.making import encoded
from tlkit.errors import OptionError
from tlkit.robustness.corruptions import CORRUPTIONS, MIDDLE_GRAY, corrupt

RANDOM = {"gaussian-noise", "shot-noise", "impulse-noise", "motion-blur", "rotation", "shift", "occlusion"}


def scene(side: int = 64) -> np.ndarray:
    """Draw colored discs before a smooth background: uint8 (side, side, 3)."""
    y, x = np.mgrid[:side, :side] / side
    image = np.stack([60 + 80 * x, 90 + 60 * y, 120 - 50 * x], axis=2)
    for row, column, radius, color in ((0.3, 0.4, 0.2, (220, 60, 30)), (0.7, 0.6, 0.15, (40, 200, 70))):
        image[(y - row) ** 2 + (x - column) ** 2 < radius**2] = color
    return image.round().astype(np.uint8)


def damage(image, name, severity, seed=0):
    return corrupt(image, name, severity, np.random.default_rng(seed))


def spot(side):
    """Draw 5 × 5 white pixels in the middle of a black square."""
    image = np.zeros((side, side, 3), np.uint8)
    image[side // 2 - 2 : side // 2 + 3, side // 2 - 2 : side // 2 + 3] = 255
    return image


def test_every_corruption_keeps_shape_and_type_and_depends_on_the_generator_alone():
    for shape in ((48, 48, 3), (20, 31, 3), (1, 1, 3)):
        image = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
        before = image.copy()
        for name in CORRUPTIONS:
            for severity in range(1, 6):
                damaged = damage(image, name, severity)
                assert (damaged.shape, damaged.dtype) == (shape, np.uint8), (name, severity, shape)
                assert np.array_equal(damaged, damage(image, name, severity)), (name, severity, shape)
        assert np.array_equal(image, before)
    for name in CORRUPTIONS:
        others = [damage(scene(), name, 4, seed) for seed in range(8)]
        assert any((others[0] != other).any() for other in others) == (name in RANDOM), name


def test_every_severity_changes_more_than_the_one_before():
    image = scene().astype(float)
    for name in CORRUPTIONS:
        changes = [
            np.mean([(damage(scene(), name, severity, seed) - image) ** 2 for seed in range(6)])
            for severity in range(1, 6)
        ]
        assert changes[0] > 0 and changes == sorted(changes), (name, changes)


def test_noise_has_the_deviations_of_the_paper():
    gray = np.full((200, 200, 3), 102, np.uint8)
    for severity, deviation in enumerate((0.08, 0.12), 1):
        noisy = damage(gray, "gaussian-noise", severity).astype(float)
        assert noisy.std() == pytest.approx(255 * deviation, rel=0.02) and noisy.mean() == pytest.approx(102, abs=0.5)
    for severity, photons in enumerate((60, 25), 1):
        noisy = damage(gray, "shot-noise", severity).astype(float)
        assert noisy.var() == pytest.approx(102 * 255 / photons, rel=0.03) and noisy.mean() == pytest.approx(102, abs=1)
    salted = damage(gray, "impulse-noise", 5)
    assert [np.mean(salted == value) for value in (0, 255)] == pytest.approx([0.135, 0.135], abs=0.005)
    assert set(np.unique(salted)) == {0, 102, 255}


def test_blur_spreads_a_spot_over_the_same_part_of_a_square_of_any_size():
    for side, radius in ((224, 10), (112, 5)):
        spread = damage(spot(side), "defocus-blur", 5)[..., 0].astype(float)
        flat = damage(np.full((side, side, 3), 77, np.uint8), "defocus-blur", 5)
        assert (flat == 77).all()
        rows, columns = np.nonzero(spread)
        assert rows.mean() == columns.mean() == side // 2
        assert np.ptp(rows) == np.ptp(columns) == pytest.approx(2 * radius + 4, abs=1)


def test_motion_blur_spreads_a_spot_to_one_side_and_keeps_its_light():
    for side, length in ((224, 40), (112, 20)):
        spread = damage(spot(side), "motion-blur", 5)[..., 0].astype(float)
        assert spread.sum() == pytest.approx(255 * 25, rel=0.05)
        rows, columns = np.nonzero(spread)
        angle = np.arctan2(np.average(rows - side // 2), np.average(columns - side // 2))
        assert abs(angle) < np.pi / 4 and columns.min() >= side // 2 - 4
        assert np.hypot(np.ptp(rows), np.ptp(columns)) == pytest.approx(length + 5, abs=6)


def test_brightness_raises_the_value_and_keeps_hue_and_saturation():
    dark = np.array([[[100, 50, 20], [0, 0, 0], [250, 100, 0]]], np.uint8)
    raised = damage(dark, "brightness", 2) / 255
    for before, after in zip(dark[0] / 255, raised[0], strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*before)
        expected = colorsys.hsv_to_rgb(hue, saturation, min(1, value + 0.2))
        assert after == pytest.approx(expected, abs=0.5 / 255 + 1e-6)


def test_contrast_keeps_the_mean_of_each_channel():
    before, after = scene().astype(float), damage(scene(), "contrast", 3).astype(float)
    assert after.mean(axis=(0, 1)) == pytest.approx(before.mean(axis=(0, 1)), abs=0.3)
    assert after.std(axis=(0, 1)) == pytest.approx(0.2 * before.std(axis=(0, 1)), rel=0.03)


def test_the_last_severity_of_grayscale_has_no_color():
    gray = damage(scene(), "grayscale", 5)
    assert np.ptp(gray, axis=2).max() == 0
    expected = np.asarray(Image.fromarray(scene()).convert("L"), int)
    assert np.abs(gray[..., 0] - expected).max() <= 1


def test_jpeg_is_what_pillow_makes_and_pixelate_makes_blocks():
    with Image.open(io.BytesIO(encoded(scene(), "JPEG", quality=7))) as decoded:
        assert np.array_equal(damage(scene(), "jpeg", 5), np.asarray(decoded))
    blocks = damage(scene(96), "pixelate", 5)
    assert np.array_equal(blocks, blocks[::4, ::4].repeat(4, axis=0).repeat(4, axis=1))
    means = scene(96).reshape(24, 4, 24, 4, 3).mean(axis=(1, 3))
    assert np.abs(blocks[::4, ::4] - means).max() <= 1


def test_rotation_turns_about_the_center_to_both_sides():
    side, angles = 101, set()
    for seed in range(8):
        bar = np.zeros((side, side, 3), np.uint8)
        bar[45:56] = 255  # through the center, and beyond the border in its mirror image
        turned = damage(bar, "rotation", 5, seed)[..., 0] > 127
        assert turned[50, 50]
        rows, columns = np.nonzero(turned[25:76, 25:76])
        angles.add(round(np.degrees(np.arctan(np.polyfit(columns, rows, 1)[0]) / 15)))
    assert len(angles) == 2 and sum(angles) == 0


def test_shift_moves_every_pixel_alike():
    image, distance = scene(100), 24
    for seed in range(6):
        moved = damage(image, "shift", 5, seed)
        offsets = [
            (down, right)
            for down in range(-25, 26)
            for right in range(-25, 26)
            if abs(np.hypot(down, right) - distance) < 1
            and np.array_equal(moved[25 + down : 75 + down, 25 + right : 75 + right], image[25:75, 25:75])
        ]
        assert len(offsets) == 1


def test_occlusion_hides_its_fraction_under_one_gray_square():
    image = np.zeros((100, 100, 3), np.uint8)
    for severity, area in enumerate((0.05, 0.1, 0.2, 0.3, 0.4), 1):
        hidden = (damage(image, "occlusion", severity, seed=severity) == MIDDLE_GRAY).all(axis=2)
        rows, columns = np.nonzero(hidden)
        assert hidden.mean() == pytest.approx(area, abs=0.015)
        assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)


def test_unknown_corruptions_and_severities_are_refused():
    with pytest.raises(OptionError, match="the corruption is 'fog'; expected one of gaussian-noise, "):
        damage(scene(), "fog", 1)
    for severity in (0, 6):
        with pytest.raises(OptionError, match=f"the severity is {severity}; expected a whole number from 1 to 5"):
            damage(scene(), "jpeg", severity)
