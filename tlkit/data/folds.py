"""Folds for cross-validation: stratified by class, and equal pictures always in the same fold."""

from collections import defaultdict

import numpy as np

from tlkit.data.deal import TEST, TRAIN, VALIDATION, deal_groups, members, unit_hash
from tlkit.data.folder import ImageFolder
from tlkit.data.split import Split
from tlkit.errors import DataError


def assign_folds(folder: ImageFolder, folds: int, seed: int) -> np.ndarray:
    """The fold of every image: int (images,), from 0 to folds - 1.

    Within a class, groups of equal pixels are dealt one by one in the order of their hash.
    """
    labels = folder.labels.tolist()
    by_label = defaultdict(list)
    groups = members(folder)
    for group, rows in groups.items():
        by_label[min(labels[row] for row in rows)].append(group)
    assigned = np.zeros(len(folder), dtype=np.int64)
    place = 0
    for label in sorted(by_label):  # a class goes on dealing where the last one ended, so that folds are alike in size
        for group in sorted(by_label[label], key=lambda group: unit_hash(group, seed)):
            assigned[groups[group]] = place % folds
            place += 1
    return assigned


def fold_splits(folder: ImageFolder, folds: int, validation_split: float, seed: int) -> list[Split]:
    """One split per fold, in which the fold is the test side.

    Of the other images a share is for validation, on which the best epoch is chosen.

    raises: DataError where a class has too few images to be in every training side
    """
    found = assign_folds(folder, folds, seed)
    return [_one(folder, found == fold, validation_split, seed) for fold in range(folds)]


def _one(folder: ImageFolder, held_out: np.ndarray, validation_split: float, seed: int) -> Split:
    rest = np.flatnonzero(~held_out)
    sides = np.full(len(folder), TEST, dtype=object)
    sides[rest] = deal_groups(folder.pick(rest.tolist()), {VALIDATION: validation_split}, seed, {})
    parts = {side: folder.pick(np.flatnonzero(sides == side).tolist()) for side in (TRAIN, VALIDATION, TEST)}
    empty = [name for name, count in zip(folder.class_names, parts[TRAIN].counts, strict=True) if not count]
    if empty or not len(parts[VALIDATION]) or not len(parts[TEST]):
        short = f"class '{empty[0]}' has" if empty else "there are"
        raise DataError(f"{short} too few images for --folds; choose fewer folds, or give it more images.")
    return Split(parts[TRAIN], parts[VALIDATION], parts[TEST])
