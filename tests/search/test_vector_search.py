"""Candidates of an index, compared exactly."""

import numpy as np
import pytest

faiss = pytest.importorskip("faiss")

from tests.search.making import brute_force, make_vectors, write
from tlkit.search import vector_search as module
from tlkit.search.approximate import fill_index, train_index
from tlkit.search.vector_search import VectorSearch


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    faiss.omp_set_num_threads(1)
    vectors = make_vectors()
    file = write(vectors, tmp_path_factory.mktemp("vectors") / "v.npy")
    index = train_index("pq", file, 4, 0)
    fill_index(index, file, 0, lambda count: None)
    return vectors, VectorSearch(file, index)


def test_with_all_as_candidates_the_answer_is_exact(searched):
    vectors, search = searched
    queries = make_vectors(30, seed=2)
    positions, distances = search.nearest(queries, 10, rerank=700)
    expected, squared = brute_force(vectors, queries, 10)
    np.testing.assert_allclose(distances, squared, atol=1e-5)
    assert np.mean(positions == expected) > 0.99  # float32 decides between almost equal distances


def test_more_candidates_find_more(searched):
    vectors, search = searched
    queries = make_vectors(30, seed=2)
    expected, _ = brute_force(vectors, queries, 10)
    recalls = []
    for rerank in (0, 30, 200):
        found, _ = search.nearest(queries, 10, rerank)
        recalls.append(np.mean([np.isin(best, row).mean() for best, row in zip(expected, found, strict=True)]))
    assert recalls[0] < recalls[1] <= recalls[2]
    assert recalls[2] > 0.95


def test_queries_one_by_one_and_together_give_the_same(searched, monkeypatch):
    _, search = searched
    queries = make_vectors(9, seed=3)
    together = search.nearest(queries, 5, 50)
    monkeypatch.setattr(module, "QUERIES", 4)
    for one, other in zip(together, search.nearest(queries, 5, 50), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_more_than_there_are_gives_all(searched):
    vectors, search = searched
    exact = VectorSearch(search.vectors)
    positions, _ = exact.nearest(vectors[:2], 5000)
    assert sorted(positions[0].tolist()) == list(range(700))
    assert exact.nearest(vectors[:0], 3)[0].shape == (0, 3)
