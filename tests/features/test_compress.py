"""Shorter rows: what is learnt from training rows, and what is kept of them."""

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("faiss")

from tlkit.errors import OptionError
from tlkit.features.compress import Codec, ProductQuantizer, fit_codec


def rows(count=400, length=12, seed=0):
    random = np.random.default_rng(seed)
    return (random.normal(0, 1, (count, 3)) @ random.normal(0, 1, (3, length)) + 5).astype(np.float32)


def test_nothing_asked_for_changes_nothing():
    codec = fit_codec(rows(), 0, 0, 0)
    np.testing.assert_array_equal(codec.project(rows()), rows())
    assert codec == Codec()
    assert codec.arrays() == {}


def test_components_are_orthogonal_foremost_first_and_explain_what_there_is():
    projection = fit_codec(rows(), 4, 0, 0).projection
    np.testing.assert_allclose(projection.components @ projection.components.T, np.eye(4), atol=1e-5)
    assert np.all(np.diff(projection.explained) <= 1e-6)
    np.testing.assert_allclose(projection.explained[:3].sum(), 1, atol=1e-4)  # three directions are all there are
    np.testing.assert_allclose(projection.apply(rows()).mean(axis=0), 0, atol=1e-4)


def test_distances_survive_a_projection_on_all_there_is():
    codec, values = fit_codec(rows(), 3, 0, 0), rows(seed=0)
    before = np.linalg.norm(values[:50, None] - values[None, 50:100], axis=-1)
    after = np.linalg.norm(codec.project(values)[:50, None] - codec.project(values)[None, 50:100], axis=-1)
    np.testing.assert_allclose(before, after, rtol=1e-3)


def test_codes_are_the_nearest_centres_and_as_faiss_gives_them():
    import faiss

    values = rows(count=600)
    quantizer = fit_codec(values, 0, 4, 0).quantizer
    codes = quantizer.encode(values)
    assert codes.shape == (600, 4)
    assert codes.dtype == np.uint8
    theirs = faiss.ProductQuantizer(12, 4, 8)
    faiss.copy_array_to_vector(quantizer.centres.ravel(), theirs.centroids)
    np.testing.assert_array_equal(codes, theirs.compute_codes(values))
    np.testing.assert_allclose(quantizer.decode(codes), theirs.decode(codes), atol=1e-6)
    spread = np.mean((values - values.mean(axis=0)) ** 2)
    assert np.mean((quantizer.decode(codes) - values) ** 2) < 0.05 * spread


@pytest.mark.parametrize("seed", [0, 7, 2**31 - 1])
def test_the_same_seed_gives_the_same_codes(seed):
    first, second = (fit_codec(rows(), 0, 3, seed).quantizer.encode(rows()) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("count", [1, 2, 5, 300])
def test_few_rows_have_few_centres(count):
    values = rows(count=count)
    quantizer = fit_codec(values, 0, 2, 0).quantizer
    assert quantizer.centres.shape[1] <= max(1, count)
    if count < 256:
        assert quantizer.encode(values).max() < quantizer.centres.shape[1]


def test_decoding_takes_the_centres_a_code_names():
    quantizer = ProductQuantizer(np.array([[[0.0], [1.0]], [[5.0], [7.0]]], np.float32))
    np.testing.assert_array_equal(quantizer.decode(np.array([[1, 0]], np.uint8)), [[1, 5]])
    np.testing.assert_array_equal(quantizer.encode(np.array([[0.9, 6.4]], np.float32)), [[1, 1]])


def test_what_cannot_be_is_said_with_what_can():
    with pytest.raises(OptionError, match=r"--pca is 13; 400 training images with 12 values each have at most 12"):
        fit_codec(rows(), 13, 0, 0)
    with pytest.raises(OptionError, match=r"--pq is 5; 12 values cannot be parted into so many: try [46]\."):
        fit_codec(rows(), 0, 5, 0)
