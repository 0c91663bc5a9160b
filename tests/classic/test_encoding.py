"""Bags of visual words and Fisher vectors: against scikit-image, and what a pyramid is."""

import numpy as np
import pytest

pytest.importorskip("sklearn")

from tlkit.classic import encoding
from tlkit.classic.encoding import encode, fit_vocabulary, sample_patches


def random_patches(count=400, length=6, seed=0):
    random = np.random.default_rng(seed)
    values = random.normal(0, 1, (count, length)) + 3 * random.integers(0, 2, (count, 1))
    return np.concatenate([values, random.random((count, 2))], axis=1).astype(np.float16)


@pytest.fixture(scope="module")
def vocabularies():
    return [fit_vocabulary(kind, random_patches(3000), seed=0) for kind in ("bow", "fisher")]


def test_encode_bag_of_words_counts_the_nearest_centers():
    vocabulary = {"centers": np.array([[0, 0], [10, 10], [20, 20]], np.float32)}
    patches = np.array([[1, 1, 0, 0], [0, 2, 0, 0], [11, 9, 0, 0]], np.float16)
    np.testing.assert_allclose(encode(vocabulary, patches, 1), np.sqrt([2 / 3, 1 / 3, 0]), atol=1e-6)


def test_encode_fisher_vector_is_that_of_scikit_image():
    feature = pytest.importorskip("skimage.feature")
    from sklearn.mixture import GaussianMixture

    train, values = (random_patches(count, seed=count)[:, :-2].astype(np.float64) for count in (2000, 150))
    mixture = GaussianMixture(3, covariance_type="diag", random_state=0).fit(train)
    vocabulary = {
        "mean": np.zeros(6),
        "components": np.eye(6),
        "weights": mixture.weights_,
        "means": mixture.means_,
        "variances": mixture.covariances_,
    }
    vector = encode(vocabulary, np.pad(values, ((0, 0), (0, 2))), 1)
    expected = feature.fisher_vector(values, mixture, improved=True)[3:]  # without the gradients of the weights
    expected[len(expected) // 2 :] *= -1  # scikit-image gives those of the deviations the other sign
    np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-4)


def test_encode_gives_length_1_in_any_order_of_patches(vocabularies):
    patches = random_patches(seed=5)
    for vocabulary in vocabularies:
        vector = encode(vocabulary, patches, 2)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose(encode(vocabulary, patches[::-1], 2), vector, atol=1e-4)  # roots of sums near zero


def test_encode_pyramid_holds_the_whole_image_and_its_quarters(vocabularies):
    patches = random_patches(seed=5)
    mirrored = patches.copy()
    mirrored[:, -2] = 1 - patches[:, -2]
    for vocabulary in vocabularies:
        whole, pyramid = encode(vocabulary, patches, 1), encode(vocabulary, patches, 2)
        assert len(pyramid) == 5 * len(whole)
        np.testing.assert_allclose(pyramid[: len(whole)] * np.sqrt(5), whole, atol=1e-5)
        left, right = pyramid[len(whole) :].reshape(2, 2, -1).transpose(1, 0, 2)
        mirrored_pyramid = encode(vocabulary, mirrored, 2)
        mirrored_left, mirrored_right = mirrored_pyramid[len(whole) :].reshape(2, 2, -1).transpose(1, 0, 2)
        np.testing.assert_allclose(left, mirrored_right, atol=1e-2)
        np.testing.assert_allclose(right, mirrored_left, atol=1e-2)


def test_encode_of_flat_patches_is_finite(vocabularies):
    for vocabulary in vocabularies:
        assert np.isfinite(encode(vocabulary, np.zeros((9, 8), np.float16), 2)).all()


def test_fit_vocabulary_with_one_seed_gives_one_vocabulary():
    first, again = (fit_vocabulary("bow", random_patches(3000), seed=3)["centers"] for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_fit_vocabulary_uses_flat_patches_only_where_all_are_flat():
    patches = random_patches(300)
    patches[:200, :-2] = 0
    assert fit_vocabulary("bow", patches, 0)["centers"].any(axis=1).all()
    assert np.isfinite(fit_vocabulary("bow", np.zeros((5, 8), np.float16), 0)["centers"]).all()


def test_sample_patches_takes_equally_many_of_each_image(monkeypatch):
    monkeypatch.setattr(encoding, "MAX_PATCHES", 30)
    patches = sample_patches((np.full((count, 3), count) for count in (50, 4, 90)), 3, 0)
    assert np.unique(patches[:, 0], return_counts=True)[1].tolist() == [4, 10, 10]
