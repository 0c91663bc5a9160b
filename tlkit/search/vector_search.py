"""The nearest vectors of a file: exactly, or by an index of FAISS whose candidates are compared exactly."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tlkit.search.approximate import nearest_candidates
from tlkit.search.exact import nearest_vectors
from tlkit.search.vectors import MAX_BYTES, VectorFile
from tlkit.utils.reading import open_regular

QUERIES = 64  # that are compared at a time


@dataclass(frozen=True)
class VectorSearch:
    """Search among the vectors of a file.

    Attributes:
        index: of FAISS; None to compare every vector
    """

    vectors: VectorFile
    index: Any = None

    def nearest(self, queries: np.ndarray, count: int, rerank: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Find the nearest vectors of each query, the nearest first.

        Args:
            queries: float32 (queries, values)
            count: of vectors for each query; all where there are fewer
            rerank: candidates of the index whose exact distances are computed; 0 to take the distances of the index

        Returns:
            positions int64, -1 where the index finds too few, and squared distances, each (queries, count)

        Raises:
            ValueError: if the file is damaged
            OSError
        """
        count = min(count, self.vectors.shape[0])
        with open_regular(self.vectors.file, MAX_BYTES) as opened:
            read_rows = partial(self.vectors.rows_of, opened.fileno())
            parts = [
                self._nearest(queries[start : start + QUERIES], count, rerank, read_rows)
                for start in range(0, max(1, len(queries)), QUERIES)
            ]
        positions, distances = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return positions, distances

    def _nearest(
        self, queries: np.ndarray, count: int, rerank: int, read_rows: Callable[[np.ndarray], np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        if self.index is None:
            return nearest_vectors(self.vectors.blocks(), read_rows, queries, count)
        num_candidates = min(max(count, rerank), self.vectors.shape[0])
        candidates, distances = nearest_candidates(self.index, queries, num_candidates)
        for row, query in enumerate(queries if rerank else ()):
            found = candidates[row] >= 0
            differences = read_rows(candidates[row][found])
            differences -= query
            distances[row][found] = np.einsum("ij,ij->i", differences, differences)
            order = np.lexsort((candidates[row], distances[row]))
            candidates[row], distances[row] = candidates[row][order], distances[row][order]
        return candidates[:, :count], distances[:, :count]
