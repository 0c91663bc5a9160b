"""The split of decision 020 as it was first written, with sets and dictionaries: what `split_folder` must equal."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tlkit.data.folder import ImageFolder
from tlkit.data.layout import composed
from tlkit.data.listing import FileEntry, summarize_reasons
from tlkit.errors import DataError
from tlkit.utils.text import quote_names

TRAIN, VALIDATION, TEST = SUBSETS = ("train", "validation", "test")  # the more important subset first
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
    previous = _previous_of_groups(folder, previous_subsets or {})
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
    """Choose the subset of every image, class by class, by the rank of its group's hash.

    The groups of the lowest ranks are for validation, the next ones for test, the others for training
    (docs/decisions/020).

    Args:
        fractions: of the images of each class, by subset; training gets the rest
    """
    assignment = _GroupAssignment(folder, fractions, seed, previous_subsets)
    groups = assignment.groups
    labels = sorted(groups, key=lambda label: (len(groups[label]), label))  # small classes have the least choice
    for label in labels:
        assignment.assign_class(label)
    for subset in assignment.wanted:
        for label in labels:
            if assignment.is_missing(label, subset):
                assignment.move_nearest(label, subset)
    return [assignment.subset[group] for group in folder.groups]


class _GroupAssignment:
    """The subset of each group while images are assigned.

    Attributes:
        fractions: of the images of a class, by subset
        wanted: subsets that get images, the more important first
        images: of a group, by label
        groups: with images of a label, by label, the lowest hash first
        previous: the subset a group has in a previous run, where that is wanted
        subset: by group, once it is assigned
        count: of assigned groups, by (label, subset)
    """

    def __init__(
        self, folder: ImageFolder, fractions: Mapping[str, float], seed: int, previous_subsets: Mapping[str, str]
    ) -> None:
        self.fractions = {subset: fractions.get(subset, 0.0) for subset in (VALIDATION, TEST)}
        self.wanted = [subset for subset in SUBSETS if subset == TRAIN or self.fractions[subset]]
        image_labels = folder.labels.tolist()
        self.images = {
            group: Counter(image_labels[index] for index in indices) for group, indices in group_indices(folder).items()
        }
        self.groups = defaultdict[int, list[str]](list)
        for group in sorted(self.images, key=lambda group: hash_to_unit(group, seed)):
            for label in self.images[group]:
                self.groups[label].append(group)
        self.previous = {
            group: previous_subsets[group] for group in self.images if previous_subsets.get(group) in self.wanted
        }
        self.subset: dict[str, str] = {}
        self.count = Counter[tuple[int, str]]()
        for group, subset in self.previous.items():
            self._assign(group, subset)

    def _assign(self, group: str, subset: str) -> None:
        for label in self.images[group]:
            if group in self.subset:
                self.count[label, self.subset[group]] -= 1
            self.count[label, subset] += 1
        self.subset[group] = subset

    def assign_class(self, label: int) -> None:
        """Assign the groups of a class that are still free, so that each subset gets its fraction of the images.

        A group goes where its middle image belongs, so each subset ends within half a group of its fraction.
        """
        sizes = {group: self.images[group][label] for group in self.groups[label]}
        assigned = Counter[str]()  # images, by subset
        for group in self.subset.keys() & sizes:
            assigned[self.subset[group]] += sizes[group]
        position, total = assigned[VALIDATION], sum(sizes.values())
        validation_end = self.fractions[VALIDATION] * total
        test_end = max(validation_end, position) + self.fractions[TEST] * total - assigned[TEST]
        for group in [group for group in self.groups[label] if group not in self.subset]:
            middle = position + sizes[group] / 2
            self._assign(group, VALIDATION if middle <= validation_end else TEST if middle <= test_end else TRAIN)
            position += sizes[group]

    def is_missing(self, label: int, subset: str) -> bool:
        """Tell whether a class has no image in a subset."""
        return self.count[label, subset] == 0

    def move_nearest(self, label: int, subset: str) -> None:
        """Move the group of a class that is nearest to `subset` by rank there, if it can leave its own."""
        movable = [group for group in self.groups[label] if self._can_leave(group, subset)]
        if movable:
            self._assign(movable[-1 if subset == TRAIN else 0], subset)

    def _can_leave(self, group: str, target: str) -> bool:
        """Tell whether a group may move: from training if others of its classes stay, else to an earlier subset."""
        source = self.subset[group]
        if group in self.previous:
            return False
        if source == TRAIN:
            return all(self.count[label, TRAIN] > 1 for label in self.images[group])
        return SUBSETS.index(source) > SUBSETS.index(target)


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


def _previous_of_groups(folder: ImageFolder, previous_subsets: Mapping[str, str]) -> dict[str, str]:
    """Give the subset of each group in a previous run: training, where it was trained on any image of the group."""
    previous = dict[str, str]()
    for group, digest in zip(folder.groups, folder.digests, strict=True):
        subset = previous_subsets.get(digest)
        if subset and previous.get(group) != TRAIN:
            previous[group] = subset
    return previous


def _copies(folder: ImageFolder, assigned: np.ndarray) -> dict[int, str]:
    """Find images to drop: their positions, with the held-out image each is a copy of."""
    originals: dict[str, int] = {}
    copies = {}
    for subset in (TEST, VALIDATION, ""):
        indices = np.flatnonzero(assigned == subset).tolist()
        for index in indices:
            if folder.groups[index] in originals:
                original = originals[folder.groups[index]]
                copies[index] = f"{_relation(folder, index, original)} {folder.paths[original]}"
        if subset:
            originals.update({folder.groups[index]: index for index in indices})
    return copies


def _relation(folder: ImageFolder, index: int, original: int) -> str:
    if folder.digests[index] == folder.digests[original]:
        return "copy of"
    is_related = folder.related and folder.related[index] and folder.related[index] == folder.related[original]
    return "in one group with" if is_related else "near duplicate of"


def _previously_trained_on(
    folder: ImageFolder, assigned: np.ndarray, previous_subsets: Mapping[str, str]
) -> dict[int, str]:
    """Find images that the folder holds out, though the run this one starts from was trained on them."""
    held_out = np.flatnonzero(assigned != "").tolist()
    return {index: TRAINED_ON for index in held_out if previous_subsets.get(folder.groups[index]) == TRAIN}


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
    relatives = [entry.path for entry in skipped if entry.path not in {*trained_on, *copies}]
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
