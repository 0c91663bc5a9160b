"""Figures of retrieval against a plain loop, and what does not count."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from tlkit.search import metrics
from tlkit.search.metrics import precision_at_k, score_rankings, unit_length


def looped_precision(features, labels, k, groups, queries, ranked):
    """The definition, image by image."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    values = []
    for query in queries:
        others = [image for image in ranked if groups[image] != groups[query]]
        nearest = sorted(others, key=lambda image: (-round(float(unit[query] @ unit[image]), 9), image))[:k]
        if nearest:
            values.append(np.mean([labels[image] == labels[query] for image in nearest]))
    return np.mean(values)


@pytest.mark.parametrize("k", [1, 5, 1000])
@pytest.mark.parametrize("are_split", [False, True])
def test_precision_is_that_of_the_definition(k, are_split, monkeypatch):
    random = np.random.default_rng(0)
    features = random.integers(-2, 3, (60, 4)) + 0.5  # few values, so that many images are equally near
    labels, groups = random.integers(0, 3, 60), random.integers(0, 40, 60)
    is_query = random.random(60) < 0.3 if are_split else None
    queries = range(60) if is_query is None else np.flatnonzero(is_query)
    ranked = range(60) if is_query is None else np.flatnonzero(~is_query)
    expected = looped_precision(features, labels, k, groups, queries, ranked)
    assert precision_at_k(features, labels, k, groups, is_query).value == pytest.approx(expected, abs=1e-12)
    monkeypatch.setattr(metrics, "BLOCK_BYTES", 8000)  # blocks of a few queries
    assert precision_at_k(features, labels, k, groups, is_query).value == pytest.approx(expected, abs=1e-12)


def test_neither_the_query_nor_its_duplicates_count():
    features = np.array([[1, 0], [1, 0], [1, 0.1], [0, 1]], float)
    labels = np.array([0, 0, 1, 1])
    with_copies = precision_at_k(features, labels, 1)
    assert (with_copies.num_hits, with_copies.num_retrieved, with_copies.num_queries) == (3, 4, 4)
    without = precision_at_k(features, labels, 1, groups=np.array(["a", "a", "b", "c"]))
    assert (without.num_hits, without.value) == (1, 0.25)  # only the last image finds one of its class


def test_fewer_images_than_k_and_no_image_at_all():
    alone = precision_at_k(np.ones((1, 3)), np.zeros(1), 5)
    assert (alone.num_queries, alone.num_retrieved) == (0, 0)
    assert np.isnan(alone.value)
    assert precision_at_k(np.eye(3), np.zeros(3), 5).num_retrieved == 6
    none = precision_at_k(np.eye(3), np.zeros(3), 5, is_query=np.zeros(3, bool))
    assert (none.num_queries, none.num_retrieved) == (0, 0)


def test_average_precision_is_that_of_scikit_learn():
    random = np.random.default_rng(1)
    similarities, relevant = random.random((20, 50)), random.random((20, 50)) < 0.3
    counts = random.random((20, 50)) < 0.9
    scores = score_rankings(similarities, relevant, counts, 5, 10)
    for query in range(20):
        kept = counts[query]
        expected = average_precision_score(relevant[query, kept], similarities[query, kept])
        assert scores.average_precision[query] == pytest.approx(expected, abs=1e-12)
    first = np.argsort(-np.where(counts, similarities, -1), axis=1)[:, :10]
    np.testing.assert_array_equal(scores.recalled, np.take_along_axis(relevant, first, axis=1).sum(axis=1))
    np.testing.assert_array_equal(scores.relevant, (relevant & counts).sum(axis=1))
    nothing = score_rankings(similarities, np.zeros((20, 50), bool), counts, 5)
    assert np.isnan(nothing.average_precision).all()


def test_a_row_of_zeros_is_like_nothing():
    np.testing.assert_array_equal(unit_length(np.array([[0.0, 0.0], [3.0, 4.0]])), [[0, 0], [0.6, 0.8]])
