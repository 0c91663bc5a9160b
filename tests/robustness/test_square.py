"""The Square attack."""

import numpy as np

from tests.networks import random_pixels
from tlkit.robustness.square import square_attack

SIZE = 16


def brightness(images):
    """Two classes: the left half is brighter, or the right one."""
    halves = images.astype(float).reshape(len(images), SIZE, 2, SIZE // 2, 3).mean(axis=(1, 3, 4))
    logits = halves[:, 0] - halves[:, 1]
    return np.stack([1 / (1 + np.exp(-logits)), 1 / (1 + np.exp(logits))], axis=1).astype(np.float32)


def test_square_finds_what_a_corner_of_the_ball_finds():
    images = random_pixels(20, SIZE)
    labels = brightness(images).argmax(axis=1)
    changed = square_attack(brightness, images, labels, 6, 300, (False, 0))
    change = np.abs(changed.astype(int) - images)
    assert changed.dtype == np.uint8 and change.max() <= 6
    difference = np.abs(np.log(brightness(images)[:, 0]) - np.log(brightness(images)[:, 1]))
    possible = difference < 4  # of the 12 levels that all pixels together can move it by
    fooled = brightness(changed).argmax(axis=1) != labels
    assert possible.sum() > 3 and fooled[possible].mean() > 0.8
    assert not fooled[difference > 12].any()


def test_a_target_is_a_class_to_reach():
    images = random_pixels(10, SIZE)
    changed = square_attack(brightness, images, np.ones(10, int), 40, 200, (True, 0))
    assert (brightness(changed).argmax(axis=1) == 1).all()


def test_epsilon_zero_and_images_that_are_fooled_cost_no_queries():
    asked = []

    def counting(images):
        asked.append(len(images))
        return brightness(images)

    images = random_pixels(4, SIZE)
    labels = brightness(images).argmax(axis=1)
    np.testing.assert_array_equal(square_attack(counting, images, labels, 0, 50, (False, 0)), images)
    np.testing.assert_array_equal(square_attack(counting, images, 1 - labels, 5, 50, (False, 0)), images)
    assert asked == [4, 4]


def test_draws_depend_on_the_image_and_the_seed_alone():
    images = random_pixels(6, SIZE)
    labels = brightness(images).argmax(axis=1)
    together = square_attack(brightness, images, labels, 3, 40, (False, 0))
    np.testing.assert_array_equal(square_attack(brightness, images[2:3], labels[2:3], 3, 40, (False, 0)), together[2:3])
    assert (square_attack(brightness, images, labels, 3, 40, (False, 1)) != together).any()


def test_where_the_softmax_is_saturated_the_search_proceeds():
    def sure(images):
        return (brightness(images) > 0.5).astype(np.float32)

    images = random_pixels(8, SIZE)
    labels = sure(images).argmax(axis=1)
    changed = square_attack(sure, images, labels, 60, 200, (False, 0))
    assert (sure(changed).argmax(axis=1) != labels).any()
