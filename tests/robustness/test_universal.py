"""Universal perturbations."""

import numpy as np
import pytest

from tests.networks import random_pixels
from tests.robustness.test_gradient import small_classifier
from tlkit.robustness.gradient import LossGradient
from tlkit.robustness.universal import add_pattern, ascent_of_each, universal_pattern


@pytest.fixture(scope="module")
def model():
    return small_classifier()


def answers(model, pixels):
    return np.asarray(model(pixels, training=False)).argmax(axis=1)


def test_one_pattern_fools_images_that_it_was_not_learned_on(model):
    images = random_pixels(120, 12)
    labels = answers(model, images.astype(np.float32))
    pattern = universal_pattern(LossGradient(model), images[:60], labels[:60], 12, 40)
    assert pattern.dtype == np.int16 and np.abs(pattern).max() <= 12
    random = 12 * np.random.default_rng(0).choice((-1, 1), pattern.shape)
    kept = [(answers(model, add_pattern(images[60:], p)) == labels[60:]).mean() for p in (pattern, random)]
    assert kept[0] < kept[1] - 0.3


def test_a_pattern_may_have_a_target(model):
    images, target = random_pixels(60, 12), 4
    pattern = universal_pattern(LossGradient(model), images, np.full(60, target), 30, 40, (True, 0))
    before, after = (answers(model, add_pattern(images, p)) == target for p in (0, pattern))
    assert after.mean() > before.mean() + 0.5


def test_epsilon_zero_is_no_pattern(model):
    images = random_pixels(4, 12)
    assert not universal_pattern(LossGradient(model), images, np.zeros(4, int), 0, 2).any()
    np.testing.assert_array_equal(add_pattern(images, np.zeros((12, 12, 3))), images)


def test_images_that_are_fooled_clearly_have_no_say(model):
    pixels = random_pixels(4, 12, kind=np.float32)
    labels = answers(model, pixels)
    wrong = np.asarray(model(pixels, training=False)).argmin(axis=1)
    gradient = LossGradient(model)
    assert (gradient.log_odds(pixels, wrong)[0] > 3).all()
    assert not ascent_of_each(gradient, pixels, wrong, False).any()
    assert ascent_of_each(gradient, pixels, labels, False).any(axis=(1, 2, 3)).all()
