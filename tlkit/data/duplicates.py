"""Near duplicates, found by pixels alone: re-encoded, resized or mirrored copies, and one scene photographed twice.

Two images are compared by their thumbnails: by the correlation of the gray values, and by that of the details, the
thumbnail less its blurred self. Details tell two white sheets under one lamp apart, where gray values are alike.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tlkit.data.appearance import SIDE
from tlkit.data.folder import ImageFolder

BLUR = 2.0  # pixels, the standard deviation of the Gaussian whose blur leaves out details
MIN_DETAIL = 1.0  # gray levels, the standard deviation of an image's details below which it is as good as blank
SAME_DETAILS = 0.98  # correlation of details above which two images are near duplicates
ALIKE_DETAILS, SAME_GRAY = 0.95, 0.99  # or above which they are, if the gray values correlate, too
MAX_GROUP, MAX_GROUP_FRACTION = 4, 0.1  # images of one group: more than both is no set of copies (`NearDuplicates`)
MAX_NAMED = 3  # pairs of equal images that a note names
BLOCK = 1024  # images compared with all others at a time


@dataclass(frozen=True)
class Pair:
    """Two images that are near duplicates.

    first, second  their positions, the smaller first
    score          correlation of their details, up to 1
    """

    first: int
    second: int
    score: float


@dataclass(frozen=True)
class NearDuplicates:
    """The near duplicates among some images.

    pairs   the most alike first
    series  positions of images that look nearly alike but are too many to be copies, as those of a fixed camera
        are; `pairs` has none of them
    """

    pairs: tuple[Pair, ...]
    series: tuple[int, ...]


def group_images(folder: ImageFolder, near: NearDuplicates | None = None) -> ImageFolder:
    """Put images that must not be in two subsets into one group: equal ones, near duplicates, related ones.

    A chain of such ties makes one group. It is called by the smallest of its images' digests, so that the split
    depends on pixels and on what the user says, never on what is installed or cached.

    Args:
        folder: with its contents read
        near: its near duplicates, if they are known
    """
    assert folder.appearances is not None, "the files are read"
    near = near or find_near_duplicates(folder.appearances["thumbnail"], folder.digests)
    groups = name_groups(folder.digests, folder.related, near.pairs)
    notes = [*folder.notes, *_notes(folder, near)]
    return replace(folder, groups=groups, reasons=_reasons(folder, near.pairs), notes=tuple(notes))


def name_groups(digests: Sequence[str], related: Sequence[str], pairs: Sequence[Pair]) -> tuple[str, ...]:
    """Name the group of each image: the smallest digest of all that it is tied to.

    Args:
        digests: of the pixels, one per image
        related: what else each belongs to, "" for nothing; may be empty
        pairs: of near duplicates
    """
    ties = _Ties(len(digests))
    ties.join_equal(digests)
    for pair in pairs:
        ties.join(pair.first, pair.second)
    ties.join_equal(related)
    groups = list(digests)
    for positions in ties.sets():
        name = min(digests[position] for position in positions)
        for position in positions:
            groups[position] = name
    return tuple(groups)


def find_near_duplicates(thumbnails: np.ndarray, digests: Sequence[str]) -> NearDuplicates:
    """Find the near duplicates among images, mirrored ones too; equal ones count, too.

    thumbnails: uint8 (images, 32, 32), gray, of `appearance.py`
    digests: of the pixels, one per image
    """
    pairs = sorted(_pairs(thumbnails), key=lambda pair: (-pair.score, pair.first, pair.second))
    ties = _Ties(len(digests))
    ties.join_equal(digests)
    for pair in pairs:
        ties.join(pair.first, pair.second)
    max_group = max(MAX_GROUP, MAX_GROUP_FRACTION * len(digests))
    too_large = [
        positions for positions in ties.sets() if len({digests[position] for position in positions}) > max_group
    ]
    series = {position for positions in too_large for position in positions}
    kept = [pair for pair in pairs if pair.first not in series]
    return NearDuplicates(tuple(kept), tuple(sorted(series)))


class _Ties:
    """Sets of positions, joined one tie after the other (union-find)."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def join(self, one: int, other: int) -> None:
        """Make one set of those of two positions."""
        self._parent[self._root(other)] = self._root(one)

    def join_equal(self, names: Sequence[str]) -> None:
        """Join the positions of equal names; "" joins nothing."""
        first_with: dict[str, int] = {}
        for position, name in enumerate(names):
            if name:
                self.join(first_with.setdefault(name, position), position)

    def sets(self) -> list[list[int]]:
        """List the sets of two or more positions, in order."""
        members = defaultdict(list)
        for position in range(len(self._parent)):
            members[self._root(position)].append(position)
        return [positions for positions in members.values() if len(positions) > 1]

    def _root(self, position: int) -> int:
        while self._parent[position] != position:
            self._parent[position] = self._parent[self._parent[position]]
            position = self._parent[position]
        return position


def _reasons(folder: ImageFolder, pairs: Sequence[Pair]) -> tuple[str, ...]:
    """Say of each image why others are in its group; "" where none is."""
    num_equal, num_related = Counter(folder.digests), Counter(folder.related)
    near = {position for pair in pairs for position in (pair.first, pair.second)}
    reasons = []
    for position, digest in enumerate(folder.digests):
        related = folder.related[position] if folder.related else ""
        parts = ["equal pixels"] if num_equal[digest] > 1 else ["near duplicate"] if position in near else []
        parts += [f"group {related}"] if related and num_related[related] > 1 else []
        reasons.append(", ".join(parts))
    return tuple(reasons)


def _notes(folder: ImageFolder, near: NearDuplicates) -> list[str]:
    notes = []
    if groups := {group for group in folder.related if group}:
        alone = sum(not group for group in folder.related)
        without = f"; {alone} images are in none" if alone else ""
        notes.append(f"{len(groups)} groups of images that belong together{without}; a group is in one subset.")
    pairs = [pair for pair in near.pairs if folder.digests[pair.first] != folder.digests[pair.second]]
    if pairs:
        count = len({position for pair in pairs for position in (pair.first, pair.second)})
        example = " and ".join(folder.paths[position] for position in (pairs[0].first, pairs[0].second))
        notes.append(f"{count} images are near duplicates, e.g. {example}; near duplicates are kept in one subset.")
    if near.series:
        notes.append(
            f"{len(near.series)} images look nearly alike, e.g. {folder.paths[near.series[0]]} and "
            f"{folder.paths[near.series[1]]}, as those of a fixed camera do. They are not grouped; if some show the "
            "same thing, the accuracy is too high: --group-regex keeps them in one subset."
        )
    return notes


def conflict_rows(folder: ImageFolder) -> list[tuple[str, str, str]]:
    """List the path, class and digest of every image that has an equal one with another label, set by set."""
    names, labels = folder.class_names, folder.labels.tolist()
    positions = [index for indices in _sets_in_conflict(folder) for index in indices]
    return [(folder.paths[index], names[labels[index]], folder.digests[index]) for index in positions]


def conflict_notes(folder: ImageFolder, table: str = "") -> list[str]:
    """Name up to three pairs of equal images with different labels.

    table: where all of them are listed
    """
    conflicts = _sets_in_conflict(folder)
    if not conflicts:
        return []
    labels, pairs = folder.labels.tolist(), []
    for first, *others in conflicts[:MAX_NAMED]:
        other = next(index for index in others if labels[index] != labels[first])
        pairs.append(f"{folder.paths[first]} and {folder.paths[other]}")
    sets = "1 set of identical images has" if len(conflicts) == 1 else f"{len(conflicts)} sets of identical images have"
    same = "; so are ".join([f"{pairs[0]} are the same image", *pairs[1:]])
    return [f"{sets} different labels: {same}. Remove the wrong ones{f'; {table} lists them' * bool(table)}."]


def equal_sets(folder: ImageFolder) -> list[list[int]]:
    """List the positions of each set of two or more equal images, in order."""
    ties = _Ties(len(folder))
    ties.join_equal(folder.digests)
    return ties.sets()


def _sets_in_conflict(folder: ImageFolder) -> list[list[int]]:
    labels = folder.labels.tolist()
    return [equal for equal in equal_sets(folder) if len({labels[position] for position in equal}) > 1]


def _pairs(thumbnails: np.ndarray) -> Iterator[Pair]:
    gray = thumbnails.astype(np.float32)
    details = details_of(gray)
    has_detail = details.std(axis=(1, 2)) >= MIN_DETAIL
    positions = np.flatnonzero(has_detail)
    gray, details = gray[positions], details[positions]
    details_to, mirrored_to = _unit_vectors(details), _unit_vectors(details[:, :, ::-1])
    for start in range(0, len(positions), BLOCK):
        block = details_to[start : start + BLOCK]
        alike = np.maximum(block @ details_to[start:].T, block @ mirrored_to[start:].T)
        rows, columns = np.nonzero(np.triu(alike >= ALIKE_DETAILS, 1))
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            score, first, second = round(float(alike[row, column]), 6), start + row, start + column
            if score >= SAME_DETAILS or _gray_correlation(gray[first], gray[second]) >= SAME_GRAY:
                yield Pair(int(positions[first]), int(positions[second]), min(score, 1.0))


def details_of(gray: np.ndarray) -> np.ndarray:
    """Subtract the blurred thumbnails from thumbnails: float32 (images, 32, 32)."""
    details: np.ndarray = gray - BLUR_MATRIX @ gray @ BLUR_MATRIX.T
    return details


def blur_matrix(side: int) -> np.ndarray:
    """Make the matrix that blurs the columns of an image by a Gaussian; its borders are mirrored."""
    offsets = np.arange(-side, side + 1)
    weights = np.exp(-0.5 * (offsets / BLUR) ** 2)
    matrix = np.zeros((side, side), np.float32)
    for row in range(side):
        columns = (row + offsets) % (2 * side)  # ... 1 0 | 0 1 ... 30 31 | 31 30 ...
        np.add.at(matrix[row], np.minimum(columns, 2 * side - 1 - columns), weights)
    matrix /= matrix.sum(axis=1, keepdims=True)
    return matrix


BLUR_MATRIX = blur_matrix(SIDE)


def _unit_vectors(images: np.ndarray) -> np.ndarray:
    vectors: np.ndarray = images.reshape(len(images), SIDE * SIDE)
    vectors = vectors - vectors.mean(axis=1, keepdims=True)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    return vectors


def _gray_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Correlate the gray values of two thumbnails, as they are or mirrored."""
    first, second, mirrored = _unit_vectors(np.stack([one, other, other[:, ::-1]]))
    return float(max(first @ second, first @ mirrored))
