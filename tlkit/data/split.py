"""Which images are for training, validation and test: no leaks, stable when files are added; folds."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tlkit.data.folder import ImageFolder
from tlkit.data.listing import FileEntry
from tlkit.errors import DataError

TRAIN, VALIDATION, TEST = SUBSETS = ("train", "validation", "test")  # the more important subset first
TRAINED_ON = "the run this one starts from was trained on them"


@dataclass(frozen=True)
class Split:
    """Three folders that share no file and no duplicate group, with notes for the user."""

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

    The hash of a group's pixels and the seed decides its subset, so adding a file moves no other.
    A class that would have no image in a subset, though it could have one, gets its nearest group:
    the only exception. Subsets that the folder itself gives win, and copies of their images are
    dropped from training.

    folder: with hashes; its files have been read
    validation_split, test_split: expected fraction of the images, each in [0, 1), sum below 1
    previous_subsets: the subset of each group in a run this one starts from: the group keeps it; an
        image that was trained on there and is held out by the folder itself is dropped
    raises: DataError where a class has no training image or no validation image is left
    """
    previous = previous_subsets or {}
    given = {subset for subset in (VALIDATION, TEST) if subset in folder.subsets}
    assigned = np.array([subset if subset in given else "" for subset in folder.subsets], dtype=object)
    dropped = _copies(folder, assigned) | _previously_trained_on(folder, assigned, previous)
    assigned[list(dropped)] = "dropped"
    unassigned = np.flatnonzero(assigned == "")
    fractions = {VALIDATION: validation_split, TEST: test_split}
    wanted = {subset: fraction for subset, fraction in fractions.items() if subset not in given}
    assigned[unassigned] = assign_groups(folder.subset(unassigned), wanted, seed, previous)
    subsets = {subset: folder.subset(np.flatnonzero(assigned == subset)) for subset in SUBSETS}
    skipped = [FileEntry(folder.paths[index], reason) for index, reason in dropped.items()]
    subsets[TRAIN] = subsets[TRAIN].with_skipped(skipped)
    _require_images(subsets)
    notes = (*_dropped_notes(skipped), *_conflict_notes(folder), *_missing_class_notes(subsets))
    return Split(**subsets, notes=notes)


def fold_splits(folder: ImageFolder, folds: int, validation_split: float, seed: int) -> list[Split]:
    """Make one split per fold, in which the fold is the test subset.

    validation_split: fraction of the other images, on which the best epoch is chosen
    raises: DataError where a class has too few images to be in every training subset
    """
    fold_of_image = assign_folds(folder, folds, seed)
    return [_fold_split(folder, fold_of_image == fold, validation_split, seed) for fold in range(folds)]


def _fold_split(folder: ImageFolder, held_out: np.ndarray, validation_split: float, seed: int) -> Split:
    rest = np.flatnonzero(~held_out)
    assigned = np.full(len(folder), TEST, dtype=object)
    assigned[rest] = assign_groups(folder.subset(rest), {VALIDATION: validation_split}, seed, {})
    train, validation, test = (folder.subset(np.flatnonzero(assigned == subset)) for subset in SUBSETS)
    split = Split(train, validation, test)
    empty = [name for name, count in zip(folder.class_names, split.train.class_counts, strict=True) if not count]
    if empty or not len(split.validation) or not len(split.test):
        short = f"class '{empty[0]}' has" if empty else "there are"
        raise DataError(f"{short} too few images for --folds; use fewer folds or add images.")
    return split


def assign_folds(folder: ImageFolder, folds: int, seed: int) -> np.ndarray:
    """Choose the fold of every image: int (images,), from 0 to folds - 1.

    Within a class, groups of equal pixels go to one fold after the other, in the order of their hash.
    """
    labels = folder.labels.tolist()
    groups = group_indices(folder)
    groups_of_label = defaultdict(list)
    for group, indices in groups.items():
        groups_of_label[min(labels[index] for index in indices)].append(group)
    assigned = np.zeros(len(folder), dtype=np.int64)
    next_fold = 0
    for label in sorted(groups_of_label):  # a class starts where the last one ended, so that folds are alike in size
        for group in sorted(groups_of_label[label], key=lambda group: hash_to_unit(group, seed)):
            assigned[groups[group]] = next_fold % folds
            next_fold += 1
    return assigned


def assign_groups(
    folder: ImageFolder, fractions: Mapping[str, float], seed: int, previous_subsets: Mapping[str, str]
) -> list[str]:
    """Choose the subset of every image: each subset has an interval of [0, 1), each group a position in it.

    fractions: of the images, by subset; training gets the rest
    """
    assignment = _GroupAssignment(folder, _intervals(fractions), seed, previous_subsets)
    for subset in assignment.intervals:
        for label in range(folder.num_classes):
            if assignment.is_missing(label, subset):
                assignment.move_nearest(label, subset)
    return [assignment.subset[group] for group in folder.groups]


def _intervals(fractions: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Validation comes before test, so that asking for a test subset moves no validation image."""
    validation, test = fractions.get(VALIDATION, 0.0), fractions.get(TEST, 0.0)
    bounds = {
        TRAIN: (validation + test, 1.0),
        VALIDATION: (0.0, validation),
        TEST: (validation, validation + test),
    }
    return {subset: (low, high) for subset, (low, high) in bounds.items() if low < high}


class _GroupAssignment:
    """The subset of each group while images are assigned.

    intervals  of [0, 1), by subset
    labels     of the images of a group, by group
    groups     with images of a label, by label
    position   in [0, 1), by group
    previous   the subset a group has in a previous run, where it is one of `intervals`
    subset     by group
    count      of groups, by (label, subset)
    """

    def __init__(
        self,
        folder: ImageFolder,
        intervals: dict[str, tuple[float, float]],
        seed: int,
        previous_subsets: Mapping[str, str],
    ) -> None:
        image_labels = folder.labels.tolist()
        self.intervals = intervals
        self.labels = {
            group: {image_labels[index] for index in indices} for group, indices in group_indices(folder).items()
        }
        self.groups = defaultdict[int, list[str]](list)
        for group, labels in self.labels.items():
            for label in labels:
                self.groups[label].append(group)
        self.position = {group: hash_to_unit(group, seed) for group in self.labels}
        self.previous = {group: subset for group, subset in previous_subsets.items() if subset in intervals}
        self.subset = {
            group: self.previous.get(group) or self._subset_at(self.position[group]) for group in self.labels
        }
        self.count = Counter((label, self.subset[group]) for group, labels in self.labels.items() for label in labels)

    def _subset_at(self, position: float) -> str:
        return next(subset for subset, (low, high) in self.intervals.items() if low <= position < high)

    def is_missing(self, label: int, subset: str) -> bool:
        """Whether a class that has images at all has none in a subset."""
        return label in self.groups and self.count[label, subset] == 0

    def move_nearest(self, label: int, subset: str) -> None:
        """Move the group of a class that is nearest to `subset` there, if no more important subset is robbed."""
        movable = [group for group in self.groups[label] if self._can_leave(group, subset)]
        if not movable:
            return
        nearest = min(movable, key=lambda group: (self._distance(group, subset), group))
        for own_label in self.labels[nearest]:
            self.count[own_label, self.subset[nearest]] -= 1
            self.count[own_label, subset] += 1
        self.subset[nearest] = subset

    def _can_leave(self, group: str, target: str) -> bool:
        """A group may not be the last of one of its classes in a subset that is more important than the target."""
        source = self.subset[group]
        if group in self.previous:
            return False
        if SUBSETS.index(source) > SUBSETS.index(target):
            return True
        return all(self.count[label, source] > 1 for label in self.labels[group])

    def _distance(self, group: str, subset: str) -> float:
        low, high = self.intervals[subset]
        return max(low - self.position[group], self.position[group] - high)


def hash_to_unit(group: str, seed: int) -> float:
    """Compute a number in [0, 1) that depends on the group's pixels and the seed alone."""
    digest = hashlib.sha256(f"{seed} {group}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def group_indices(folder: ImageFolder) -> dict[str, list[int]]:
    """List the positions of the images of each group, in order."""
    indices = defaultdict(list)
    for index, group in enumerate(folder.groups):
        indices[group].append(index)
    return indices


def label_conflicts(folder: ImageFolder) -> list[tuple[str, ...]]:
    """List the paths of equal images with different labels, group by group."""
    labels = folder.labels.tolist()
    return [
        tuple(folder.paths[index] for index in indices)
        for indices in group_indices(folder).values()
        if len({labels[index] for index in indices}) > 1
    ]


def _copies(folder: ImageFolder, assigned: np.ndarray) -> dict[int, str]:
    """Positions of images to drop, with the held-out image each is a copy of."""
    originals: dict[str, str] = {}
    copies = {}
    for subset in (TEST, VALIDATION, ""):
        indices = np.flatnonzero(assigned == subset).tolist()
        for index in indices:
            if folder.groups[index] in originals:
                copies[index] = f"copy of {originals[folder.groups[index]]}"
        if subset:
            originals.update({folder.groups[index]: folder.paths[index] for index in indices})
    return copies


def _previously_trained_on(
    folder: ImageFolder, assigned: np.ndarray, previous_subsets: Mapping[str, str]
) -> dict[int, str]:
    """Positions of images that the folder holds out, though the run this one starts from was trained on them."""
    held_out = np.flatnonzero(assigned != "").tolist()
    return {index: TRAINED_ON for index in held_out if previous_subsets.get(folder.groups[index]) == TRAIN}


def _require_images(subsets: dict[str, ImageFolder]) -> None:
    train = subsets[TRAIN]
    for name, count in zip(train.class_names, train.class_counts, strict=True):
        if count == 0:
            raise DataError(f"class '{name}' has no readable image to train on; add images of it or remove it.")
    if len(subsets[VALIDATION]) == 0:
        raise DataError("no image is left for validation; expected at least one class with two different images.")


def _dropped_notes(skipped: list[FileEntry]) -> list[str]:
    trained_on = [entry.path for entry in skipped if entry.reason == TRAINED_ON]
    copies = [entry.path for entry in skipped if entry.reason != TRAINED_ON]
    notes = [f"{len(copies)} copies of held-out images were left out, e.g. {copies[0]}."] if copies else []
    if trained_on:
        notes.append(f"{len(trained_on)} held-out images were left out: {TRAINED_ON}, e.g. {trained_on[0]}.")
    return notes


def _conflict_notes(folder: ImageFolder) -> list[str]:
    conflicts = label_conflicts(folder)
    if not conflicts:
        return []
    sets = "1 set of identical images has" if len(conflicts) == 1 else f"{len(conflicts)} sets of identical images have"
    return [f"{sets} different labels, e.g. {' and '.join(conflicts[0])}. Remove the wrong ones."]


def _missing_class_notes(subsets: dict[str, ImageFolder]) -> list[str]:
    notes = []
    for subset in (VALIDATION, TEST):
        images = subsets[subset]
        missing = [name for name, count in zip(images.class_names, images.class_counts, strict=True) if count == 0]
        if len(images) and missing:
            notes.append(f"no {subset} images of {', '.join(missing)}.")
    return notes
