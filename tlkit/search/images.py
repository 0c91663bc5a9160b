"""The images of DATA as an index keeps them: records, thumbnails, vectors in blocks."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from tlkit.data.appearance import SIDE
from tlkit.data.duplicates import find_near_duplicates, group_images, name_groups
from tlkit.data.folder import ImageFolder
from tlkit.data.listing import list_files, listed
from tlkit.data.reader import DataOptions, read_data
from tlkit.data.split import split_folder
from tlkit.errors import DataError
from tlkit.features.compress import Codec
from tlkit.features.extract import Features
from tlkit.runs.warm_start import previous_run
from tlkit.search.index import FACTS, Index, damaged, embed
from tlkit.search.records import ImageRecord
from tlkit.settings.search import IndexSettings
from tlkit.utils.storage import Location, as_location, is_folder

BLOCK = 2048  # images whose features are read at a time
MAX_CODEC_IMAGES = 20_000  # that principal components are fitted on
MAX_COMPARED = 100_000  # images up to which near duplicates are looked for
TOO_MANY = f"of more than {MAX_COMPARED:,} images, only those with equal pixels count as duplicates."


def list_images(data: str | Location, settings: IndexSettings) -> ImageFolder:
    """List the images of DATA, with their classes or without any.

    Raises:
        DataError, OptionError
    """
    root = as_location(data)
    if settings.labels:
        try:
            return read_data(data, DataOptions(**settings.data_options))
        except DataError as error:
            hint = "; --no-labels takes every image below it without classes" * is_folder(root)
            raise DataError(f"{str(error).rstrip('.')}{hint}.") from None
    if not is_folder(root):
        raise DataError(f"'{data}' is not a folder; --no-labels takes every image below a folder.")
    entries = list(list_files(listed(root)))
    paths = tuple(entry.path for entry in entries if not entry.reason)
    if not paths:
        raise DataError(f"there is no file in '{data}'; expected a folder of images.")
    skipped = tuple(entry for entry in entries if entry.reason)
    labels = np.zeros(len(paths), np.int32)
    return ImageFolder(root, ("",), paths, labels, ("",) * len(paths), skipped=skipped)


def group_duplicates(folder: ImageFolder) -> tuple[ImageFolder, tuple[str, ...]]:
    """Name the groups of duplicates, as a training does.

    Returns:
        The images, and what a person should know
    """
    if len(folder) > MAX_COMPARED:
        return folder, (*folder.notes, TOO_MANY)
    folder = group_images(folder)
    return folder, folder.notes


def regroup(records: list[ImageRecord], thumbnails: np.ndarray) -> tuple[list[ImageRecord], tuple[str, ...]]:
    """Name the groups of old and new images together."""
    digests, related = [record.digest for record in records], [record.related for record in records]
    is_small = len(records) <= MAX_COMPARED
    near = find_near_duplicates(thumbnails.reshape(-1, SIDE, SIDE), digests).pairs if is_small else ()
    groups = name_groups(digests, related, near)
    notes = () if is_small else (TOO_MANY,)
    return [replace(record, group=group) for record, group in zip(records, groups, strict=True)], notes


def subsets_of(folder: ImageFolder, settings: IndexSettings) -> list[str]:
    """Give the subset of each image in a training with these options, or in the run; "" where there is none."""
    if not settings.labels:
        return [""] * len(folder)
    previous = previous_run(settings.run).subsets() if settings.run else {}
    try:
        split = split_folder(folder, settings.validation_split, settings.test_split, settings.seed, previous)
    except DataError:  # a class is too small to be split
        return list(folder.subsets)
    subset_of = {path: subset for subset, images in split.subsets.items() for path in images.paths}
    return [subset_of.get(path, "") for path in folder.paths]


def labels_of(folder: ImageFolder) -> list[str]:
    """Name the class of each image."""
    return [folder.class_names[label] for label in folder.labels.tolist()]


def make_records(folder: ImageFolder, subsets: Sequence[str], root: int) -> list[ImageRecord]:
    """Make the record of each image."""
    related = folder.related or [""] * len(folder)
    columns = (folder.paths, labels_of(folder), subsets, folder.sha256, folder.digests, related, folder.groups)
    return [
        ImageRecord(path, root, label, subset, sha256, digest, relation, group)
        for path, label, subset, sha256, digest, relation, group in zip(*columns, strict=True)
    ]


def thumbnails_of(folder: ImageFolder) -> np.ndarray:
    """Give the thumbnail of each image: uint8 (images, 1024)."""
    assert folder.appearances is not None, "the files are read"
    return np.ascontiguousarray(folder.appearances["thumbnail"]).reshape(len(folder), SIDE * SIDE)


def sample_features(features: Features, folder: ImageFolder, settings: IndexSettings) -> np.ndarray:
    """Read the features that principal components are fitted on; none without them."""
    count = min(len(folder), MAX_CODEC_IMAGES) if settings.pca else 1
    positions = np.sort(np.random.default_rng(settings.seed).choice(len(folder), count, replace=False))
    return flat_features(features.load(folder.subset(positions)))


def vectors_of(features: Features, folder: ImageFolder, codec: Codec, metric: str) -> Iterator[np.ndarray]:
    """Read features block by block, and make vectors of them."""
    for start in range(0, len(folder), BLOCK):
        block = folder.sha256[start : start + BLOCK]
        yield embed(flat_features(features.store.gather(block)), codec, metric)


def flat_features(features: np.ndarray) -> np.ndarray:
    """Make one row of each image's features: float32 (images, values)."""
    return features.reshape(len(features), -1).astype(np.float32)


def require_same_features(index: Index, feature_key: str) -> None:
    """Check that features are of the network that the index was made with.

    Raises:
        RunError
    """
    if feature_key != index.facts.feature_key:
        raise damaged(index.path / FACTS, "its features are of another network or descriptor, or of another version")
