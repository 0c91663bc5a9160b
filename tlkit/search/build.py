"""Make an index of images, add images to it, remove some: each change writes a new generation of files."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.data.listing import FileEntry
from tlkit.data.reader import images_root
from tlkit.errors import DataError, OptionError, RunError, require
from tlkit.features.compress import fit_codec, require_packages_for
from tlkit.search.approximate import check_kind, choose_kind, fill_index, has_faiss, train_index
from tlkit.search.generation import Content, changing, remove_others, write_facts, write_generation
from tlkit.search.images import (
    flat_features,
    group_duplicates,
    labels_of,
    list_images,
    make_records,
    regroup,
    require_same_features,
    sample_features,
    subsets_of,
    thumbnails_of,
    vectors_of,
)
from tlkit.search.index import Index, IndexFacts, embed, open_index
from tlkit.search.records import ImageRecord
from tlkit.search.source import find_source, stored_source
from tlkit.search.vectors import VectorFile
from tlkit.settings.base import settings_or_options
from tlkit.settings.search import IndexSettings
from tlkit.utils.files import check_new_file, new_folder, writing
from tlkit.utils.progress import Progress, Silent
from tlkit.utils.storage import Location, refuse_inside


@dataclass(frozen=True)
class Change:
    """The result of a change of an index.

    Attributes:
        index: the index afterwards
        num_added, num_removed: images
        skipped: files that cannot be read, each with its reason
        notes: what a person should know
    """

    index: Index
    num_added: int
    num_removed: int
    skipped: tuple[FileEntry, ...] = ()
    notes: tuple[str, ...] = ()


def index_images(
    data: str | Location,
    output: str | Path,
    settings: IndexSettings | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Change:
    """Make an index of the images of a folder, by which images that are alike are found.

    Args:
        data: a folder or a table of images
        output: a new folder
        settings: the options; the defaults where it is None
        progress: shows what is done; nothing is shown where it is None
        options: fields of `IndexSettings`, in place of `settings`

    Returns:
        The index, with the files that cannot be read

    Raises:
        DataError
        ModelError
        RunError
        OptionError
    """
    settings, progress = (
        settings_or_options(IndexSettings, settings, options, data=data, output=output),
        progress or Silent(),
    )
    output = Path(output)
    check_new_file(output)
    refuse_inside(data, output)
    require_packages_for(settings.pca, 0)
    folder = list_images(data, settings).surveyed()
    source = find_source(settings, folder)
    features, feature_key = source.read(folder, progress)
    if not len(features.folder):
        raise DataError(f"no image in '{data}' can be read; expected images.")
    folder, notes = group_duplicates(features.folder)
    codec = fit_codec(sample_features(features, folder, settings), settings.pca, 0, settings.seed)
    shape = len(folder), embed(flat_features(features.load(folder.subset([0]))), codec, settings.metric).shape[1]
    kind = choose_kind(shape, has_faiss()) if settings.index == "auto" else settings.index
    check_kind(kind, shape, settings.code_bytes)
    facts = IndexFacts(
        *("", kind, settings.metric, *shape, settings.code_bytes, settings.seed, source.stored, feature_key),
        roots=(str(images_root(data, settings.images).resolve()),),
        files={},
    )
    records = make_records(folder, subsets_of(folder, settings), 0)
    content = Content(records, vectors_of(features, folder, codec, settings.metric), thumbnails_of(folder), codec)
    with new_folder(output) as temporary:
        write_facts(temporary, write_generation(temporary, facts, content, _train_and_fill(progress), progress))
    return Change(open_index(output), len(records), 0, folder.skipped, notes)


def add_images(
    path: str | Path, data: str | Location, settings: IndexSettings | None = None, progress: Progress | None = None
) -> Change:
    """Add the images of a folder to an index; a file that changed replaces its old self.

    Args:
        path: the index
        data: a folder or a table of images
        settings: how DATA says which image is which; what features depend on is the index's own
        progress: shows what is done; nothing is shown where it is None

    Returns:
        The index as it is then, with the numbers of images

    Raises:
        DataError
        ModelError
        RunError
        OptionError
    """
    settings, progress, index = settings or IndexSettings(), progress or Silent(), open_index(path)
    _require_own(index)
    folder = list_images(data, settings)
    source = stored_source(index.facts.source, settings.run, settings.trust_model)
    features, feature_key = source.read(folder, progress)
    require_same_features(index, feature_key)
    folder, root = features.folder, str(images_root(data, settings.images).resolve())
    roots = index.facts.roots if root in index.facts.roots else (*index.facts.roots, root)
    number = roots.index(root)
    old = list(index.records())
    known = {(record.root, record.path): record for record in old}
    is_new = [
        (record := known.get((number, path))) is None or (record.sha256, record.label) != (sha256, label)
        for path, sha256, label in zip(folder.paths, folder.sha256, labels_of(folder), strict=True)
    ]
    folder = folder.subset(np.flatnonzero(is_new)).with_skipped(folder.skipped)
    replaced = {(number, path) for path in folder.paths}
    kept = np.array([(record.root, record.path) not in replaced for record in old], bool)
    if not len(folder):
        return Change(index, 0, 0, folder.skipped)
    new = make_records(folder, [""] * len(folder), number)
    vectors = vectors_of(features, folder, index.codec, index.facts.metric)
    change = _rewrite(index, kept, (new, vectors, thumbnails_of(folder)), roots, progress)
    return replace(change, skipped=folder.skipped)


def remove_images(path: str | Path, patterns: Sequence[str], progress: Progress | None = None) -> Change:
    """Remove images from an index; the files stay where they are.

    Args:
        path: the index
        patterns: paths of images as the index has them, or patterns such as "cat/*"
        progress: shows what is done; nothing is shown where it is None

    Returns:
        The index as it is then, with the number of images that were removed

    Raises:
        DataError: if a pattern fits no image, or no image would be left
        RunError
    """
    index = open_index(path)
    _require_own(index)
    paths = [record.path for record in index.records()]
    matched = {pattern: [fnmatchcase(path, pattern) or path == pattern for path in paths] for pattern in patterns}
    if missing := [pattern for pattern, found in matched.items() if not any(found)]:
        raise DataError(f"no image of '{path}' is '{missing[0]}'; give paths as a query shows them, e.g. {paths[0]}.")
    kept = ~np.any(list(matched.values()), axis=0)
    if not kept.any():
        raise DataError(f"no image of '{path}' would be left; remove the folder instead.")
    nothing = np.empty((0, index.thumbnails.shape[1]), np.uint8)
    return _rewrite(index, kept, ([], iter(()), nothing), index.facts.roots, progress or Silent())


New = tuple[list[ImageRecord], Iterable[np.ndarray], np.ndarray]  # records, vectors in blocks, thumbnails


def _rewrite(index: Index, kept: np.ndarray, new: New, roots: tuple[str, ...], progress: Progress) -> Change:
    """Write the next generation: the images that are kept, then new ones."""
    with writing(index.path), changing(index.path):
        _refuse_if_changed(index)
        facts, notes = _write_next(index, kept, new, roots, progress)
        write_facts(index.path, facts)
        remove_others(index.path, facts)
    return Change(open_index(index.path), len(new[0]), int((~kept).sum()), (), notes)


def _write_next(
    index: Index, kept: np.ndarray, new: New, roots: tuple[str, ...], progress: Progress
) -> tuple[IndexFacts, tuple[str, ...]]:
    new_records, new_vectors, new_thumbnails = new
    old_records = [record for record, keep in zip(index.records(), kept, strict=True) if keep]
    thumbnails = np.concatenate([*_kept_blocks(index.thumbnails, kept), new_thumbnails])
    records, notes = regroup([*old_records, *new_records], thumbnails)
    vectors = chain(_kept_blocks(index.vectors, kept), new_vectors)
    facts = replace(index.facts, num_images=len(records), roots=roots)
    content = Content(records, vectors, thumbnails, index.codec)
    return write_generation(index.path, facts, content, _refill(index, kept, progress), progress), notes


def _refuse_if_changed(index: Index) -> None:
    """Check that an index is still what was opened.

    Raises:
        OptionError
    """
    if open_index(index.path).facts.key != index.facts.key:
        raise OptionError(f"another command changed '{index.path}' meanwhile; repeat this one.")


def _kept_blocks(file: VectorFile, kept: np.ndarray) -> Iterator[np.ndarray]:
    """Read the rows that are kept, block by block."""
    for start, block in file.blocks():
        yield block[kept[start : start + len(block)]]


def _refill(index: Index, kept: np.ndarray, progress: Progress) -> Callable[[VectorFile, IndexFacts], Any]:
    """Give the function that brings the trained index of FAISS up to date with new vectors."""

    def make(vectors: VectorFile, facts: IndexFacts) -> Any:
        """Add what is new; start again with what it was trained to if something was removed."""
        faiss_index, start = index.faiss_index, len(index)
        if not kept.all():
            faiss_index.reset()
            start = 0
        with progress.stage("index", facts.num_images - start, "images") as advance:
            fill_index(faiss_index, vectors, start, advance)
        return faiss_index

    return make


def _train_and_fill(progress: Progress) -> Callable[[VectorFile, IndexFacts], Any]:
    """Give the function that makes an index of FAISS from vectors."""

    def make(vectors: VectorFile, facts: IndexFacts) -> Any:
        """Train on a sample, then add block by block."""
        with progress.stage("index", facts.num_images, "images") as advance:
            progress.waiting("training the index")
            faiss_index = train_index(facts.kind, vectors, facts.code_bytes, facts.seed)
            fill_index(faiss_index, vectors, 0, advance)
        return faiss_index

    return make


def _require_own(index: Index) -> None:
    """Check that this machine made an index, and can change it.

    Raises:
        RunError, ModelError
    """
    if not index.is_own:
        raise RunError(f"'{index.path}' was not made on this machine; index the images again to change it.")
    if index.facts.kind != "flat":
        require("faiss", "search", f"'{index.path}'")
