"""Folds: every image in one, classes spread alike, equal pictures together."""

from collections import Counter

import numpy as np
import pytest

from tests.data.test_split import classes_of, folder_of
from tlkit.data.split import assign_folds, fold_splits
from tlkit.errors import DataError


def test_folds_are_alike_in_size_and_in_classes():
    for counts in [(20, 20), (17, 5, 40), (50, 10)]:
        for seed in [0, 1]:
            folder = folder_of(classes_of(*counts))
            folds = assign_folds(folder, 5, seed)
            sizes = np.bincount(folds, minlength=5)
            assert np.ptp(sizes) <= 1, (counts, seed)
            for label, count in enumerate(counts):
                found = np.bincount(folds[folder.labels == label], minlength=5)
                assert found.sum() == count, (counts, seed)
                assert np.ptp(found) <= 1, (counts, seed)


def test_equal_pictures_are_in_one_fold():
    images = [*classes_of(12, 12), ("a", "a0"), ("b", "a0"), ("a", "a3")]
    folder = folder_of(images)
    folds = assign_folds(folder, 4, 0)
    for group in ("a0", "a3"):
        assert len({folds[row] for row, found in enumerate(folder.groups) if found == group}) == 1


def test_seeds_give_other_folds_and_one_seed_the_same():
    folder = folder_of(classes_of(30, 30))
    first, again, other = (assign_folds(folder, 3, seed).tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_every_image_is_held_out_once_and_never_learnt_from_then():
    folder = folder_of(classes_of(20, 30))
    splits = fold_splits(folder, 5, 0.2, 0)
    held_out = Counter(path for split in splits for path in split.test.paths)
    assert held_out == Counter(folder.paths)
    for split in splits:
        sides = [set(part.groups) for part in (split.train, split.validation, split.test)]
        assert not sides[0] & sides[1]
        assert not sides[2] & (sides[0] | sides[1])
        assert sum(map(len, (split.train, split.validation, split.test))) == len(folder)


def test_a_class_too_small_for_folds_is_refused():
    with pytest.raises(DataError, match="class 'b' has too few images for --folds"):
        fold_splits(folder_of(classes_of(20, 1)), 5, 0.2, 0)
