from pathlib import Path

import numpy as np
import pytest

from tlkit.data.folder import ImageFolder
from tlkit.data.listing import FileEntry
from tlkit.data.split import SUBSETS, hash_to_unit, label_conflicts, split_folder
from tlkit.errors import DataError


def folder_of(images, subsets=None, names="abcdefghijkl"):
    """A read folder from (class, group) of each image; one letter is one class."""
    classes = tuple(sorted({name for name, _ in images} | set(names[:2])))
    return ImageFolder(
        root=Path("nowhere"),
        class_names=classes,
        paths=tuple(f"{name}/{number}.png" for number, (name, _) in enumerate(images)),
        labels=np.array([classes.index(name) for name, _ in images], np.int32),
        subsets=tuple(subsets or [""] * len(images)),
        sha256=tuple(f"sha{number}" for number in range(len(images))),
        groups=tuple(group for _, group in images),
    )


def classes_of(*counts):
    """Images of as many classes as there are counts, no two alike."""
    return [
        (name, f"{name}{number}")
        for name, count in zip("abcdefghijkl", counts, strict=False)
        for number in range(count)
    ]


def subset_of_group(split):
    return {group: side for side, part in split.subsets.items() for group in part.groups}


def subset_of_path(split):
    return {path: side for side, part in split.subsets.items() for path in part.paths}


COUNTS = [(2, 2), (3, 2, 9), (50, 5, 500), (2,) * 12, (1, 2), (1, 1, 1, 40)]


# nothing is lost, nothing leaks


def test_every_image_is_on_exactly_one_subset():
    for counts in COUNTS:
        for test_split in [0, 0.2]:
            for seed in range(3):
                folder = folder_of(classes_of(*counts))
                split = split_folder(folder, test_split=test_split, seed=seed)
                paths = sorted(path for part in split.subsets.values() for path in part.paths)
                assert paths == sorted(folder.paths), (counts, test_split, seed)


def test_equal_images_are_on_one_subset():
    for seed in range(5):
        random = np.random.default_rng(seed)
        images = [("ab"[random.integers(2)], f"g{random.integers(60)}") for _ in range(200)]
        split = split_folder(folder_of(images), 0.3, 0.2, seed)
        groups = [set(part.groups) for part in split.subsets.values()]
        assert sum(map(len, groups)) == len(set.union(*groups)), seed
        assert sum(map(len, split.subsets.values())) == 200, seed


def test_each_subset_keeps_the_labels_and_hashes_of_its_images():
    folder = folder_of(classes_of(30, 20, 10))
    known = dict(zip(folder.paths, zip(folder.labels.tolist(), folder.sha256, strict=True), strict=True))
    for part in split_folder(folder, test_split=0.2).subsets.values():
        assert [known[path] for path in part.paths] == list(zip(part.labels.tolist(), part.sha256, strict=True))


def test_each_subset_keeps_the_order_and_the_classes_of_the_folder():
    folder = folder_of(classes_of(30, 20, 10))
    order = {path: number for number, path in enumerate(folder.paths)}
    for part in split_folder(folder, test_split=0.2).subsets.values():
        assert part.class_names == folder.class_names
        assert [order[path] for path in part.paths] == sorted(order[path] for path in part.paths)


# every class on each side


def test_two_images_of_a_class_are_enough_for_training_and_validation():
    for counts in [(2, 2), (2, 3, 4), (2,) * 12, (100, 2)]:
        for fraction in [0.01, 0.2, 0.5, 0.99]:
            for seed in range(4):
                split = split_folder(folder_of(classes_of(*counts)), fraction, seed=seed)
                assert min(split.train.class_counts) >= 1, (counts, fraction, seed)
                assert min(split.validation.class_counts) >= 1, (counts, fraction, seed)
                assert split.notes == (), (counts, fraction, seed)


def test_three_images_of_a_class_are_enough_for_three_subsets():
    for counts in [(3, 3), (3, 4, 5), (3,) * 12]:
        for fractions in [(0.2, 0.2), (0.01, 0.01), (0.45, 0.5), (0.9, 0.05)]:
            for seed in range(4):
                split = split_folder(folder_of(classes_of(*counts)), *fractions, seed=seed)
                assert all(min(part.class_counts) >= 1 for part in split.subsets.values()), (counts, fractions, seed)
                assert split.notes == (), (counts, fractions, seed)


def test_two_images_of_a_class_go_to_training_and_validation_before_test():
    for seed in range(4):
        split = split_folder(folder_of(classes_of(2, 50)), 0.2, 0.2, seed)
        assert [part.class_counts[0] for part in (split.train, split.validation, split.test)] == [1, 1, 0], seed
        assert split.notes == ("no test images of a.",), seed


def test_a_class_of_one_image_trains_with_a_note():
    for seed in range(10):
        split = split_folder(folder_of(classes_of(1, 20)), 0.5, seed=seed)
        assert split.train.class_counts[0] == 1, seed
        assert split.notes == ("no validation images of a.",), seed


def test_copies_of_one_image_count_as_one():
    split = split_folder(folder_of([("a", "same")] * 9 + classes_of(0, 20)), 0.5)
    assert split.train.class_counts[0] == 9


def test_an_image_that_two_classes_share_costs_neither_its_training_image():
    for seed in range(20):
        split = split_folder(folder_of([("a", "shared"), ("b", "shared"), ("b", "own")]), 0.5, seed=seed)
        assert min(split.train.class_counts) >= 1, seed
        assert split.validation.class_counts == [0, 1], seed


# where a group goes


def test_hash_to_unit_is_spread_evenly_from_0_to_1():
    positions = [hash_to_unit(f"g{number}", 0) for number in range(2000)]
    assert 0 <= min(positions) < 0.01
    assert 0.99 < max(positions) < 1
    assert abs(np.mean(positions) - 0.5) < 0.03
    assert len(set(positions)) == 2000


def test_hash_to_unit_is_the_same_in_every_version():
    assert hash_to_unit("abc", 0) == pytest.approx(0.778781576860)  # sha256 of "0 abc", its first 48 bits
    assert hash_to_unit("abc", 1) == pytest.approx(0.117888974135)


def test_many_groups_meet_the_expected_fractions():
    for fractions in [(0.2, 0.0), (0.1, 0.3), (0.5, 0.25)]:
        split = split_folder(folder_of(classes_of(4000, 1000)), *fractions)
        assert len(split.validation) / 5000 == pytest.approx(fractions[0], abs=0.02), fractions
        assert len(split.test) / 5000 == pytest.approx(fractions[1], abs=0.02), fractions
        assert split.validation.class_counts[1] / 1000 == pytest.approx(fractions[0], abs=0.05), fractions


def test_ten_thousand_groups_in_many_classes_are_split():
    images = [("abcdefghijkl"[number % 12], f"g{number}") for number in range(10_000)]
    assert sum(map(len, split_folder(folder_of(images)).subsets.values())) == 10_000


def test_the_same_seed_splits_the_same():
    folder = folder_of(classes_of(50, 50))
    assert subset_of_path(split_folder(folder, seed=3)) == subset_of_path(split_folder(folder, seed=3))


def test_another_seed_splits_otherwise():
    folder = folder_of(classes_of(50, 50))
    splits = [subset_of_path(split_folder(folder, seed=seed)) for seed in range(5)]
    assert all(one != other for one in splits for other in splits if one is not other)


def test_the_order_of_the_images_does_not_matter():
    images = classes_of(5, 2, 30)
    forth, back = (split_folder(folder_of(rows), test_split=0.2) for rows in (images, images[::-1]))
    assert subset_of_group(forth) == subset_of_group(back)


def test_names_do_not_matter():
    folder = folder_of(classes_of(20, 20))
    renamed = ImageFolder(**{**vars(folder), "paths": tuple(f"new{number}" for number in range(40))})
    assert subset_of_group(split_folder(renamed)) == subset_of_group(split_folder(folder))


def test_another_image_moves_no_other():
    for seed in range(10):
        images = classes_of(60, 60, 60)
        before = subset_of_group(split_folder(folder_of(images), seed=seed))
        after = subset_of_group(split_folder(folder_of([*images, ("b", "new")]), seed=seed))
        assert before.items() <= after.items(), seed


def test_an_image_less_moves_no_other():
    images = classes_of(60, 60, 60)
    before = subset_of_group(split_folder(folder_of(images)))
    after = subset_of_group(split_folder(folder_of(images[7:])))
    assert after.items() <= before.items()


def test_a_new_class_moves_no_image_of_the_others():
    before = subset_of_group(split_folder(folder_of(classes_of(3, 2, 9))))
    after = subset_of_group(split_folder(folder_of(classes_of(3, 2, 9, 4))))
    assert before.items() <= after.items()


def test_in_a_tiny_class_another_image_moves_one_other_at_most():
    for seed in range(20):
        images = classes_of(30, 3)
        before = subset_of_group(split_folder(folder_of(images), seed=seed))
        after = subset_of_group(split_folder(folder_of([*images, ("b", "new")]), seed=seed))
        moved = [group for group, side in before.items() if after[group] != side]
        assert len(moved) <= 1, seed
        assert all(group.startswith("b") for group in moved), seed


def test_a_test_subset_takes_no_validation_image():
    folder = folder_of(classes_of(60, 60))
    without, with_test = split_folder(folder), split_folder(folder, test_split=0.3)
    assert with_test.validation.paths == without.validation.paths
    assert set(with_test.train.paths) | set(with_test.test.paths) == set(without.train.paths)


def test_a_larger_fraction_keeps_the_images_of_a_smaller_one():
    folder = folder_of(classes_of(100, 100))
    assert set(split_folder(folder, 0.1).validation.paths) < set(split_folder(folder, 0.3).validation.paths)


# equal images under different labels


def test_equal_images_under_different_labels_are_found():
    folder = folder_of([("a", "x"), ("b", "x"), ("b", "y"), ("b", "y"), ("a", "z"), ("b", "x")])
    assert label_conflicts(folder) == [("a/0.png", "b/1.png", "b/5.png")]


def test_equal_images_under_different_labels_are_reported_with_their_paths():
    folder = folder_of([*classes_of(20, 20), ("a", "x"), ("b", "x")])
    assert split_folder(folder).notes == (
        "1 set of identical images has different labels, e.g. a/40.png and b/41.png. Remove the wrong ones.",
    )


def test_equal_images_under_one_label_are_no_conflict():
    folder = folder_of([*classes_of(20, 20), ("a", "x"), ("a", "x")])
    assert label_conflicts(folder) == []
    assert split_folder(folder).notes == ()


# sides that the folder gives


def given(train=40, validation=10, test=0, extra=()):
    """Two classes with given sides; `extra` has (class, group, side) of more images."""
    rows = [
        ("ab"[number % 2], f"{side}{number}", side)
        for side, count in (("train", train), ("validation", validation), ("test", test))
        for number in range(count)
    ]
    rows += extra
    return folder_of([row[:2] for row in rows], [row[2] for row in rows])


def test_given_subsets_win():
    for seed in range(3):
        folder = given(train=40, validation=10, test=6)
        split = split_folder(folder, 0.5, 0.3, seed)
        assert subset_of_path(split) == dict(zip(folder.paths, folder.subsets, strict=True)), seed
        assert split.notes == (), seed


def test_given_validation_leaves_the_test_subset_to_the_hash():
    folder = given(train=400, validation=10)
    split = split_folder(folder, 0.5, 0.25)
    assert split.validation.subsets == ("validation",) * 10
    assert len(split.test) / 400 == pytest.approx(0.25, abs=0.06)
    assert set(split.train.subsets) == {"train"}


def test_a_given_test_subset_leaves_validation_to_the_hash():
    split = split_folder(given(train=400, validation=0, test=10), 0.25, 0.5)
    assert split.test.subsets == ("test",) * 10
    assert len(split.validation) / 400 == pytest.approx(0.25, abs=0.06)


def test_a_train_folder_alone_is_split_like_a_plain_folder():
    folder = given(train=40, validation=0)
    plain = folder_of(list(zip(["a", "b"] * 20, folder.groups, strict=True)))
    assert subset_of_path(split_folder(folder)) == subset_of_path(split_folder(plain))


def test_training_copies_of_held_out_images_are_dropped_and_reported():
    folder = given(extra=[("a", "validation0", "train"), ("b", "validation1", "train")])
    split = split_folder(folder)
    assert len(split.validation) == 10
    assert len(split.train) == 40
    assert [(found.path, found.reason) for found in split.train.skipped] == [
        ("a/50.png", "copy of a/40.png"),
        ("b/51.png", "copy of b/41.png"),
    ]
    assert split.notes == ("2 copies of held-out images were left out, e.g. a/50.png.",)


def test_validation_copies_of_test_images_are_dropped():
    split = split_folder(given(test=4, extra=[("a", "test0", "validation"), ("a", "test0", "train")]))
    assert (len(split.train), len(split.validation), len(split.test)) == (40, 10, 4)
    assert len(split.train.skipped) == 2


def test_copies_inside_a_given_subset_stay():
    split = split_folder(given(extra=[("a", "validation0", "validation")]))
    assert len(split.validation) == 11


def test_a_copy_under_another_label_is_dropped_and_is_a_conflict():
    split = split_folder(given(extra=[("b", "validation0", "train")]))
    assert len(split.train) == 40
    assert len(split.notes) == 2
    assert "1 set of identical images has different labels" in split.notes[1]


def test_only_the_copies_dropped_here_are_on_the_list():
    folder = given(extra=[("a", "validation0", "train")]).with_skipped([FileEntry("x.jpg", "is empty")])
    assert [found.path for found in split_folder(folder).train.skipped] == ["a/50.png"]


# what cannot be split


def test_a_class_without_an_image_is_refused_by_name():
    with pytest.raises(DataError, match="class 'b' has no readable image to train on"):
        split_folder(folder_of(classes_of(20)))


def test_a_class_whose_training_images_are_all_copies_is_refused_by_name():
    rows = [("a", f"g{number}", "train") for number in range(9)]
    rows += [("b", "x", "train"), ("b", "x", "validation"), ("a", "y", "validation")]
    with pytest.raises(DataError, match="class 'b' has no readable image to train on"):
        split_folder(folder_of([row[:2] for row in rows], [row[2] for row in rows]))


def test_one_image_per_class_leaves_nothing_to_validate_on():
    with pytest.raises(DataError, match="no image is left for validation"):
        split_folder(folder_of(classes_of(1, 1)))


def test_parts_are_named_as_the_subsets_are():
    assert tuple(split_folder(folder_of(classes_of(4, 4))).subsets) == SUBSETS == ("train", "validation", "test")
