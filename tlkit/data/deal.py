"""Deals groups of equal images to the sides of a split: by hash, so that adding a file moves no other."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping

from tlkit.data.folder import ImageFolder

TRAIN, VALIDATION, TEST = SIDES = ("train", "validation", "test")
_RANK = {side: rank for rank, side in enumerate(SIDES)}


def deal_groups(folder: ImageFolder, shares: dict[str, float], seed: int, known: Mapping[str, str]) -> list[str]:
    """The side of every image: a stretch of [0, 1) per side, a place in it per group."""
    table = _Table(folder, _stretches(shares), seed, known)
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

    def __init__(
        self, folder: ImageFolder, stretches: dict[str, tuple[float, float]], seed: int, known: Mapping[str, str]
    ) -> None:
        labels = folder.labels.tolist()
        self.stretches = stretches
        self.labels = {group: {labels[row] for row in rows} for group, rows in members(folder).items()}
        self.groups = _inverted(self.labels)
        self.place = {group: unit_hash(group, seed) for group in self.labels}
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


def unit_hash(group: str, seed: int) -> float:
    """A number in [0, 1) that depends on the group's pixels and the seed alone."""
    digest = hashlib.sha256(f"{seed} {group}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def members(folder: ImageFolder) -> dict[str, list[int]]:
    """The positions of the images of each group, in order."""
    members = defaultdict(list)
    for row, group in enumerate(folder.groups):
        members[group].append(row)
    return members
