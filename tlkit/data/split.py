"""Which images are for training, which for validation and test: without leaks, and stable."""

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np

from tlkit.data.folder import ImageFolder
from tlkit.data.listing import Found
from tlkit.errors import DataError

TRAIN, VALIDATION, TEST = SIDES = ("train", "validation", "test")
_RANK = {side: rank for rank, side in enumerate(SIDES)}


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


def split_folder(folder: ImageFolder, validation_split: float = 0.2, test_split: float = 0.0, seed: int = 0) -> Split:
    """Deal the images of a folder whose files have been read, so that nothing leaks.

    A group of equal pixels goes where the hash of its pixels and the seed says, so adding a
    file moves no other. A class that would have no image on a side it could have one on gets
    its nearest group: the only exception. Sides the folder itself gives win, and copies of
    their images are dropped from training.

    validation_split, test_split: expected fraction of the images, each in [0, 1), sum below 1
    raises: DataError where a class has no training image or nothing is left to validate on
    """
    given = {side for side in (VALIDATION, TEST) if side in folder.sides}
    shares = {VALIDATION: validation_split, TEST: test_split}
    sides = np.array([side if side in given else "" for side in folder.sides], dtype=object)
    copies = _copies(folder, sides)
    sides[list(copies)] = "dropped"
    open_rows = np.flatnonzero(sides == "")
    wanted = {side: share for side, share in shares.items() if side not in given}
    sides[open_rows] = _deal(folder.pick(open_rows), wanted, seed)
    parts = {side: folder.pick(np.flatnonzero(sides == side)) for side in SIDES}
    dropped = [Found(folder.paths[row], f"copy of {original}") for row, original in copies.items()]
    parts[TRAIN] = parts[TRAIN].leave_out(dropped)
    _require_images(parts)
    return Split(**parts, notes=(*_copy_notes(dropped), *_conflict_notes(folder), *_missing_notes(parts)))


def conflicts(folder: ImageFolder) -> list[tuple[str, ...]]:
    """Paths of equal images that stand under different labels, group by group."""
    labels = folder.labels.tolist()
    return [
        tuple(folder.paths[row] for row in rows)
        for rows in _members(folder).values()
        if len({labels[row] for row in rows}) > 1
    ]


def _copies(folder: ImageFolder, sides: np.ndarray) -> dict[int, str]:
    """Positions of images to drop, with the path of the held-out image each is a copy of."""
    originals: dict[str, str] = {}
    copies = {}
    for side in (TEST, VALIDATION, ""):
        rows = np.flatnonzero(sides == side).tolist()
        copies.update({row: originals[folder.groups[row]] for row in rows if folder.groups[row] in originals})
        if side:
            originals.update({folder.groups[row]: folder.paths[row] for row in rows})
    return copies


def _deal(folder: ImageFolder, shares: dict[str, float], seed: int) -> list[str]:
    """The side of every image: a stretch of [0, 1) per side, a place in it per group."""
    table = _Table(folder, _stretches(shares), seed)
    for side in table.stretches:
        for label in range(folder.num_classes):
            if table.lacks(label, side):
                table.move_nearest(label, side)
    return [table.side[group] for group in folder.groups]


def _stretches(shares: dict[str, float]) -> dict[str, tuple[float, float]]:
    """Training's stretch is the rest; validation comes before test, so that a test side moves none of it."""
    validation, test = shares.get(VALIDATION, 0.0), shares.get(TEST, 0.0)
    bounds = {
        TRAIN: (validation + test, 1.0),
        VALIDATION: (0.0, validation),
        TEST: (validation, validation + test),
    }
    return {side: (low, high) for side, (low, high) in bounds.items() if low < high}


class _Table:
    """Which group lies on which side while the images are dealt."""

    def __init__(self, folder: ImageFolder, stretches: dict[str, tuple[float, float]], seed: int) -> None:
        labels = folder.labels.tolist()
        self.stretches = stretches
        self.labels = {group: {labels[row] for row in rows} for group, rows in _members(folder).items()}
        self.groups = _inverted(self.labels)
        self.place = {group: unit_hash(group, seed) for group in self.labels}
        self.side = {group: self._side_at(place) for group, place in self.place.items()}
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


def unit_hash(group: str, seed: int) -> float:
    """A number in [0, 1) that depends on the group's pixels and the seed alone."""
    digest = hashlib.sha256(f"{seed} {group}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _members(folder: ImageFolder) -> dict[str, list[int]]:
    """The positions of the images of each group, in order."""
    members = defaultdict(list)
    for row, group in enumerate(folder.groups):
        members[group].append(row)
    return members


def _require_images(parts: dict[str, ImageFolder]) -> None:
    for name, count in zip(parts[TRAIN].class_names, parts[TRAIN].counts, strict=True):
        if count == 0:
            raise DataError(f"class '{name}' has no readable image to train on; add images of it or remove it.")
    if len(parts[VALIDATION]) == 0:
        raise DataError("no image is left to validate on; give at least one class two different images.")


def _copy_notes(dropped: list[Found]) -> list[str]:
    if not dropped:
        return []
    return [f"{len(dropped)} copies of held-out images were left out, such as {dropped[0].path}."]


def _conflict_notes(folder: ImageFolder) -> list[str]:
    found = conflicts(folder)
    if not found:
        return []
    return [f"{len(found)} identical images stand under different labels, such as {' = '.join(found[0])}."]


def _missing_notes(parts: dict[str, ImageFolder]) -> list[str]:
    names = parts[TRAIN].class_names
    sides = [side for side in (VALIDATION, TEST) if len(parts[side])]
    missing = {side: [names[k] for k, n in enumerate(parts[side].counts) if n == 0] for side in sides}
    return [f"no {side} image for: {', '.join(absent)}." for side, absent in missing.items() if absent]
