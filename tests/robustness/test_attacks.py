"""FGSM and PGD."""

import numpy as np
import pytest

from tests.networks import keras, random_pixels
from tests.robustness.test_gradient import small_classifier
from tlkit.robustness.attacks import AttackOptions, fgsm, pgd, project_to_ball, round_within
from tlkit.robustness.gradient import LossGradient

VARIANTS = [AttackOptions(), AttackOptions(norm="l2", starts=0), AttackOptions(targeted=True), AttackOptions("l2")]


@pytest.fixture(scope="module")
def model():
    return small_classifier()


@pytest.fixture(scope="module")
def gradient(model):
    return LossGradient(model)


def answers(model, images):
    return np.asarray(model(images.astype(np.float32), training=False)).argmax(axis=1)


def both(gradient, images, labels, epsilon, options):
    return [fgsm(gradient, images, labels, epsilon, options), pgd(gradient, images, labels, epsilon, 5, options)]


def distances(changed, images, norm):
    pattern = (changed.astype(float) - images).reshape(len(images), -1)
    return np.abs(pattern).max(axis=1) if norm == "linf" else np.linalg.norm(pattern, axis=1)


@pytest.mark.parametrize("options", VARIANTS)
def test_epsilon_zero_changes_nothing(gradient, options):
    images, labels = random_pixels(3, 12), np.array([0, 1, 2])
    for changed in both(gradient, images, labels, 0, options):
        np.testing.assert_array_equal(changed, images)


@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("epsilon", [0.6, 2, 30])
def test_results_are_bytes_within_epsilon(gradient, options, epsilon):
    images, labels = random_pixels(6, 12), np.arange(6) % 5
    images[0], images[1] = 0, 255  # where the range of pixels ends
    for changed in both(gradient, images, labels, epsilon, options):
        assert changed.dtype == np.uint8 and changed.shape == images.shape
        assert (distances(changed, images, options.norm) <= epsilon + 1e-4).all()


def test_the_loss_rises_and_with_steps_it_rises_further(gradient):
    images, labels = random_pixels(12, 12), np.arange(12) % 5
    for norm, epsilon in (("linf", 40), ("l2", 600)):
        options = AttackOptions(norm)
        losses = [
            gradient.log_odds(changed.astype(np.float32), labels)[0]
            for changed in (
                images,
                fgsm(gradient, images, labels, epsilon, options),
                pgd(gradient, images, labels, epsilon, 30, options),
            )
        ]
        assert losses[0].mean() < losses[1].mean() < losses[2].mean() and (losses[2] > losses[0]).all()


def test_a_target_is_reached(model, gradient):
    images = random_pixels(10, 12)
    targets = (answers(model, images) + 1 + np.arange(10) % 4) % 5
    changed = pgd(gradient, images, targets, 40, 20, AttackOptions(targeted=True))
    assert (answers(model, changed) == targets).mean() >= 0.8


def test_an_image_has_the_same_result_in_any_company(gradient):
    images, labels = random_pixels(5, 12), np.arange(5)
    together = pgd(gradient, images, labels, 4, 3)
    alone = pgd(gradient, images[3:4], labels[3:4], 4, 3)
    assert (together[3] != alone[0]).mean() < 0.01  # rounding of sums may move a value that is between two levels
    other = pgd(gradient, images, labels, 4, 3, AttackOptions(seed=1))
    assert (together != other).mean() > 0.05


def test_of_several_starts_the_best_counts(gradient):
    images, labels = random_pixels(6, 12), np.arange(6) % 5

    def loss(starts):
        changed = pgd(gradient, images, labels, 2, 2, AttackOptions(starts=starts))
        return gradient.log_odds(changed.astype(np.float32), labels)[0]

    assert (loss(4) >= loss(1) - 1e-4).all() and (loss(4) > loss(1)).any()


def test_projection_is_the_nearest_point_of_the_ball():
    origin = np.full((1, 2, 2, 3), 100.0, np.float32)
    np.testing.assert_allclose(project_to_ball(origin + 7, origin, 3, "linf"), origin + 3)
    inside = origin + 0.5
    np.testing.assert_allclose(project_to_ball(inside, origin, 3, "l2"), inside)
    outside = project_to_ball(origin + 7, origin, 3, "l2")
    assert np.linalg.norm(outside - origin) == pytest.approx(3, rel=1e-5) and np.ptp(outside - origin) == 0


def test_a_pattern_below_one_level_is_not_rounded_away():
    images = random_pixels(2, 32)
    pattern = np.random.default_rng(0).normal(size=images.shape)
    pattern *= 20 / np.linalg.norm(pattern.reshape(2, -1), axis=1)[:, None, None, None]
    assert np.abs(pattern).max() < 2 and np.abs(pattern).mean() < 0.5
    changed = round_within(np.clip(images + pattern, 0, 255), images, 20, "l2")
    lengths = distances(changed, images, "l2")
    assert (lengths <= 20).all() and (lengths > 19).all()
    assert ((changed.astype(float) - images) * pattern).sum() > 0


def test_a_gradient_of_zero_changes_nothing():
    pixels = keras.Input((4, 4, 3))
    values = keras.layers.Dense(2, kernel_initializer="zeros")(keras.layers.Flatten()(pixels))
    gradient = LossGradient(keras.Model(pixels, keras.layers.Softmax()(values)))
    images = random_pixels(2, 4)
    for options in (AttackOptions(), AttackOptions("l2")):
        np.testing.assert_array_equal(fgsm(gradient, images, np.array([0, 1]), 5, options), images)
