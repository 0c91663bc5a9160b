"""Figures of retrieval: precision, recall and average precision of rankings, without the query and its duplicates."""

from dataclasses import dataclass

import numpy as np

BLOCK_BYTES = 256 << 20  # of similarities that are held at a time
DECIMALS = 9  # of similarities; what differs by less is equally near, and the first image comes first


@dataclass(frozen=True)
class PrecisionAtK:
    """The fraction of the k nearest images that are of the query's class.

    Attributes:
        value: the mean over the queries; NaN without any
        num_hits: retrieved images of the query's class
        num_retrieved: retrieved images, k for each query, or fewer where fewer count
        num_queries: images whose neighbors were looked at
    """

    value: float
    num_hits: int
    num_retrieved: int
    num_queries: int


@dataclass(frozen=True)
class RankingScores:
    """Figures of the ranking of every query; float64 (queries,).

    Attributes:
        hits: images of the query's class among the first k
        retrieved: images among the first k; fewer than k where fewer count
        relevant: images of the query's class that count, at all ranks
        recalled: images of the query's class among the first `recall_k`
        average_precision: the mean of the precision at the rank of each relevant image (TREC); NaN without any
    """

    hits: np.ndarray
    retrieved: np.ndarray
    relevant: np.ndarray
    recalled: np.ndarray
    average_precision: np.ndarray


def precision_at_k(
    features: np.ndarray,
    labels: np.ndarray,
    k: int,
    groups: np.ndarray | None = None,
    is_query: np.ndarray | None = None,
) -> PrecisionAtK:
    """Measure how many of the k images nearest to each query are of its class.

    The query does not count as its own neighbor, and neither do images of its group. Similarity is the cosine; equally
    near images count in their order.

    Args:
        features: float (images, values)
        labels: int (images,)
        groups: (images,), numbers or texts: images that share one are duplicates; None where there are none
        is_query: bool (images,): the queries, whose neighbors are then looked for among the other images only; None
            where every image is a query and a neighbor of the others
    """
    queries = np.arange(len(features)) if is_query is None else np.flatnonzero(is_query)
    ranked = np.arange(len(features)) if is_query is None else np.flatnonzero(~np.asarray(is_query))
    unit, labels = unit_length(features), np.asarray(labels)
    groups = np.arange(len(features)) if groups is None else np.asarray(groups)
    scores = []
    for block in query_blocks(queries, len(ranked)):
        counts = groups[block][:, None] != groups[ranked]
        relevant = labels[block][:, None] == labels[ranked]
        scores.append(score_rankings(unit[block] @ unit[ranked].T, relevant, counts, k))
    hits, retrieved = (
        np.concatenate([getattr(score, name) for score in scores]) if scores else np.zeros(0)
        for name in ("hits", "retrieved")
    )
    asked = retrieved > 0
    value = float(np.mean(hits[asked] / retrieved[asked])) if asked.any() else float("nan")
    return PrecisionAtK(value, int(hits.sum()), int(retrieved.sum()), int(asked.sum()))


def score_rankings(
    similarities: np.ndarray, relevant: np.ndarray, counts: np.ndarray, k: int, recall_k: int = 0
) -> RankingScores:
    """Score the rankings of some queries.

    Args:
        similarities: float64 (queries, images), the larger the nearer
        relevant: bool (queries, images): the image is of the query's class
        counts: bool (queries, images): the image is neither the query nor a duplicate of it
        k: number of first images whose precision is measured
        recall_k: the same for recall; 0 for k
    """
    ranked = np.where(counts, np.round(similarities, DECIMALS), -np.inf)
    order = np.argsort(-ranked, axis=1, kind="stable")
    hits = np.take_along_axis(relevant & counts, order, axis=1)
    num_relevant = hits.sum(axis=1)
    ranks = np.arange(1, hits.shape[1] + 1)
    precisions = np.where(hits, np.cumsum(hits, axis=1) / ranks, 0).sum(axis=1)
    average = np.divide(precisions, num_relevant, out=np.full(len(hits), np.nan), where=num_relevant > 0)
    return RankingScores(
        hits=hits[:, :k].sum(axis=1).astype(float),
        retrieved=np.minimum(counts.sum(axis=1), k).astype(float),
        relevant=num_relevant.astype(float),
        recalled=hits[:, : recall_k or k].sum(axis=1).astype(float),
        average_precision=average,
    )


def unit_length(rows: np.ndarray) -> np.ndarray:
    """Scale rows to length 1, so that products are cosines: float64 (rows, values). A row of zeros stays zero."""
    rows = np.asarray(rows, np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: np.ndarray = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return unit


def query_blocks(queries: np.ndarray, num_images: int) -> list[np.ndarray]:
    """Cut queries into blocks whose rankings fit into memory."""
    rows = max(1, BLOCK_BYTES // (8 * max(1, num_images) * 4))
    return [queries[start : start + rows] for start in range(0, len(queries), rows)]
