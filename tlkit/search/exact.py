"""The nearest vectors, exactly: every vector is compared with every query, in float64 where it decides.

Matrix products in float32 find the candidates. Their rounding depends on the place of a vector in its block, so what is
as near as the last candidate, up to that rounding, stays in; float64 distances, computed vector by vector, decide.
"""

from collections.abc import Callable, Iterable

import numpy as np

CHUNK = 512  # candidates whose exact distances are computed at a time
TOLERANCE = 1e-5  # of squared distances in float32, relative to squared lengths


def nearest_vectors(
    blocks: Iterable[tuple[int, np.ndarray]],
    read_rows: Callable[[np.ndarray], np.ndarray],
    queries: np.ndarray,
    count: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest vectors of each query; of equally near ones the first positions.

    Args:
        blocks: all vectors: position of the first of a block, float32 (vectors, values)
        read_rows: gives the vectors at some positions, float32
        queries: float32 (queries, values)
        count: of vectors for each query, at most as many as there are

    Returns:
        positions int64 and squared distances float64, each (queries, count), the nearest first
    """
    found: list[list[np.ndarray]] = [[] for _ in queries]
    limits = np.full(len(queries), np.inf)  # squared distance beyond which a vector is not among the nearest
    lengths = np.einsum("ij,ij->i", queries, queries)
    for start, block in blocks:
        block_lengths = np.einsum("ij,ij->i", block, block)
        squared = lengths[:, None] + block_lengths - 2 * (queries @ block.T)
        slack = TOLERANCE * (lengths + block_lengths.max(initial=0))
        if len(block) >= count:
            limits = np.minimum(limits, np.partition(squared, count - 1, axis=1)[:, count - 1] + 2 * slack)
        for query, candidates in enumerate(found):
            near = np.flatnonzero(squared[query] <= limits[query])
            candidates.append(near + start)
    positions = np.empty((len(queries), count), np.int64)
    distances = np.empty((len(queries), count))
    for query, candidates in enumerate(found):
        everything = np.concatenate(candidates)
        exact = np.concatenate(
            [
                squared_distances_to(read_rows(everything[first : first + CHUNK]), queries[query])
                for first in range(0, len(everything), CHUNK)
            ]
        )
        order = np.lexsort((everything, exact))[:count]
        positions[query], distances[query] = everything[order], exact[order]
    return positions, distances


def squared_distances_to(rows: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Compute the squared distance of each row to a query, row by row, so that equal rows have equal ones: float64."""
    differences = rows.astype(np.float64) - query.astype(np.float64)
    squared: np.ndarray = (differences * differences).sum(axis=1)
    return squared
