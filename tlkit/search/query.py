"""The images of an index that are nearest to given images."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.data.folder import ImageFolder
from tlkit.errors import DataError, OptionError, RunError
from tlkit.inference.inputs import ImageInput, expand_inputs
from tlkit.search.images import flat_features, require_same_features
from tlkit.search.index import FACTS, Index, damage_of, damaged, open_index
from tlkit.search.source import ImageSource, stored_source
from tlkit.settings.base import settings_or_options
from tlkit.settings.search import QuerySettings
from tlkit.utils.progress import Progress, Silent

DECIMALS = 6  # of distances


@dataclass(frozen=True)
class Match:
    """An image of an index that is near to a query.

    Attributes:
        path: relative to the folder it was indexed from
        root: that folder
        label: its class; "" without one
        distance: 0 (equal) to 2 (opposite) for cosine distances
    """

    path: str
    root: str
    label: str
    distance: float


@dataclass(frozen=True)
class QueryResult:
    """The answer to one query.

    Attributes:
        path: of the query, as it was given
        matches: the nearest first
        error: why the query cannot be read; None where it can
    """

    path: str
    matches: tuple[Match, ...]
    error: str | None = None


def search_images(
    index: Index | str | Path,
    images: Iterable[ImageInput],
    settings: QuerySettings | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> list[QueryResult]:
    """Find the images of an index that are nearest to each of some images.

    Args:
        index: as `open_index` gives it, or its folder
        images: files, folders of files, or patterns
        settings: the options; the defaults where it is None
        progress: shows what is done; nothing is shown where it is None
        options: fields of `QuerySettings`, in place of `settings`

    Returns:
        A result for each file, in order; of one that cannot be read, with the reason

    Raises:
        DataError: if there is no file
        ModelError
        RunError: if the index is damaged, or its network is another one now
        OptionError
    """
    settings = settings_or_options(QuerySettings, settings, options)
    index = index if isinstance(index, Index) else open_index(index)
    paths = [str(given) for given in expand_inputs([images] if isinstance(images, str | Path) else images)]
    if not paths:
        raise DataError("no file was found; give image files or folders that hold some.")
    folder = ImageFolder(Path(), ("",), tuple(paths), np.zeros(len(paths), np.int32), ("",) * len(paths))
    source = source_of(index, settings.run, settings.trust_model)
    features, feature_key = source.read(folder, progress or Silent())
    require_same_features(index, feature_key)
    errors = {entry.path: entry.reason for entry in features.folder.skipped}
    readable = features.folder.paths
    matches = dict[str, tuple[Match, ...]]()
    if readable:
        vectors = index.embed(flat_features(features.load(features.folder)))
        positions, distances = index.nearest(vectors, settings.k, settings.rerank)
        rows = [_matches(index, *row) for row in zip(positions, distances, strict=True)]
        matches = dict(zip(readable, rows, strict=True))
    return [QueryResult(path, matches.get(path, ()), errors.get(path)) for path in paths]


def refuse_foreign_files(index: Index, run: str) -> None:
    """Check that a stranger's index names no file that is to be opened.

    Args:
        run: the run folder that a person named instead; else ""

    Raises:
        RunError
    """
    stored = index.facts.source
    if not index.is_own and not run and (stored["run"] or stored["weights"] not in ("imagenet", "none")):
        raise RunError(
            f"'{index.path}' was not made on this machine, and no file that it names is opened; name its run with "
            "--run, or index the images again."
        )


def source_of(index: Index, run: str, trust_model: bool) -> ImageSource:
    """Find the network or descriptor of an index, which may be a stranger's.

    Args:
        run: its run folder, if that moved; else ""

    Raises:
        RunError, ModelError
    """
    refuse_foreign_files(index, run)
    try:
        return stored_source(index.facts.source, run, trust_model)
    except (OptionError, TypeError) as error:
        raise damaged(index.path / FACTS, str(error).rstrip(".")) from None


def _matches(index: Index, positions: np.ndarray, distances: np.ndarray) -> tuple[Match, ...]:
    found = positions >= 0
    with damage_of(index.path / index.facts.name("images")):
        records = index.images.read(positions[found].tolist())
    return tuple(
        Match(record.path, index.facts.roots[record.root], record.label, round(float(distance), DECIMALS))
        for record, distance in zip(records, distances[found], strict=True)
    )
