"""Patches."""

import numpy as np
import pytest

from tests.networks import random_pixels
from tests.robustness.test_gradient import small_classifier
from tests.robustness.test_universal import answers
from tlkit.robustness.gradient import LossGradient
from tlkit.robustness.patch import (
    PatchPosition,
    circle,
    draw_position,
    learn_patch,
    paste_patch,
    position_for,
    printable,
    pull_back,
)


def test_a_patch_covers_its_circle_and_nothing_else():
    image, patch = random_pixels(1, 60)[0], np.full((20, 20, 3), 200, np.uint8)
    pasted = paste_patch(image, patch, PatchPosition(40, 22, 20, 0))
    rows, columns = np.mgrid[:60, :60] + 0.5
    distance = np.hypot(columns - 40, rows - 22)
    assert (pasted[distance < 8.5] == 200).all()
    np.testing.assert_array_equal(pasted[distance > 11.5], image[distance > 11.5])


def test_a_patch_is_turned_about_its_center():
    patch = np.zeros((30, 30, 3), np.uint8)
    patch[:15] = 255
    upright, turned = (
        paste_patch(np.full((60, 60, 3), 90, np.uint8), patch, PatchPosition(30, 30, 30, angle)) for angle in (0, 180)
    )
    assert upright[20, 30].min() == 255 and upright[40, 30].max() == 0
    assert turned[20, 30].max() == 0 and turned[40, 30].min() == 255


def test_pulling_back_undoes_pasting():
    random = np.random.default_rng(0)
    patch = np.kron(random.integers(0, 256, (5, 5, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    position = PatchPosition(50, 44, 52, 25)
    image = paste_patch(np.zeros((100, 100, 3), np.uint8), patch, position)
    back = pull_back(image.astype(np.float32), 40, position)
    inside = circle(40) > 0
    assert np.abs(back[inside] - patch[inside]).mean() < 12 and not back[~inside].any()


def test_positions_are_inside_and_depend_on_the_image_and_the_seed():
    random = np.random.default_rng(0)
    for _ in range(200):
        at = draw_position(random, 100, 40)
        assert 32 <= at.side <= 48 and abs(at.angle) <= 30
        assert at.side / 2 <= min(at.x, at.y) and max(at.x, at.y) <= 100 - at.side / 2
    assert draw_position(random, 100, 100).side <= 100
    first, second = random_pixels(2, 30)
    assert position_for(first, 0, 10) == position_for(first.copy(), 0, 10)
    assert len({position_for(first, 0, 10), position_for(second, 0, 10), position_for(first, 1, 10)}) == 3


def test_a_learned_patch_works_better_than_gray_where_it_was_not_learned():
    model = small_classifier(size=24)
    images = random_pixels(80, 24)
    labels = answers(model, images.astype(np.float32))
    target = int(np.bincount(labels, minlength=5).argmin())
    patch = learn_patch(LossGradient(model), images[:40], np.full(40, target), 20, 40, (True, 0))
    reached = []
    for used in (patch, np.full_like(patch, 128)):
        pasted = [paste_patch(image, used, position_for(image, 9, 20)) for image in images[40:]]
        reached.append((answers(model, np.stack(pasted).astype(np.float32)) == target).mean())
    assert patch.dtype == np.uint8 and reached[0] > reached[1] + 0.5


def test_a_printed_patch_is_round_and_large():
    sheet = printable(np.zeros((20, 20, 3), np.uint8))
    assert sheet.size == (1200, 1200)
    assert sheet.getpixel((600, 600)) == (0, 0, 0) and sheet.getpixel((5, 5)) == (255, 255, 255)
    assert pytest.approx(np.pi / 4, abs=0.01) == (np.asarray(sheet)[..., 0] == 0).mean()
