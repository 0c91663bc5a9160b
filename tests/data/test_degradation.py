"""Degraded views: each kind comes, of every strength, and the draws decide everything."""

import numpy as np
import pytest

from tlkit.data import degradation
from tlkit.data.degradation import degrade_image

SIDE = 48


@pytest.fixture(scope="module")
def image():
    """A smooth ramp with one sharp edge."""
    ramp = np.tile(np.linspace(60, 180, SIDE, dtype=np.float32)[:, None, None], (1, SIDE, 3))
    ramp[:, SIDE // 2 :] += 40
    return ramp.astype(np.uint8)


def degraded(image, seed):
    return degrade_image(image, np.random.default_rng(seed))


def test_degraded_images_keep_shape_and_type_and_depend_on_the_generator_alone(image):
    views = [degraded(image, seed) for seed in range(60)]
    assert {(view.shape, view.dtype.name) for view in views} == {(image.shape, "uint8")}
    assert len({view.tobytes() for view in views}) > 40
    for seed, view in enumerate(views):
        np.testing.assert_array_equal(degraded(image, seed), view)


def test_each_kind_comes_about_as_often(image, monkeypatch):
    names, counts = ("add_noise", "_blur", "_compress"), dict.fromkeys(("add_noise", "_blur", "_compress"), 0)
    for name in names:
        original = getattr(degradation, name)

        def counted(*arguments, name=name, original=original):
            counts[name] += 1
            return original(*arguments)

        monkeypatch.setattr(degradation, name, counted)
    for seed in range(300):
        degraded(image, seed)
    assert sum(counts.values()) == 300
    assert min(counts.values()) > 75


def test_strength_runs_from_weak_to_strong(image):
    """The mean change of any value, over many draws."""
    changes = np.array([np.abs(degraded(image, seed).astype(int) - image).mean() for seed in range(300)])
    assert changes.min() < 1
    assert changes.max() > 40


def test_blur_of_a_constant_image_is_that_image_and_noise_is_not():
    constant = np.full((SIDE, SIDE, 3), 128, np.uint8)
    np.testing.assert_array_equal(degradation._blur(constant, 0.02), constant)
    np.testing.assert_array_equal(degradation._compress(constant, 5), constant)
    assert degradation.add_noise(constant, 0.1, np.random.default_rng(0)).std() == pytest.approx(25.5, rel=0.05)
