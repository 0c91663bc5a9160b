"""Nearest neighbors, the same in blocks of any size."""

import numpy as np

from tlkit.features import neighbors
from tlkit.features.neighbors import nearest, unit_rows


def test_nearest_gives_others_in_order(monkeypatch):
    vectors = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    found = nearest(vectors, 4)
    unit = unit_rows(vectors)
    alike = unit @ unit.T
    np.fill_diagonal(alike, -2)
    assert (found == np.argsort(-alike, axis=1)[:, :4]).all()
    monkeypatch.setattr(neighbors, "BLOCK", 7)
    assert (nearest(vectors, 4) == found).all()


def test_few_images_have_few_neighbors():
    vectors = np.eye(3, dtype=np.float32)
    assert nearest(vectors, 5).shape == (3, 2)
    assert nearest(vectors[:1], 5).shape == (1, 0)
    assert nearest(vectors[:0], 5).shape[0] == 0
