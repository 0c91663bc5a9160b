"""Nearest neighbors among the images themselves."""

import numpy as np

BLOCK = 1024  # images whose distances to all others are computed at a time


def nearest(vectors: np.ndarray, count: int) -> np.ndarray:
    """Find the nearest other images of each, by cosine: int64 (images, count), the nearest first.

    Args:
        vectors: float32 (images, values)
        count: of neighbors; all others where there are fewer
    """
    count = max(0, min(count, len(vectors) - 1))
    found = np.empty((len(vectors), count), np.int64)
    if count == 0:
        return found
    unit = unit_rows(vectors)
    for start in range(0, len(unit), BLOCK):
        alike = unit[start : start + BLOCK] @ unit.T
        alike[np.arange(len(alike)), np.arange(start, start + len(alike))] = -np.inf
        top = np.argpartition(-alike, count - 1, axis=1)[:, :count]
        order = np.argsort(-np.take_along_axis(alike, top, axis=1), axis=1, kind="stable")
        found[start : start + BLOCK] = np.take_along_axis(top, order, axis=1)
    return found


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Scale columns to unit deviation about their mean, then rows to unit length: float32."""
    centered = vectors.astype(np.float32) - vectors.mean(axis=0, dtype=np.float32)
    deviations = centered.std(axis=0)
    scaled = centered / np.where(deviations > 0, deviations, 1)
    unit: np.ndarray = scaled / np.maximum(np.linalg.norm(scaled, axis=1, keepdims=True), 1e-6)
    return unit
