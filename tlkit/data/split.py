"""Split into training, validation and test images: no leaks, exact fractions of each class; folds."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tlkit.data.folder import ImageFolder, number_names
from tlkit.data.layout import composed
from tlkit.data.listing import FileEntry, summarize_reasons
from tlkit.errors import DataError
from tlkit.utils.text import quote_names

TRAIN, VALIDATION, TEST = SUBSETS = ("train", "validation", "test")  # the more important subset first
CODES = {subset: code for code, subset in enumerate(SUBSETS)}
UNASSIGNED, DROPPED = -1, len(SUBSETS)  # what else the code of an image may be
TRAINED_ON = "the run this one starts from was trained on them"


@dataclass(frozen=True)
class Split:
    """Three folders that share no file and no duplicate group, with notes for the user.

    Attributes:
        train: the images to train on
        validation: the images to select on
        test: the images that nothing is selected on; often none
        notes: what a person should know of the split
    """

    train: ImageFolder
    validation: ImageFolder
    test: ImageFolder
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(images)} {subset}" for subset, images in self.subsets.items())
        return f"Split({counts} images, {self.train.num_classes} classes)"

    @property
    def subsets(self) -> dict[str, ImageFolder]:
        """The folders by the names of `SUBSETS`."""
        return {TRAIN: self.train, VALIDATION: self.validation, TEST: self.test}


def split_folder(
    folder: ImageFolder,
    validation_split: float = 0.2,
    test_split: float = 0.0,
    seed: int = 0,
    previous_subsets: Mapping[str, str] | None = None,
) -> Split:
    """Split the images into train, validation and test, so that nothing leaks.

    Within each class, the rank of a group's hash decides its subset: each subset gets its fraction of the images to
    within one group, and a file that is added moves at most one group of its class across each boundary. A class has
    an image in every subset where it has enough groups, training first, then validation. Subsets that the folder
    itself gives win, and copies of their images are dropped from training.

    Args:
        folder: with hashes; its files have been read
        validation_split, test_split: fraction of the images of each class, each in [0, 1), sum below 1
        previous_subsets: the subset of images in a run this one starts from, by the digest of their pixels: their
            groups keep it; an image that was trained on there and is held out by the folder itself is dropped

    Raises:
        DataError: if a class has no training image or no validation image is left
    """
    groups = number_groups(folder, seed)
    previous = _previous_of_groups(folder, groups, previous_subsets or {})
    held_out = {VALIDATION: CODES[VALIDATION], TEST: CODES[TEST]}
    assigned = np.array([held_out.get(subset, UNASSIGNED) for subset in folder.subsets], np.int8)
    given = {subset for subset, code in held_out.items() if (assigned == code).any()}
    dropped = _copies(folder, groups, assigned) | _previously_trained_on(assigned, previous[groups])
    assigned[list(dropped)] = DROPPED
    unassigned = np.flatnonzero(assigned == UNASSIGNED)
    fractions = {VALIDATION: validation_split, TEST: test_split}
    wanted = {subset: fraction for subset, fraction in fractions.items() if subset not in given}
    assigned[unassigned] = assign_groups(groups[unassigned], folder.labels[unassigned], wanted, previous)
    subsets = {subset: folder.subset(np.flatnonzero(assigned == code)) for code, subset in enumerate(SUBSETS)}
    skipped = [FileEntry(folder.paths[index], reason) for index, reason in dropped.items()]
    subsets[TRAIN] = subsets[TRAIN].with_skipped(skipped)
    _require_images(folder, subsets)
    notes = (*_dropped_notes(skipped), *_missing_class_notes(subsets))
    return Split(**subsets, notes=notes)


def fold_splits(folder: ImageFolder, folds: int, validation_split: float, seed: int) -> list[Split]:
    """Make one split per fold, in which the fold is the test subset.

    Args:
        validation_split: fraction of the other images, on which the best epoch is chosen

    Raises:
        DataError: if a class has too few images to be in every training subset
    """
    fold_of_image = assign_folds(folder, folds, seed)
    groups = number_groups(folder, seed)
    return [_fold_split(folder, groups, fold_of_image == fold, validation_split) for fold in range(folds)]


def _fold_split(folder: ImageFolder, groups: np.ndarray, held_out: np.ndarray, validation_split: float) -> Split:
    rest = np.flatnonzero(~held_out)
    assigned = np.full(len(folder), SUBSETS.index(TEST), np.int8)
    free = np.full(len(folder), UNASSIGNED, np.int8)
    assigned[rest] = assign_groups(groups[rest], folder.labels[rest], {VALIDATION: validation_split}, free)
    train, validation, test = (folder.subset(np.flatnonzero(assigned == code)) for code in range(len(SUBSETS)))
    split = Split(train, validation, test)
    empty = [name for name, count in zip(folder.class_names, split.train.class_counts, strict=True) if not count]
    if empty or not len(split.validation) or not len(split.test):
        short = f"class '{empty[0]}' has" if empty else "there are"
        raise DataError(f"{short} too few images for --folds; use fewer folds or add images.")
    return split


def number_groups(folder: ImageFolder, seed: int) -> np.ndarray:
    """Number the groups by their hashes, the lowest first: the number of each image's group."""
    numbers, names = number_names(folder.groups)
    ranks = np.empty(len(names), np.int64)
    hashes = np.fromiter((hash_to_unit(name, seed) for name in names), np.float64, len(names))
    ranks[np.argsort(hashes, kind="stable")] = np.arange(len(names))
    groups: np.ndarray = ranks[numbers]
    return groups


def assign_folds(folder: ImageFolder, folds: int, seed: int) -> np.ndarray:
    """Choose the fold of every image: int (images,), from 0 to folds - 1.

    Within a class, groups of equal pixels go to one fold after the other, in the order of their hash. A class starts
    where the last one ended, so that folds are alike in size.
    """
    groups = number_groups(folder, seed)
    labels = np.full(groups.max(initial=-1) + 1, folder.num_classes)
    np.minimum.at(labels, groups, folder.labels)
    turns = np.empty_like(labels)
    turns[np.argsort(labels, kind="stable")] = np.arange(len(labels))
    folds_of_images: np.ndarray = turns[groups] % folds
    return folds_of_images


def assign_groups(
    groups: np.ndarray, labels: np.ndarray, fractions: Mapping[str, float], previous: np.ndarray
) -> np.ndarray:
    """Choose the subset of every image, class by class, by the rank of its group's hash: a position in `SUBSETS`.

    The groups of the lowest ranks are for validation, the next ones for test, the others for training
    (docs/decisions/020).

    Args:
        groups: of the images, numbered by their hashes
        labels: of the images
        fractions: of the images of each class, by subset; training gets the rest
        previous: the subset that a group has in a previous run, by its number; or `UNASSIGNED`
    """
    assignment = _GroupAssignment(groups, labels, fractions, previous)
    starts = assignment.starts
    present = np.flatnonzero(np.diff(starts)).tolist()
    by_size = sorted(present, key=lambda label: starts[label + 1] - starts[label])  # small ones have the least choice
    for label in by_size:
        assignment.assign_class(label)
    assignment.count_groups()
    for subset in assignment.wanted:
        for label in by_size:
            if assignment.count[label, subset] == 0:
                assignment.move_nearest(label, subset)
    subsets: np.ndarray = assignment.subset[groups]
    return subsets


class _GroupAssignment:
    """The subset of each group while images are assigned.

    A pair is a group and a label that some of its images have. Pairs lie label by label, the lowest hash first.

    Attributes:
        fractions: of the images of a class, for validation and for test
        wanted: subsets that get images, the more important first
        groups: of the pairs
        sizes: images of the pairs
        starts: of the pairs of each label, and their end
        subset: of each group, `UNASSIGNED` at first
        is_previous: whether a group has its subset from a previous run
        count: of assigned groups: (labels, subsets); see `count_groups`
    """

    def __init__(
        self, groups: np.ndarray, labels: np.ndarray, fractions: Mapping[str, float], previous: np.ndarray
    ) -> None:
        self.fractions = fractions.get(VALIDATION, 0.0), fractions.get(TEST, 0.0)
        self.wanted = [code for code in range(len(SUBSETS)) if code == 0 or self.fractions[code - 1]]
        count, num_labels = len(previous), int(labels.max(initial=-1)) + 1
        pairs, self.sizes = np.unique(labels.astype(np.int64) * count + groups, return_counts=True)
        self.groups = pairs % max(1, count)
        self.starts = np.searchsorted(pairs, np.arange(num_labels + 1) * count).tolist()
        self.is_previous = np.isin(previous, self.wanted)
        self.subset = np.where(self.is_previous, previous, np.int8(UNASSIGNED))

    def assign_class(self, label: int) -> None:
        """Assign the groups of a class that are still free, so that each subset gets its fraction of the images.

        A group goes where its middle image belongs, so each subset ends within half a group of its fraction.
        """
        pairs = slice(self.starts[label], self.starts[label + 1])
        groups, sizes = self.groups[pairs], self.sizes[pairs]
        validation, test = (int(sizes[self.subset[groups] == code].sum()) for code in (1, 2))  # assigned images
        free = self.subset[groups] == UNASSIGNED
        validation_end = self.fractions[0] * int(sizes.sum())
        test_end = max(validation_end, validation) + self.fractions[1] * int(sizes.sum()) - test
        middles = validation + np.cumsum(sizes[free]) - sizes[free] / 2
        self.subset[groups[free]] = np.where(middles <= validation_end, 1, np.where(middles <= test_end, 2, 0))

    def count_groups(self) -> None:
        """Count the groups of each label in each subset, and list the labels of each group."""
        labels = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        cells = labels * len(SUBSETS) + self.subset[self.groups]
        self.count = np.bincount(cells, minlength=len(SUBSETS) * (len(self.starts) - 1)).reshape(-1, len(SUBSETS))
        if (self.count[:, self.wanted] == 0).any():
            order = np.argsort(self.groups, kind="stable")
            self._labels, self._ends = labels[order], np.cumsum(np.bincount(self.groups, minlength=len(self.subset)))

    def _labels_of(self, group: int) -> np.ndarray:
        labels: np.ndarray = self._labels[self._ends[group - 1] if group else 0 : self._ends[group]]
        return labels

    def move_nearest(self, label: int, subset: int) -> None:
        """Move the group of a class that is nearest to `subset` by rank there, if it can leave its own."""
        groups = self.groups[self.starts[label] : self.starts[label + 1]]
        nearest_first = groups[::-1] if SUBSETS[subset] == TRAIN else groups
        for group in nearest_first.tolist():
            if self._can_leave(group, subset):
                self.count[self._labels_of(group), self.subset[group]] -= 1
                self.count[self._labels_of(group), subset] += 1
                self.subset[group] = subset
                return

    def _can_leave(self, group: int, target: int) -> bool:
        """Tell whether a group may move: from training if others of its classes stay, else to an earlier subset."""
        source = self.subset[group]
        can_leave = source > target or (source == 0 and (self.count[self._labels_of(group), 0] > 1).all())
        return bool(can_leave) and not self.is_previous[group]


def hash_to_unit(group: str, seed: int) -> float:
    """Compute a number in [0, 1) that depends on the group's pixels and the seed alone."""
    digest = hashlib.sha256(f"{seed} {group}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _previous_of_groups(folder: ImageFolder, groups: np.ndarray, previous_subsets: Mapping[str, str]) -> np.ndarray:
    """Give the subset of each group in a previous run: training, where it was trained on any image of the group."""
    previous = np.full(groups.max(initial=-1) + 1, UNASSIGNED, np.int8)
    if previous_subsets:
        for group, digest in zip(groups.tolist(), folder.digests, strict=True):
            code = CODES.get(previous_subsets.get(digest, ""), UNASSIGNED)
            if code != UNASSIGNED and previous[group] != CODES[TRAIN]:
                previous[group] = code
    return previous


def _copies(folder: ImageFolder, groups: np.ndarray, assigned: np.ndarray) -> dict[int, str]:
    """Find images to drop: their positions, with the held-out image each is a copy of."""
    copies = dict[int, str]()
    if (assigned == UNASSIGNED).all():
        return copies
    originals = np.full(len(groups), -1)  # by group: the last image of it that is held out
    for code in (CODES[TEST], CODES[VALIDATION], UNASSIGNED):
        indices = np.flatnonzero(assigned == code)
        for index in indices[originals[groups[indices]] >= 0].tolist():
            original = originals[groups[index]]
            copies[index] = f"{_relation(folder, index, original)} {folder.paths[original]}"
        originals[groups[indices]] = indices
    return copies


def _relation(folder: ImageFolder, index: int, original: int) -> str:
    if folder.digests[index] == folder.digests[original]:
        return "copy of"
    is_related = folder.related and folder.related[index] and folder.related[index] == folder.related[original]
    return "in one group with" if is_related else "near duplicate of"


def _previously_trained_on(assigned: np.ndarray, previous: np.ndarray) -> dict[int, str]:
    """Find images that the folder holds out, though the run this one starts from was trained on them."""
    return dict.fromkeys(np.flatnonzero((assigned != UNASSIGNED) & (previous == CODES[TRAIN])).tolist(), TRAINED_ON)


def _require_images(folder: ImageFolder, subsets: dict[str, ImageFolder]) -> None:
    """Require a training image of each class, and a validation image; DataError otherwise."""
    train = subsets[TRAIN]
    empty = [name for name, count in zip(train.class_names, train.class_counts, strict=True) if count == 0]
    if empty:
        skipped = [*folder.skipped, *train.skipped]
        of_class = [entry for entry in skipped if empty[0] in map(composed, entry.path.split("/")[:-1])]
        reasons = summarize_reasons(of_class)
        others = f" Classes without any: {len(empty)}." if len(empty) > 1 else ""
        raise DataError(
            f"class '{empty[0]}' has no readable image to train on{f': {reasons}' * bool(reasons)}; "
            f"add images of it or remove it.{others}"
        )
    if not len(subsets[VALIDATION]):
        raise DataError(
            f"no image is left for validation, because {_too_alike(folder)}; "
            "expected at least one class with two different images."
        )


def _too_alike(folder: ImageFolder) -> str:
    """Say in which way images are too few or too much alike to hold one out."""
    num_distinct = len(set(folder.groups))
    if num_distinct == len(folder):
        return "each class has a single image"
    alike = f"all {len(folder)} images are identical" if num_distinct == 1 else "the images of each class are identical"
    if folder.survey and 2 * folder.survey.num_series >= len(folder):
        return f"{alike} on their first page or frame, the only one that is used of each file"
    return alike


def _dropped_notes(skipped: list[FileEntry]) -> list[str]:
    trained_on = [entry.path for entry in skipped if entry.reason == TRAINED_ON]
    copies = [entry.path for entry in skipped if (entry.reason or "").startswith("copy of")]
    others = {*trained_on, *copies}
    relatives = [entry.path for entry in skipped if entry.path not in others]
    notes = [f"{len(copies)} copies of held-out images were left out, e.g. {copies[0]}."] if copies else []
    if relatives:
        close = "near duplicates of held-out images, or in a group with one,"
        notes.append(f"{len(relatives)} images are {close} and were left out, e.g. {relatives[0]}.")
    if trained_on:
        notes.append(f"{len(trained_on)} held-out images were left out: {TRAINED_ON}, e.g. {trained_on[0]}.")
    return notes


def _missing_class_notes(subsets: dict[str, ImageFolder]) -> list[str]:
    notes = []
    for subset in (VALIDATION, TEST):
        images = subsets[subset]
        missing = [name for name, count in zip(images.class_names, images.class_counts, strict=True) if count == 0]
        if len(images) and missing:
            notes.append(f"no {subset} images of {quote_names(missing)}.")
    return notes
