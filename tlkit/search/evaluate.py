"""Figures of an index: precision, recall and mean average precision of finding the class of a query.

Every query is compared with every image that counts, so the figures are those of the features. How much an index of
FAISS loses is a figure of its own: the fraction of the exact nearest images that it finds.
"""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.classic.distances import squared_distances
from tlkit.data.listing import natural_key
from tlkit.data.reader import DataOptions, read_data
from tlkit.errors import DataError
from tlkit.runs.warm_start import previous_run
from tlkit.search.images import flat_features, make_records, regroup, require_same_features, thumbnails_of
from tlkit.search.index import Index, damage_of, open_index
from tlkit.search.metrics import RankingScores, query_blocks, score_rankings
from tlkit.search.query import refuse_foreign_files, source_of
from tlkit.search.records import ImageRecord
from tlkit.search.source import run_of
from tlkit.search.vector_search import VectorSearch
from tlkit.settings.base import settings_or_options
from tlkit.settings.search import QuerySettings, SearchEvaluateSettings
from tlkit.utils.progress import Progress, Silent

MAX_CHECKED = 200  # queries by which an index of FAISS is compared with the exact answer


@dataclass(frozen=True)
class Figures:
    """Means over some queries; each is NaN without any.

    Attributes:
        precision: fraction of the first images that are of the query's class
        recall: fraction of all images of the query's class that are among the first
        average_precision: mean over the queries (mAP)
        num_queries: that have an image of their class to find
        hits, retrieved: images behind the precision
    """

    precision: float
    recall: float
    average_precision: float
    num_queries: int
    hits: int
    retrieved: int


@dataclass(frozen=True)
class SearchEvaluation:
    """The result of `tlkit search evaluate`.

    Attributes:
        all_queries: figures of all queries
        new_queries: figures of the queries that the run was not trained on; None where the features are of no run
        by_class: figures of each class
        num_trained_on: queries that the run was trained on; None where the features are of no run
        num_alone: queries without an image of their class to find; they do not count
        num_ranked: images among which neighbors are looked for
        found_of_exact: fraction of the exact nearest images that FAISS finds; None where every vector is compared
        precision_k, recall_k: numbers of first images
        skipped: query files that cannot be read
    """

    all_queries: Figures
    new_queries: Figures | None
    by_class: dict[str, Figures] = field(repr=False)
    num_trained_on: int | None
    num_alone: int
    num_ranked: int
    found_of_exact: float | None
    precision_k: int
    recall_k: int
    skipped: int

    def as_json(self) -> dict[str, Any]:
        """Give the content of `tlkit search evaluate --json`."""
        content = self._figures(self.all_queries) | {"trained_on": self.num_trained_on, "alone": self.num_alone}
        content |= {"images": self.num_ranked, "found_of_exact": self.found_of_exact, "unreadable": self.skipped}
        content["not_trained_on"] = self._figures(self.new_queries) if self.new_queries else None
        return content | {"classes": {name: self._figures(figures) for name, figures in self.by_class.items()}}

    def _figures(self, figures: Figures) -> dict[str, Any]:
        values = {
            f"precision_at_{self.precision_k}": figures.precision,
            f"recall_at_{self.recall_k}": figures.recall,
            "map": figures.average_precision,
        }
        rounded = {name: None if np.isnan(value) else round(value, 6) for name, value in values.items()}
        return rounded | {"queries": figures.num_queries, "hits": figures.hits, "retrieved": figures.retrieved}


@dataclass(frozen=True)
class _Columns:
    """Labels, groups of duplicates and digests of pixels of some images, as arrays."""

    labels: np.ndarray
    groups: np.ndarray
    digests: np.ndarray

    def at(self, positions: np.ndarray) -> "_Columns":
        """Take some of the images."""
        return _Columns(self.labels[positions], self.groups[positions], self.digests[positions])


@dataclass(frozen=True)
class _Queries:
    """The queries: what is known of them, their vectors, the number of files that cannot be read."""

    columns: _Columns
    vectors: np.ndarray
    skipped: int


def evaluate_index(
    index: Index | str | Path,
    settings: SearchEvaluateSettings | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> SearchEvaluation:
    """Measure how well an index finds images of the class of a query.

    The query itself never counts, and neither do duplicates of it: images with equal pixels, near duplicates, and
    images of its group. Images without a class are neither queries nor found.

    Args:
        index: as `open_index` gives it, or its folder
        settings: the options; the defaults where it is None
        progress: shows what is done; nothing is shown where it is None
        options: fields of `SearchEvaluateSettings`, in place of `settings`

    Returns:
        Figures of all queries and of each class

    Raises:
        DataError: if the images have no classes, or there is no query
        RunError
        OptionError
    """
    settings, progress = settings_or_options(SearchEvaluateSettings, settings, options), progress or Silent()
    index = index if isinstance(index, Index) else open_index(index)
    refuse_foreign_files(index, settings.run)
    records = list(index.records())
    if not any(record.label for record in records):
        raise DataError(f"the images of '{index.path}' have no classes; index a folder of classes to evaluate it.")
    if settings.queries:
        queries, every = _read_queries(index, records, settings, progress)
        ranked = np.flatnonzero(every.labels != "")
    else:
        every, subsets = _columns(records), np.array([record.subset for record in records])
        is_known, in_all = every.labels != "", settings.subset == "all"
        ranked = np.flatnonzero(is_known & ((subsets == "train") | in_all))
        wanted = np.flatnonzero(is_known & ((subsets == settings.subset) | in_all))
        wanted = _drawn(wanted, settings.max_queries, index.facts.seed)
        queries = _Queries(every.at(wanted), _vectors_at(index, wanted), 0)
    if not len(queries.vectors) or not len(ranked):
        where = f"'{settings.queries}' that can be read" if settings.queries else f"'{index.path}'"
        kind = "" if settings.subset == "all" else f"{settings.subset} "
        raise DataError(f"there are no {kind}images in {where} to use as queries; give others.")
    ks = settings.precision_k, settings.recall_k
    scores = _rank(index, queries, every.at(ranked), ranked, ks, progress)
    figures = _summary(scores, queries, _new_to_run(index, queries, settings.run), ks)
    found_of_exact = _found_of_exact(index, queries.vectors, max(ks))
    return SearchEvaluation(**figures, num_ranked=len(ranked), found_of_exact=found_of_exact)


def _read_queries(
    index: Index, records: list[ImageRecord], settings: SearchEvaluateSettings, progress: Progress
) -> tuple[_Queries, _Columns]:
    """Read the images of another folder, and group them with those of the index.

    Returns:
        The queries, and what is known of the images of the index
    """
    folder = read_data(settings.queries, DataOptions())
    source = source_of(index, settings.run, settings.trust_model)
    features, feature_key = source.read(folder, progress)
    require_same_features(index, feature_key)
    num_skipped, folder = len(features.folder.skipped), features.folder
    if not len(folder):
        return _Queries(_columns([]), np.empty((0, 1), np.float32), num_skipped), _columns(records)
    folder = folder.subset(_drawn(np.arange(len(folder)), settings.max_queries, index.facts.seed))
    asked = make_records(folder, [""] * len(folder), 0)
    with damage_of(index.path / index.facts.name("thumbnails")):
        thumbnails = np.concatenate([*(block for _, block in index.thumbnails.blocks()), thumbnails_of(folder)])
    grouped, _ = regroup([*records, *asked], thumbnails)
    vectors = index.embed(flat_features(features.load(folder)))
    return _Queries(_columns(grouped[len(records) :]), vectors, num_skipped), _columns(grouped[: len(records)])


def _columns(records: list[ImageRecord]) -> _Columns:
    names = "label", "group", "digest"
    return _Columns(*(np.array([getattr(record, name) for record in records], str) for name in names))


def _vectors_at(index: Index, positions: np.ndarray) -> np.ndarray:
    with damage_of(index.path / index.facts.name("vectors")):
        return index.vectors.rows(positions)


def _drawn(positions: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draw at most `count` positions, in order."""
    if len(positions) <= count:
        return positions
    return np.sort(np.random.default_rng(seed).choice(positions, count, replace=False))


def _rank(
    index: Index, queries: _Queries, known: _Columns, ranked: np.ndarray, ks: tuple[int, int], progress: Progress
) -> RankingScores:
    """Rank all images that count for each query.

    Args:
        known: of the images that are ranked
        ranked: their positions in the index
        ks: numbers of first images, for precision and for recall
    """
    parts = []
    with progress.stage("ranking", len(queries.vectors), "queries") as advance:
        for block in query_blocks(np.arange(len(queries.vectors)), len(ranked)):
            similarities = -_squared_distances(index, queries.vectors[block], ranked)
            at = queries.columns.at(block)
            relevant = at.labels[:, None] == known.labels
            counts = at.groups[:, None] != known.groups
            parts.append(score_rankings(similarities, relevant, counts, *ks))
            advance(len(block))
    return RankingScores(*(np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(parts[0])))


def _squared_distances(index: Index, vectors: np.ndarray, ranked: np.ndarray) -> np.ndarray:
    """Compute the squared distance of each query to each image that is ranked: float64 (queries, ranked)."""
    distances, column_of = np.empty((len(vectors), len(ranked))), np.full(len(index), -1)
    column_of[ranked] = np.arange(len(ranked))
    with damage_of(index.path / index.facts.name("vectors")):
        for start, block in index.vectors.blocks():
            columns = column_of[start : start + len(block)]
            distances[:, columns[columns >= 0]] = squared_distances(vectors, block[columns >= 0])
    return distances


def _summary(
    scores: RankingScores, queries: _Queries, is_new: np.ndarray | None, ks: tuple[int, int]
) -> dict[str, Any]:
    """Average scores over all queries, those that are new to the run, and those of each class."""
    labels = queries.columns.labels
    names = sorted(set(labels.tolist()), key=natural_key)
    return {
        "all_queries": _figures(scores, np.ones(len(labels), bool)),
        "new_queries": None if is_new is None else _figures(scores, is_new),
        "by_class": {name: _figures(scores, labels == name) for name in names},
        "num_trained_on": None if is_new is None else int((~is_new).sum()),
        "num_alone": int((scores.relevant == 0).sum()),
        "precision_k": ks[0],
        "recall_k": ks[1],
        "skipped": queries.skipped,
    }


def _figures(scores: RankingScores, chosen: np.ndarray) -> Figures:
    """Average the scores of some queries; one without an image of its class to find does not count."""
    chosen = chosen & (scores.relevant > 0)
    hits, retrieved, relevant = scores.hits[chosen], scores.retrieved[chosen], scores.relevant[chosen]
    return Figures(
        precision=_mean(hits / retrieved),
        recall=_mean(scores.recalled[chosen] / relevant),
        average_precision=_mean(scores.average_precision[chosen]),
        num_queries=int(chosen.sum()),
        hits=int(hits.sum()),
        retrieved=int(retrieved.sum()),
    )


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _new_to_run(index: Index, queries: _Queries, run: str) -> np.ndarray | None:
    """Tell which queries the run was not trained on, by their pixels; None where the features are of no run."""
    folder = run_of(index.facts.source, run)
    if not folder:
        return None
    subsets = previous_run(folder).subsets()
    trained_on = [digest for digest, subset in subsets.items() if subset == "train"]
    return ~np.isin(queries.columns.digests, trained_on)


def _found_of_exact(index: Index, vectors: np.ndarray, count: int) -> float | None:
    """Compare the index of FAISS with the exact answer; None where every vector is compared anyway."""
    if not index.uses_faiss:
        return None
    chosen = vectors[_drawn(np.arange(len(vectors)), MAX_CHECKED, index.facts.seed)]
    found, _ = index.nearest(chosen, count, QuerySettings().rerank)
    with damage_of(index.path / index.facts.name("vectors")):
        exact, _ = VectorSearch(index.vectors).nearest(chosen, count)
    return float(np.mean([np.isin(best, row).mean() for best, row in zip(exact, found, strict=True)]))
