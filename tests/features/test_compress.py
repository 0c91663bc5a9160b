"""Shorter rows: what is fitted on training rows, and what is kept of them."""

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("faiss")

from tlkit.errors import OptionError
from tlkit.features.compress import Codec, ProductQuantizer, fit_codec


def rows(count=400, length=12, seed=0):
    random = np.random.default_rng(seed)
    return (random.normal(0, 1, (count, 3)) @ random.normal(0, 1, (3, length)) + 5).astype(np.float32)


def test_fit_codec_without_anything_asked_for_changes_nothing():
    codec = fit_codec(rows(), 0, 0, 0)
    np.testing.assert_array_equal(codec.project(rows()), rows())
    assert codec == Codec()
    assert codec.arrays() == {}


def test_projection_is_orthogonal_foremost_first_and_explains_what_there_is():
    projection = fit_codec(rows(), 4, 0, 0).projection
    np.testing.assert_allclose(projection.components @ projection.components.T, np.eye(4), atol=1e-5)
    assert np.all(np.diff(projection.explained) <= 1e-6)
    np.testing.assert_allclose(projection.explained[:3].sum(), 1, atol=1e-4)  # three directions are all there are
    np.testing.assert_allclose(projection.transform(rows()).mean(axis=0), 0, atol=1e-4)


def test_projection_on_all_there_is_keeps_distances():
    codec, values = fit_codec(rows(), 3, 0, 0), rows(seed=0)
    before = np.linalg.norm(values[:50, None] - values[None, 50:100], axis=-1)
    after = np.linalg.norm(codec.project(values)[:50, None] - codec.project(values)[None, 50:100], axis=-1)
    np.testing.assert_allclose(before, after, rtol=1e-3)


def test_encode_gives_the_nearest_centers_as_faiss_does():
    import faiss

    values = rows(count=600)
    quantizer = fit_codec(values, 0, 4, 0).quantizer
    codes = quantizer.encode(values)
    assert codes.shape == (600, 4)
    assert codes.dtype == np.uint8
    theirs = faiss.ProductQuantizer(12, 4, 8)
    faiss.copy_array_to_vector(quantizer.centers.ravel(), theirs.centroids)
    np.testing.assert_array_equal(codes, theirs.compute_codes(values))
    np.testing.assert_allclose(quantizer.decode(codes), theirs.decode(codes), atol=1e-6)
    spread = np.mean((values - values.mean(axis=0)) ** 2)
    assert np.mean((quantizer.decode(codes) - values) ** 2) < 0.05 * spread


def test_fit_codec_with_the_same_seed_gives_the_same_codes():
    for seed in (0, 7, 2**31 - 1):
        first, second = (fit_codec(rows(), 0, 3, seed).quantizer.encode(rows()) for _ in range(2))
        np.testing.assert_array_equal(first, second)


def test_quantizer_of_few_rows_has_few_centers():
    for count in (1, 2, 5, 300):
        values = rows(count=count)
        quantizer = fit_codec(values, 0, 2, 0).quantizer
        assert quantizer.centers.shape[1] <= max(1, count)
        if count < 256:
            assert quantizer.encode(values).max() < quantizer.centers.shape[1]


def test_decode_takes_the_centers_a_code_names():
    quantizer = ProductQuantizer(np.array([[[0.0], [1.0]], [[5.0], [7.0]]], np.float32))
    np.testing.assert_array_equal(quantizer.decode(np.array([[1, 0]], np.uint8)), [[1, 5]])
    np.testing.assert_array_equal(quantizer.encode(np.array([[0.9, 6.4]], np.float32)), [[1, 1]])


def test_fit_codec_of_what_cannot_be_says_what_can():
    with pytest.raises(OptionError, match=r"--pca is 13.* at most 12 .* 400 .*"):
        fit_codec(rows(), 13, 0, 0)
    with pytest.raises(OptionError, match=r"--pq is 5.* 12 features, e.g. [46]"):
        fit_codec(rows(), 0, 5, 0)
