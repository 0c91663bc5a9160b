"""Vectors and small indexes for tests of search."""

import numpy as np

from tlkit.search.vectors import open_vectors, write_vectors


def make_vectors(count=700, values=16, seed=0):
    """Unit vectors around a few centers, some of them equal."""
    random = np.random.default_rng(seed)
    vectors = random.normal(0, 1, (20, values))[random.integers(0, 20, count)] + random.normal(0, 0.2, (count, values))
    vectors[count // 2 : count // 2 + 30] = vectors[3]
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


def write(vectors, file, dtype="float32"):
    write_vectors(file, np.array_split(vectors, 3), vectors.shape, dtype)
    return open_vectors(file)


def brute_force(vectors, queries, count):
    """The definition, in float64: the nearest first, of equally near ones the first."""
    distances = ((queries.astype(np.float64)[:, None] - vectors.astype(np.float64)[None]) ** 2).sum(axis=2)
    order = np.argsort(distances, axis=1, kind="stable")[:, :count]
    return order, np.take_along_axis(distances, order, axis=1)
