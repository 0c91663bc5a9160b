"""Near duplicates, found by pixels alone: re-encoded, resized or mirrored copies, and one scene photographed twice.

Two images are compared by their thumbnails: by the correlation of the gray values, and by that of the details, the
thumbnail less its blurred self. Details tell two white sheets under one lamp apart, where gray values are alike.

Of few images all pairs are compared; of many those that have a band of their perceptual hashes in common. A bit of such
a hash says on which side of a random plane the details of an image lie. Two images whose details correlate by r differ
in a bit with the probability arccos(r) / pi for any content, so the number of bands decides how many pairs are
missed (docs/decisions/057).
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tlkit.data.appearance import SIDE
from tlkit.data.folder import ImageFolder, number_names

BLUR = 2.0  # pixels, the standard deviation of the Gaussian whose blur leaves out details
MIN_DETAIL = 1.0  # gray levels, the standard deviation of an image's details below which it is as good as blank
SAME_DETAILS = 0.98  # correlation of details above which two images are near duplicates
ALIKE_DETAILS, SAME_GRAY = 0.95, 0.99  # or above which they are, if the gray values correlate, too
MAX_GROUP, MAX_GROUP_FRACTION = 4, 0.1  # images of one group: more than both is no set of copies (`NearDuplicates`)
MAX_NAMED = 3  # pairs of equal images that a note names
BLOCK = 1024  # images compared with all others, or pairs compared, at a time
MAX_ALL_PAIRS = 20_000  # images above which bands choose the pairs
MISSED = 1e-3  # probability with which bands miss a pair whose details correlate by ALIKE_DETAILS; of others it is less
MAX_BITS = 24  # of a band: an exact number in float32
MAX_NEIGHBORS = 64  # images with one band in common that each is compared with; more copies than that form a chain
MAX_DIFFERENT = 0.2  # fraction of all bits of a pair that is worth comparing: twice what is expected of near duplicates
ROUNDING = 1e-4  # of correlations in float32, at most


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
    ties = _Ties()
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
    ties = _Ties()
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
    """Sets of positions, joined one tie after the other (union-find); what is tied to nothing takes no memory."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}

    def join(self, one: int, other: int) -> None:
        """Make one set of those of two positions."""
        self._parent[self._root(other)] = self._root(one)

    def join_equal(self, names: Sequence[str]) -> None:
        """Join the positions of equal names; "" joins nothing."""
        first_with: dict[str, int] = {}
        for position in np.flatnonzero(_is_repeated(names)).tolist():
            if name := names[position]:
                self.join(first_with.setdefault(name, position), position)

    def sets(self) -> list[list[int]]:
        """List the sets of two or more positions, in order."""
        members = defaultdict(list)
        for position in sorted(self._parent):
            members[self._root(position)].append(position)
        return [positions for positions in members.values() if len(positions) > 1]

    def _root(self, position: int) -> int:
        while (above := self._parent.setdefault(position, position)) != position:
            self._parent[position] = self._parent[above]
            position = self._parent[position]
        return position


def _is_repeated(names: Sequence[str]) -> np.ndarray:
    """Tell of each name whether there is an equal one."""
    numbers, _ = number_names(names)
    repeated: np.ndarray = np.bincount(numbers)[numbers] > 1
    return repeated


def _reasons(folder: ImageFolder, pairs: Sequence[Pair]) -> tuple[str, ...]:
    """Say of each image why others are in its group; "" where none is."""
    near = {position for pair in pairs for position in (pair.first, pair.second)}
    related = folder.related or ("",) * len(folder)
    reasons = []
    for position, (is_equal, is_related) in enumerate(
        zip(_is_repeated(folder.digests), _is_repeated(related), strict=True)
    ):
        parts = ["equal pixels"] if is_equal else ["near duplicate"] if position in near else []
        parts += [f"group {related[position]}"] if is_related and related[position] else []
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
    ties = _Ties()
    ties.join_equal(folder.digests)
    return ties.sets()


def _sets_in_conflict(folder: ImageFolder) -> list[list[int]]:
    labels = folder.labels.tolist()
    return [equal for equal in equal_sets(folder) if len({labels[position] for position in equal}) > 1]


def _pairs(thumbnails: np.ndarray) -> Iterator[Pair]:
    """Compare the images that have details, in the pairs that may be near duplicates."""
    blocks = (thumbnails[start : start + BLOCK] for start in range(0, len(thumbnails), BLOCK))
    deviations = [details_of(block.astype(np.float32)).std(axis=(1, 2)) for block in blocks]
    positions = np.flatnonzero(np.concatenate([*deviations, []]) >= MIN_DETAIL)
    thumbnails = thumbnails[positions] if len(positions) < len(thumbnails) else thumbnails
    for found in (_pairs_of_all if len(positions) <= MAX_ALL_PAIRS else _pairs_of_bands)(thumbnails):
        for start in range(0, len(found), BLOCK):
            pairs = found[start : start + BLOCK]
            scores, is_near = _compare(thumbnails, pairs)
            for (first, second), score in zip(
                positions[pairs[is_near]].tolist(), scores[is_near].tolist(), strict=True
            ):
                yield Pair(first, second, min(score, 1.0))


def _compare(thumbnails: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the correlation of the details of each pair of positions, and whether they are near duplicates."""
    images, indices = np.unique(pairs, return_inverse=True)
    gray = thumbnails[images].astype(np.float64)
    first, second = indices.reshape(-1, 2).T
    scores = _correlations(details_of(gray), first, second).round(6)
    same_gray = _correlations(gray, first, second) >= SAME_GRAY
    return scores, (scores >= SAME_DETAILS) | ((scores >= ALIKE_DETAILS) & same_gray)


def _correlations(images: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Correlate images with others, as they are or mirrored, whichever gives more."""
    plain, mirrored = _unit_vectors(images), _unit_vectors(images[:, :, ::-1])
    one, other = (np.einsum("ij,ij->i", plain[first], others[second]) for others in (plain, mirrored))
    correlations: np.ndarray = np.maximum(one, other)
    return correlations


def _pairs_of_all(thumbnails: np.ndarray) -> Iterator[np.ndarray]:
    """Find the pairs of positions whose details correlate, among all pairs: (pairs, 2), the smaller first."""
    details = details_of(thumbnails.astype(np.float32))
    plain, mirrored = _unit_vectors(details), _unit_vectors(details[:, :, ::-1])
    for start in range(0, len(plain), BLOCK):
        block = plain[start : start + BLOCK]
        alike = np.maximum(block @ plain[start:].T, block @ mirrored[start:].T)
        yield start + np.argwhere(np.triu(alike >= ALIKE_DETAILS - ROUNDING, 1))


def _pairs_of_bands(thumbnails: np.ndarray) -> Iterator[np.ndarray]:
    """Find the pairs of positions whose details may correlate, by their hashes: (pairs, 2), the smaller first."""
    hashes, bits = hash_details(thumbnails)
    count, max_different = len(thumbnails), MAX_DIFFERENT * bits * hashes.shape[1]
    found = np.empty(0, np.int64)
    for band in range(hashes.shape[1]):
        new = [found]
        for one, other in _equal_in_band(hashes, band):
            near = np.bitwise_count(hashes[one] ^ hashes[other]).sum(axis=1) <= max_different
            first, second = one[near] % count, other[near] % count  # the second half are the same, mirrored
            new.append(np.minimum(first, second) * count + np.maximum(first, second))
        found = np.unique(np.concatenate(new))
    first, second = np.divmod(found, count)
    yield np.stack([first, second], axis=1)[first != second]


def _equal_in_band(hashes: np.ndarray, band: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Give the positions of hashes that are equal in a band: of each, with some that follow when they are sorted."""
    following = hashes[:, (band + 1) % hashes.shape[1]]  # the most alike of many lie side by side
    keys = (hashes[:, band].astype(np.uint64) << np.uint64(32)) | following
    order = np.argsort(keys)
    keys = keys[order] >> np.uint64(32)
    entries = np.arange(len(keys))
    for distance in range(1, MAX_NEIGHBORS + 1):
        entries = entries[entries + distance < len(keys)]
        entries = entries[keys[entries] == keys[entries + distance]]
        for start in range(0, len(entries), BLOCK):
            part = entries[start : start + BLOCK]
            yield order[part], order[part + distance]


def hash_details(thumbnails: np.ndarray) -> tuple[np.ndarray, int]:
    """Hash the details of images, and of the same images mirrored, for near duplicates to be found among them.

    Returns:
        uint32 (2 images, bands), and the number of bits of a band
    """
    bits = min(MAX_BITS, (2 * len(thumbnails)).bit_length())  # enough for few others to have a band in common
    equal = (1 - math.acos(ALIKE_DETAILS) / math.pi) ** bits
    num_bands = math.ceil(math.log(MISSED) / math.log(1 - equal))
    planes = np.random.default_rng(0).standard_normal((SIDE * SIDE, num_bands * bits), np.float32)
    values = np.float32(2) ** np.arange(bits, dtype=np.float32)
    hashes = np.empty((2, len(thumbnails), num_bands), np.uint32)
    for start in range(0, len(thumbnails), BLOCK):
        part = slice(start, start + BLOCK)
        details = details_of(thumbnails[part].astype(np.float32))
        for side, turned in enumerate((details, details[:, :, ::-1])):
            above = _unit_vectors(turned) @ planes > 0
            hashes[side, part] = (above.reshape(-1, bits) @ values).reshape(-1, num_bands)
    return hashes.reshape(-1, num_bands), bits


def details_of(gray: np.ndarray) -> np.ndarray:
    """Subtract the blurred thumbnails from thumbnails: (images, 32, 32), in their precision."""
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
