"""Dense SIFT: what Lowe's descriptor is, on patches whose gradients are known."""

import numpy as np
import pytest

from tlkit.classic import gradients as sift
from tlkit.classic.gradients import orientation_maps


def dense_sift(grey, bin_size, step):
    return sift.dense_sift(orientation_maps(grey, sift.SIFT_ORIENTATIONS), bin_size, step)


def ramp(angle, size=64):
    """A picture whose gradient points one way everywhere."""
    down, across = np.mgrid[:size, :size] / size
    return (0.5 + 0.9 * (np.cos(angle) * across + np.sin(angle) * down)).astype(np.float32)


def directions(descriptor):
    return descriptor.reshape(-1, 8).sum(axis=0)


@pytest.mark.parametrize("turn", range(8))
def test_a_gradient_that_points_one_way_fills_one_direction(turn):
    found = dense_sift(ramp(turn * np.pi / 4), 4, 8)[3, 3]
    assert directions(found).argmax() == turn
    assert directions(found)[turn] > 0.99 * directions(found).sum()


def test_between_two_directions_both_share():
    found = directions(dense_sift(ramp(np.pi / 8), 4, 8)[3, 3] ** 2)  # squares are sums of gradients again
    assert found[0] == pytest.approx(found[1], rel=0.02)
    assert found[2:].sum() < 1e-3


def test_lengths_are_one_and_flat_patches_are_zero():
    picture = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    lengths = np.linalg.norm(dense_sift(picture, 4, 8), axis=-1)
    np.testing.assert_allclose(lengths, 1, atol=1e-5)
    assert not dense_sift(np.full((64, 64), 0.5, np.float32), 4, 8).any()


def test_brightness_and_contrast_change_nothing():
    picture = np.random.default_rng(0).random((48, 48)).astype(np.float32)
    np.testing.assert_allclose(dense_sift(0.5 * picture + 0.2, 4, 4), dense_sift(picture, 4, 4), atol=1e-5)


@pytest.mark.parametrize(("bin_size", "step"), [(4, 8), (6, 12), (8, 8), (4, 4)])
def test_every_patch_lies_inside_and_a_shifted_picture_has_shifted_patches(bin_size, step):
    picture = np.random.default_rng(0).random((96, 128)).astype(np.float32)
    found = dense_sift(picture, bin_size, step)
    assert found.shape == tuple((side // bin_size - 4) // (step // bin_size) + 1 for side in picture.shape) + (128,)
    moved = dense_sift(np.roll(picture, -step, axis=1), bin_size, step)
    np.testing.assert_allclose(moved[:, 1:-3], found[:, 2:-2], atol=1e-5)


def test_it_finds_the_same_as_sums_taken_one_by_one():
    picture = np.random.default_rng(1).random((32, 32)).astype(np.float32)
    down, across = np.gradient(picture)
    place, strength = np.arctan2(down, across) % (2 * np.pi) / (np.pi / 4), np.hypot(down, across)
    expected = np.zeros((4, 4, 8))
    for row, column, direction in np.ndindex(expected.shape):
        for y, x in np.ndindex(picture.shape):
            near = max(0, 1 - abs(y - (4 * (row + 2) + 1.5)) / 4) * max(0, 1 - abs(x - (4 * (column + 2) + 1.5)) / 4)
            apart = abs(place[y, x] - direction)
            expected[row, column, direction] += near * max(0, 1 - min(apart, 8 - apart)) * strength[y, x]
    clipped = np.minimum(expected / np.linalg.norm(expected), 0.2)
    np.testing.assert_allclose(dense_sift(picture, 4, 8)[1, 1], np.sqrt(clipped / clipped.sum()).ravel(), atol=1e-4)
