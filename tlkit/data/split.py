"""Which images are for training, validation and test: no leaks, stable when files are added; folds."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tlkit.data.folder import ImageFolder
from tlkit.data.listing import FileEntry
from tlkit.errors import DataError

TRAINED_ON = "the run this one starts from was trained on them"


@dataclass(frozen=True)
class Split:
    """Three folders that share no file and no duplicate group, with what a person should know."""

    train: ImageFolder
    validation: ImageFolder
    test: ImageFolder
    notes: tuple[str, ...] = ()

    @property
    def parts(self) -> dict[str, ImageFolder]:
        """The folders by the name of their side."""
        return {TRAIN: self.train, VALIDATION: self.validation, TEST: self.test}


def split_folder(
    folder: ImageFolder,
    validation_split: float = 0.2,
    test_split: float = 0.0,
    seed: int = 0,
    known: Mapping[str, str] | None = None,
) -> Split:
    """Deal the images of a folder whose files have been read, so that nothing leaks.

    A group of equal pixels goes where the hash of its pixels and the seed says, so adding a
    file moves no other. A class that would have no image on a side it could have one on gets
    its nearest group: the only exception. Sides the folder itself gives win, and copies of
    their images are dropped from training.

    known: the side each group was on in a run this one starts from: it keeps it; an image that
        was trained on there and is held out by the folder itself is dropped
    validation_split, test_split: expected fraction of the images, each in [0, 1), sum below 1
    raises: DataError where a class has no training image or nothing is left to validate on
    """
    given = {side for side in (VALIDATION, TEST) if side in folder.sides}
    shares = {VALIDATION: validation_split, TEST: test_split}
    sides = np.array([side if side in given else "" for side in folder.sides], dtype=object)
    known = known or {}
    copies = _copies(folder, sides) | _trained_on(folder, sides, known)
    sides[list(copies)] = "dropped"
    open_rows = np.flatnonzero(sides == "")
    wanted = {side: share for side, share in shares.items() if side not in given}
    sides[open_rows] = assign_groups(folder.pick(open_rows), wanted, seed, known)
    parts = {side: folder.pick(np.flatnonzero(sides == side)) for side in SUBSETS}
    dropped = [FileEntry(folder.paths[row], reason) for row, reason in copies.items()]
    parts[TRAIN] = parts[TRAIN].leave_out(dropped)
    _require_images(parts)
    return Split(**parts, notes=(*_copy_notes(dropped), *_conflict_notes(folder), *_missing_notes(parts)))


def label_conflicts(folder: ImageFolder) -> list[tuple[str, ...]]:
    """Paths of equal images that stand under different labels, group by group."""
    labels = folder.labels.tolist()
    return [
        tuple(folder.paths[row] for row in rows)
        for rows in group_indices(folder).values()
        if len({labels[row] for row in rows}) > 1
    ]


def _copies(folder: ImageFolder, sides: np.ndarray) -> dict[int, str]:
    """Positions of images to drop, with the held-out image each is a copy of."""
    originals: dict[str, str] = {}
    copies = {}
    for side in (TEST, VALIDATION, ""):
        rows = np.flatnonzero(sides == side).tolist()
        copies.update(
            {row: f"copy of {originals[folder.groups[row]]}" for row in rows if folder.groups[row] in originals}
        )
        if side:
            originals.update({folder.groups[row]: folder.paths[row] for row in rows})
    return copies


def _trained_on(folder: ImageFolder, sides: np.ndarray, known: Mapping[str, str]) -> dict[int, str]:
    """Positions of images the folder holds out, though the run this one starts from has learnt them."""
    rows = np.flatnonzero(sides != "").tolist()
    return {row: TRAINED_ON for row in rows if known.get(folder.groups[row]) == TRAIN}


def _require_images(parts: dict[str, ImageFolder]) -> None:
    for name, count in zip(parts[TRAIN].class_names, parts[TRAIN].counts, strict=True):
        if count == 0:
            raise DataError(f"class '{name}' has no readable image to train on; add images of it or remove it.")
    if len(parts[VALIDATION]) == 0:
        raise DataError("no image is left to validate on; give at least one class two different images.")


def _copy_notes(dropped: list[FileEntry]) -> list[str]:
    learnt = [found.path for found in dropped if found.problem == TRAINED_ON]
    copies = [found.path for found in dropped if found.problem != TRAINED_ON]
    notes = [f"{len(copies)} copies of held-out images were left out, such as {copies[0]}."] if copies else []
    if learnt:
        notes.append(f"{len(learnt)} held-out images were left out: {TRAINED_ON}, such as {learnt[0]}.")
    return notes


def _conflict_notes(folder: ImageFolder) -> list[str]:
    found = label_conflicts(folder)
    if not found:
        return []
    return [f"{len(found)} identical images stand under different labels, such as {' = '.join(found[0])}."]


def _missing_notes(parts: dict[str, ImageFolder]) -> list[str]:
    names = parts[TRAIN].class_names
    sides = [side for side in (VALIDATION, TEST) if len(parts[side])]
    missing = {side: [names[k] for k, n in enumerate(parts[side].counts) if n == 0] for side in sides}
    return [f"no {side} image for: {', '.join(absent)}." for side, absent in missing.items() if absent]


TRAIN, VALIDATION, TEST = SUBSETS = ("train", "validation", "test")
_RANK = {side: rank for rank, side in enumerate(SUBSETS)}


def assign_groups(folder: ImageFolder, shares: dict[str, float], seed: int, known: Mapping[str, str]) -> list[str]:
    """The side of every image: a stretch of [0, 1) per side, a place in it per group."""
    table = _GroupAssignment(folder, _intervals(shares), seed, known)
    for side in table.stretches:
        for label in range(folder.num_classes):
            if table.lacks(label, side):
                table.move_nearest(label, side)
    return [table.side[group] for group in folder.groups]


def _intervals(shares: dict[str, float]) -> dict[str, tuple[float, float]]:
    """Training's stretch is the rest; validation comes before test, so that a test side moves none of it."""
    validation, test = shares.get(VALIDATION, 0.0), shares.get(TEST, 0.0)
    bounds = {
        TRAIN: (validation + test, 1.0),
        VALIDATION: (0.0, validation),
        TEST: (validation, validation + test),
    }
    return {side: (low, high) for side, (low, high) in bounds.items() if low < high}


class _GroupAssignment:
    """Which group lies on which side while the images are dealt."""

    def __init__(
        self, folder: ImageFolder, stretches: dict[str, tuple[float, float]], seed: int, known: Mapping[str, str]
    ) -> None:
        labels = folder.labels.tolist()
        self.stretches = stretches
        self.labels = {group: {labels[row] for row in rows} for group, rows in group_indices(folder).items()}
        self.groups = _inverted(self.labels)
        self.place = {group: hash_to_unit(group, seed) for group in self.labels}
        self.known = {group: side for group, side in known.items() if side in stretches}
        self.side = {group: self.known.get(group) or self._side_at(place) for group, place in self.place.items()}
        self.count = Counter((label, self.side[group]) for group, found in self.labels.items() for label in found)

    def _side_at(self, place: float) -> str:
        return next(side for side, (low, high) in self.stretches.items() if low <= place < high)

    def lacks(self, label: int, side: str) -> bool:
        """Whether a class that has images at all has none on a side."""
        return label in self.groups and self.count[label, side] == 0

    def move_nearest(self, label: int, side: str) -> None:
        """Move the group of a class that is nearest to `side` there, if no more important side is robbed."""
        spare = [group for group in self.groups[label] if self._can_leave(group, side)]
        if spare:
            self._move(min(spare, key=lambda group: (self._distance(group, side), group)), side)

    def _can_leave(self, group: str, target: str) -> bool:
        """Training comes first, then validation: a group may not be its classes' last on such a side."""
        source = self.side[group]
        if group in self.known:
            return False
        return _RANK[source] > _RANK[target] or all(self.count[label, source] > 1 for label in self.labels[group])

    def _move(self, group: str, side: str) -> None:
        for label in self.labels[group]:
            self.count[label, self.side[group]] -= 1
            self.count[label, side] += 1
        self.side[group] = side

    def _distance(self, group: str, side: str) -> float:
        low, high = self.stretches[side]
        return max(low - self.place[group], self.place[group] - high)


def _inverted(labels: dict[str, set[int]]) -> dict[int, list[str]]:
    """From the labels of each group to the groups of each label."""
    groups = defaultdict(list)
    for group, found in labels.items():
        for label in found:
            groups[label].append(group)
    return groups


def hash_to_unit(group: str, seed: int) -> float:
    """A number in [0, 1) that depends on the group's pixels and the seed alone."""
    digest = hashlib.sha256(f"{seed} {group}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def group_indices(folder: ImageFolder) -> dict[str, list[int]]:
    """The positions of the images of each group, in order."""
    group_indices = defaultdict(list)
    for row, group in enumerate(folder.groups):
        group_indices[group].append(row)
    return group_indices


def assign_folds(folder: ImageFolder, folds: int, seed: int) -> np.ndarray:
    """The fold of every image: int (images,), from 0 to folds - 1.

    Within a class, groups of equal pixels are dealt one by one in the order of their hash.
    """
    labels = folder.labels.tolist()
    by_label = defaultdict(list)
    groups = group_indices(folder)
    for group, rows in groups.items():
        by_label[min(labels[row] for row in rows)].append(group)
    assigned = np.zeros(len(folder), dtype=np.int64)
    place = 0
    for label in sorted(by_label):  # a class goes on dealing where the last one ended, so that folds are alike in size
        for group in sorted(by_label[label], key=lambda group: hash_to_unit(group, seed)):
            assigned[groups[group]] = place % folds
            place += 1
    return assigned


def fold_splits(folder: ImageFolder, folds: int, validation_split: float, seed: int) -> list[Split]:
    """One split per fold, in which the fold is the test side.

    Of the other images a share is for validation, on which the best epoch is chosen.

    raises: DataError where a class has too few images to be in every training side
    """
    found = assign_folds(folder, folds, seed)
    return [_fold_split(folder, found == fold, validation_split, seed) for fold in range(folds)]


def _fold_split(folder: ImageFolder, held_out: np.ndarray, validation_split: float, seed: int) -> Split:
    rest = np.flatnonzero(~held_out)
    sides = np.full(len(folder), TEST, dtype=object)
    sides[rest] = assign_groups(folder.pick(rest.tolist()), {VALIDATION: validation_split}, seed, {})
    parts = {side: folder.pick(np.flatnonzero(sides == side).tolist()) for side in (TRAIN, VALIDATION, TEST)}
    empty = [name for name, count in zip(folder.class_names, parts[TRAIN].counts, strict=True) if not count]
    if empty or not len(parts[VALIDATION]) or not len(parts[TEST]):
        short = f"class '{empty[0]}' has" if empty else "there are"
        raise DataError(f"{short} too few images for --folds; choose fewer folds, or give it more images.")
    return Split(parts[TRAIN], parts[VALIDATION], parts[TEST])
