"""HOG and dense SIFT on images whose gradients are known."""

import numpy as np
import pytest

from tlkit.classic import gradients
from tlkit.classic.gradients import hog, orientation_maps


def dense_sift(gray, bin_size, step):
    return gradients.dense_sift(orientation_maps(gray, gradients.SIFT_ORIENTATIONS), bin_size, step)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).random((height, width)).astype(np.float32)


def ramp(angle, size=64):
    """An image whose gradient has one direction everywhere."""
    down, across = np.mgrid[:size, :size] / size
    return (0.5 + 0.9 * (np.cos(angle) * across + np.sin(angle) * down)).astype(np.float32)


def by_orientation(patch):
    return patch.reshape(-1, 8).sum(axis=0)


def test_dense_sift_of_a_gradient_in_one_direction_fills_one_orientation():
    for turn in range(8):
        histogram = by_orientation(dense_sift(ramp(turn * np.pi / 4), 4, 8)[3, 3])
        assert histogram.argmax() == turn
        assert histogram[turn] > 0.99 * histogram.sum()


def test_dense_sift_of_a_gradient_between_two_orientations_fills_both():
    histogram = by_orientation(dense_sift(ramp(np.pi / 8), 4, 8)[3, 3] ** 2)  # squares are sums of gradients again
    assert histogram[0] == pytest.approx(histogram[1], rel=0.02)
    assert histogram[2:].sum() < 1e-3


def test_dense_sift_has_length_1_and_flat_patches_are_zero():
    np.testing.assert_allclose(np.linalg.norm(dense_sift(noise(64, 64), 4, 8), axis=-1), 1, atol=1e-5)
    assert not dense_sift(np.full((64, 64), 0.5, np.float32), 4, 8).any()


def test_dense_sift_does_not_change_with_brightness_and_contrast():
    image = noise(48, 48)
    np.testing.assert_allclose(dense_sift(0.5 * image + 0.2, 4, 4), dense_sift(image, 4, 4), atol=1e-5)


def test_dense_sift_patches_lie_inside_and_shift_with_the_image():
    image = noise(96, 128)
    for bin_size, step in ((4, 8), (6, 12), (8, 8), (4, 4)):
        patches = dense_sift(image, bin_size, step)
        grid = tuple((side // bin_size - 4) // (step // bin_size) + 1 for side in image.shape)
        assert patches.shape == (*grid, 128)
        shifted = dense_sift(np.roll(image, -step, axis=1), bin_size, step)
        np.testing.assert_allclose(shifted[:, 1:-3], patches[:, 2:-2], atol=1e-5)


def test_dense_sift_is_the_sum_over_single_pixels():
    image = noise(32, 32, seed=1)
    down, across = np.gradient(image)
    position, magnitude = np.arctan2(down, across) % (2 * np.pi) / (np.pi / 4), np.hypot(down, across)
    expected = np.zeros((4, 4, 8))
    y, x = np.mgrid[:32, :32]
    for row, column, orientation in np.ndindex(expected.shape):
        near_row = np.maximum(0, 1 - abs(y - (4 * (row + 2) + 1.5)) / 4)
        near_column = np.maximum(0, 1 - abs(x - (4 * (column + 2) + 1.5)) / 4)
        distance = abs(position - orientation)
        weight = np.maximum(0, 1 - np.minimum(distance, 8 - distance))
        expected[row, column, orientation] = np.sum(near_row * near_column * weight * magnitude)
    clipped = np.minimum(expected / np.linalg.norm(expected), 0.2)
    np.testing.assert_allclose(dense_sift(image, 4, 8)[1, 1], np.sqrt(clipped / clipped.sum()).ravel(), atol=1e-4)


def test_hog_blocks_have_length_1_and_do_not_change_with_contrast():
    image = noise(96, 96)
    blocks = hog(image)
    np.testing.assert_allclose(np.linalg.norm(blocks.reshape(16, -1) ** 2, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(hog(0.5 * image + 0.2), blocks, atol=1e-4)
    assert not hog(np.full((96, 96), 0.5, np.float32)).any()


def test_hog_changes_little_with_a_small_shift():
    """An edge that crosses from one cell into the next is shared by both, and by neighboring orientations."""
    down, across = np.mgrid[:96, :96].astype(np.float32)
    edges = [1 / (1 + np.exp(-(across + 0.5 * down - offset) / 2)) for offset in (70, 71)]
    first, second = (hog(edge.astype(np.float32)) for edge in edges)
    assert np.linalg.norm(first - second) < 0.15 * np.linalg.norm(first)


def test_descriptors_are_those_of_dense_matrix_products():
    """The definition, without regard to speed: A · E · Aᵀ for the map E of each orientation."""

    def bins(gray, orientations, side):
        down, across = np.gradient(gray.astype(np.float64))
        position = np.arctan2(down, across) % (2 * np.pi) * (orientations / (2 * np.pi))
        distance = np.abs(position - np.arange(orientations)[:, None, None])
        maps = np.maximum(0, 1 - np.minimum(distance, orientations - distance)) * np.hypot(down, across)
        first, second = (gradients.triangles(length, side).astype(np.float64) for length in gray.shape)
        return np.moveaxis(first @ maps @ second.T, 0, -1)

    for height, width in ((224, 224), (100, 131)):
        image = noise(height, width)
        maps = orientation_maps(image, 8)
        for side in (4, 6, 8, 16):
            np.testing.assert_allclose(gradients.pool_orientations(maps, side), bins(image, 8, side), atol=2e-5)
        blocks = gradients.sliding_blocks(bins(image, 12, 16), 3, 1)
        unit = np.minimum(blocks / np.linalg.norm(blocks, axis=-1, keepdims=True), gradients.HOG_CLIP)
        expected = np.sqrt(unit / np.linalg.norm(unit, axis=-1, keepdims=True))
        np.testing.assert_allclose(hog(image), expected.ravel(), atol=2e-6)
