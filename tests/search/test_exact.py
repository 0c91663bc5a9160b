"""The exact search against the definition: positions and order, also of equally near vectors."""

import numpy as np
import pytest

from tests.search.making import brute_force, make_vectors, write
from tlkit.search import vectors as module
from tlkit.search.exact import nearest_vectors


@pytest.mark.parametrize("count", [1, 10, 700])
@pytest.mark.parametrize("rows", [1, 64, 10_000])
def test_nearest_vectors_are_those_of_brute_force(tmp_path, monkeypatch, count, rows):
    vectors = make_vectors()
    monkeypatch.setattr(module, "BLOCK_BYTES", 4 * 16 * rows)
    file = write(vectors, tmp_path / "v.npy")
    queries = np.concatenate([vectors[:5], make_vectors(5, seed=1)])  # vector 3 has thirty equals
    positions, distances = nearest_vectors(file.blocks(), file.rows, queries, count)
    expected, squared = brute_force(vectors, queries, count)
    np.testing.assert_array_equal(positions, expected)
    np.testing.assert_allclose(distances, squared, atol=1e-12)
    assert positions[3, 0] == 3
    if count > 1:
        assert positions[3, 1 : min(count, 31)].tolist() == list(range(350, 350 + min(count, 31) - 1))


def test_large_values_lose_no_neighbor(tmp_path):
    vectors = 1000 + 0.01 * make_vectors(300)  # float32 products round by more than the distances differ
    file = write(vectors.astype(np.float32), tmp_path / "v.npy")
    stored = np.load(tmp_path / "v.npy")
    positions, _ = nearest_vectors(file.blocks(), file.rows, stored[:20], 5)
    np.testing.assert_array_equal(positions, brute_force(stored, stored[:20], 5)[0])
