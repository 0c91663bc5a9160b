"""Bags of features and Fisher vectors: against scikit-image, and what a pyramid is."""

import numpy as np
import pytest

pytest.importorskip("sklearn")

from tlkit.classic.encoding import encode, fit_vocabulary


def patches(count=400, length=6, seed=0):
    random = np.random.default_rng(seed)
    values = random.normal(0, 1, (count, length)) + 3 * random.integers(0, 2, (count, 1))
    return np.concatenate([values, random.random((count, 2))], axis=1).astype(np.float16)


@pytest.fixture(scope="module", params=["bow", "fisher"])
def vocabulary(request):
    return fit_vocabulary(request.param, patches(3000), seed=0)


def test_a_bag_counts_the_nearest_centres():
    centres = {"centres": np.array([[0, 0], [10, 10], [20, 20]], np.float32)}
    seen = np.array([[1, 1, 0, 0], [0, 2, 0, 0], [11, 9, 0, 0]], np.float16)
    np.testing.assert_allclose(encode(centres, seen, 1), np.sqrt([2 / 3, 1 / 3, 0]), atol=1e-6)


def test_a_fisher_vector_is_scikit_images():
    feature = pytest.importorskip("skimage.feature")
    mixture = pytest.importorskip("sklearn.mixture").GaussianMixture(3, covariance_type="diag", random_state=0)
    learnt_from, seen = (patches(count, seed=count)[:, :-2].astype(np.float64) for count in (2000, 150))
    mixture.fit(learnt_from)
    kept = {"mean": np.zeros(6), "components": np.eye(6), "weights": mixture.weights_, "means": mixture.means_}
    found = encode(kept | {"variances": mixture.covariances_}, np.pad(seen, ((0, 0), (0, 2))), 1)
    expected = feature.fisher_vector(seen, mixture, improved=True)[3:]  # without the gradients of the weights
    expected[len(expected) // 2 :] *= -1  # it writes those of the deviations the other way round
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-4)


def test_the_length_is_one_and_the_order_of_patches_does_not_count(vocabulary):
    seen = patches(seed=5)
    found = encode(vocabulary, seen, 2)
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(encode(vocabulary, seen[::-1], 2), found, atol=1e-4)  # roots of sums near zero


def test_a_pyramid_has_the_whole_and_its_quarters(vocabulary):
    seen = patches(seed=5)
    whole, pyramid = encode(vocabulary, seen, 1), encode(vocabulary, seen, 2)
    assert len(pyramid) == 5 * len(whole)
    np.testing.assert_allclose(pyramid[: len(whole)] * np.sqrt(5), whole, atol=1e-5)
    mirrored = seen.copy()
    mirrored[:, -2] = 1 - seen[:, -2]
    left, right = encode(vocabulary, seen, 2)[len(whole) :].reshape(2, 2, -1).transpose(1, 0, 2)
    other_left, other_right = encode(vocabulary, mirrored, 2)[len(whole) :].reshape(2, 2, -1).transpose(1, 0, 2)
    np.testing.assert_allclose(left, other_right, atol=1e-2)
    np.testing.assert_allclose(right, other_left, atol=1e-2)


def test_one_seed_learns_one_vocabulary():
    first, again = (fit_vocabulary("bow", patches(3000), seed=3)["centres"] for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_a_picture_of_flat_patches_has_a_vector_too(vocabulary):
    assert np.isfinite(encode(vocabulary, np.zeros((9, 8), np.float16), 2)).all()
