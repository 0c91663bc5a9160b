from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.data import frozen_split
from tlkit.data.duplicates import conflict_notes, conflict_rows
from tlkit.data.folder import ImageFolder
from tlkit.data.listing import HIDDEN, FileEntry
from tlkit.data.split import SUBSETS, assign_folds, fold_splits, hash_to_unit, split_folder
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
        digests=tuple(group for _, group in images),
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
        for fractions in [(0.2, 0.2), (0.01, 0.01), (0.45, 0.5), (0.4, 0.05)]:
            for seed in range(4):
                split = split_folder(folder_of(classes_of(*counts)), *fractions, seed=seed)
                assert all(min(part.class_counts) >= 1 for part in split.subsets.values()), (counts, fractions, seed)
                assert split.notes == (), (counts, fractions, seed)


def test_two_images_of_a_class_go_to_training_and_validation_before_test():
    for seed in range(4):
        split = split_folder(folder_of(classes_of(2, 50)), 0.2, 0.2, seed)
        assert [part.class_counts[0] for part in (split.train, split.validation, split.test)] == [1, 1, 0], seed
        assert split.notes == ("no test images of 'a'.",), seed


def test_a_class_of_one_image_trains_with_a_note():
    for seed in range(10):
        split = split_folder(folder_of(classes_of(1, 20)), 0.5, seed=seed)
        assert split.train.class_counts[0] == 1, seed
        assert split.notes == ("no validation images of 'a'.",), seed


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


def random_images(random):
    """2 to 500 images in each of a few classes, with copies of some, and some that classes have in common."""
    images = []
    for name in "abcdefgh"[: random.integers(2, 9)]:
        many = int(random.choice([2, 3, 6, 20, 180, 500]) if random.random() < 0.5 else random.integers(2, 501))
        images += [(name, f"{name}{number}") for number in range(many)]
        copied = random.integers(many, size=random.integers(0, 1 + many // 10))
        images += [(name, f"{name}{number}") for number in copied for _ in range(random.integers(1, 5))]
    names = sorted({name for name, _ in images})
    for name, group in [images[index] for index in random.integers(len(images), size=random.integers(4))]:
        images.append((next(other for other in random.permutation(names) if other != name), group))
    return images


def test_every_class_gives_its_fraction_to_within_one_group():
    """200 folders; the largest group of a class is its tolerance.

    Where another class, to have an image in a subset at all, takes one that a tiny class has too, it is two groups.
    """
    offenders = []
    for number in range(200):
        random = np.random.default_rng(number)
        folder = folder_of(random_images(random))
        fractions = [(0.2, 0.0), (0.2, 0.1), (0.1, 0.3), (0.5, 0.25), (0.05, 0.05)][number % 5]
        split = split_folder(folder, *fractions, seed=number)
        sizes = Counter(zip(folder.labels.tolist(), folder.groups, strict=True))
        for label, name in enumerate(folder.class_names):
            of_class = [size for (own, _), size in sizes.items() if own == label]
            for part, fraction in ((split.validation, fractions[0]), (split.test, fractions[1])):
                off = abs(part.class_counts[label] - fraction * sum(of_class))
                if off > max(of_class) * (1 + (len(of_class) < 5)):
                    offenders.append((number, name, fraction, off))
            if len(of_class) > 1 and not (split.train.class_counts[label] and split.validation.class_counts[label]):
                offenders.append((number, name, "is missing"))
        groups = [set(part.groups) for part in split.subsets.values()]
        if sum(map(len, groups)) != len(set.union(*groups)):
            offenders.append((number, "a group is divided"))
    assert offenders == []


def test_without_copies_a_class_gives_its_fraction_rounded():
    for count in range(2, 60):
        for fractions in [(0.2, 0.0), (0.2, 0.1), (0.1, 0.3)]:
            split = split_folder(folder_of(classes_of(count, 30)), *fractions)
            validation, test = (part.class_counts[0] for part in (split.validation, split.test))
            assert abs(validation - max(1, fractions[0] * count)) <= 0.5, (count, fractions)
            assert abs(test - fractions[1] * count) <= 1, (count, fractions)


def test_fractions_are_of_images_not_of_groups():
    images = [("a", f"a{group}") for group in range(50) for _ in range(1 + 9 * (group % 2))] + classes_of(0, 50)
    for seed in range(10):
        split = split_folder(folder_of(images), 0.2, 0.2, seed)
        for part in (split.validation, split.test):
            assert abs(part.class_counts[0] - 0.2 * 275) <= 10, seed


def test_the_groups_of_the_lowest_hashes_validate_and_the_next_ones_test():
    for seed in range(3):
        split = split_folder(folder_of(classes_of(40, 25)), 0.2, 0.1, seed)
        for label in (0, 1):
            positions = [
                [hash_to_unit(group, seed) for group, own in zip(part.groups, part.labels, strict=True) if own == label]
                for part in (split.validation, split.test, split.train)
            ]
            assert max(positions[0]) < min(positions[1]) <= max(positions[1]) < min(positions[2]), seed


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


def moved_groups(before, after):
    """Groups of both splits that are in another subset, as (group, from, to)."""
    before, after = subset_of_group(before), subset_of_group(after)
    return [
        (group, before[group], after[group]) for group in before.keys() & after.keys() if after[group] != before[group]
    ]


def test_another_image_moves_at_most_one_group_of_its_class_across_each_boundary():
    for number in range(60):
        random = np.random.default_rng(number)
        images = [*classes_of(30, random.integers(2, 40), 15)]
        images += [("b", f"b{random.integers(10)}") for _ in range(random.integers(4))]  # perhaps copies
        new = ("b", "new") if number % 3 else images[30]  # or a copy of an image that is known
        before, after = (split_folder(folder_of(rows), 0.2, 0.1, number) for rows in (images, [*images, new]))
        moved = moved_groups(before, after)
        assert all(group.startswith("b") for group, _, _ in moved), number
        for boundary in ({"train"}, {"validation"}):  # a boundary has one of these on one side, the others on the other
            assert sum((source in boundary) != (target in boundary) for _, source, target in moved) <= 1, number


def test_an_image_less_moves_at_most_one_group_of_its_class():
    images = classes_of(60, 60, 60)
    for position in (0, 70, 150):
        before, after = (split_folder(folder_of(rows)) for rows in (images, images[:position] + images[position + 1 :]))
        moved = moved_groups(before, after)
        assert len(moved) <= 1
        assert all(group.startswith(images[position][0]) for group, _, _ in moved)


def test_a_new_class_moves_no_image_of_the_others():
    before = subset_of_group(split_folder(folder_of(classes_of(3, 2, 9))))
    after = subset_of_group(split_folder(folder_of(classes_of(3, 2, 9, 4))))
    assert before.items() <= after.items()


def test_a_test_subset_takes_no_validation_image():
    for counts in [(60, 60), (2, 2), (3, 4), (1, 5), (10, 300)]:
        for fraction in [0.01, 0.2, 0.5, 0.8]:
            folder = folder_of(classes_of(*counts))
            without, with_test = split_folder(folder, fraction), split_folder(folder, fraction, 0.19)
            assert with_test.validation.paths == without.validation.paths, (counts, fraction)
            assert set(with_test.train.paths) | set(with_test.test.paths) == set(without.train.paths)


def test_a_larger_fraction_keeps_the_images_of_a_smaller_one():
    folder = folder_of(classes_of(100, 100))
    assert set(split_folder(folder, 0.1).validation.paths) < set(split_folder(folder, 0.3).validation.paths)


# groups that a previous run had


def test_groups_of_a_previous_run_keep_their_subset_and_new_ones_make_up_the_fractions():
    old, new = classes_of(30, 30), [("a", f"new{number}") for number in range(30)]
    for seed in range(5):
        before = split_folder(folder_of(old), 0.2, seed=seed)
        known = subset_of_group(before)
        split = split_folder(folder_of([*old, *new]), 0.2, 0.1, seed + 1, known)
        assert subset_of_group(split).items() >= known.items()
        assert split.validation.class_counts == [12, 6]
        assert split.test.class_counts == [6, 0]  # nothing of the other class is new


def test_more_validation_images_than_asked_for_in_a_previous_run_take_nothing_from_the_test_images():
    known = subset_of_group(split_folder(folder_of(classes_of(30, 30)), 0.5))
    images = [*classes_of(30, 30), *((name, f"new{name}{number}") for name in "ab" for number in range(20))]
    split = split_folder(folder_of(images), 0.2, 0.1, 7, known)
    assert (split.validation.class_counts, split.test.class_counts) == ([15, 15], [5, 5])


# equal images under different labels


def test_equal_images_under_different_labels_are_found():
    folder = folder_of([("a", "x"), ("b", "x"), ("b", "y"), ("b", "y"), ("a", "z"), ("b", "x")])
    assert conflict_rows(folder) == [("a/0.png", "a", "x"), ("b/1.png", "b", "x"), ("b/5.png", "b", "x")]


def test_equal_images_under_different_labels_are_reported_with_their_paths():
    folder = folder_of([*classes_of(20, 20), ("a", "x"), ("b", "x")])
    assert conflict_notes(folder, "conflicts.csv") == [
        "1 set of identical images has different labels: a/40.png and b/41.png are the same image. "
        "Remove the wrong ones; conflicts.csv lists them."
    ]


def test_up_to_three_pairs_of_equal_images_are_named_each_with_two_labels():
    shared = [(name, f"x{number}") for number in range(4) for name in ("a", "a", "b")]
    folder = folder_of([*classes_of(20, 20), *shared])
    assert conflict_notes(folder) == [
        "4 sets of identical images have different labels: a/40.png and b/42.png are the same image; "
        "so are a/43.png and b/45.png; so are a/46.png and b/48.png. Remove the wrong ones."
    ]
    assert [path for path, _, _ in conflict_rows(folder)] == list(folder.paths[40:])


def test_equal_images_under_one_label_are_no_conflict():
    folder = folder_of([*classes_of(20, 20), ("a", "x"), ("a", "x")])
    assert conflict_rows(folder) == conflict_notes(folder) == []


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
    assert split.test.class_counts == [50, 50]
    assert set(split.train.subsets) == {"train"}


def test_a_given_test_subset_leaves_validation_to_the_hash():
    split = split_folder(given(train=400, validation=0, test=10), 0.25, 0.5)
    assert split.test.subsets == ("test",) * 10
    assert split.validation.class_counts == [50, 50]


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
    folder = given(extra=[("b", "validation0", "train")])
    split = split_folder(folder)
    assert len(split.train) == 40
    assert len(split.notes) == 1
    assert "1 set of identical images has different labels" in conflict_notes(folder)[0]


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
    with pytest.raises(DataError, match="class 'b' has no readable image to train on: 1 × copy of a held-out image;"):
        split_folder(folder_of([row[:2] for row in rows], [row[2] for row in rows]))


def test_one_image_per_class_leaves_nothing_to_validate_on():
    for images, words in [
        (classes_of(1, 1), "each class has a single image"),
        ([("a", "x")] * 3 + [("b", "x")], "all 4 images are identical"),
        ([("a", "x")] * 3 + [("b", "y")] * 2, "the images of each class are identical"),
    ]:
        with pytest.raises(DataError, match=f"no image is left for validation, because {words}; expected"):
            split_folder(folder_of(images))


def test_a_class_without_an_image_is_refused_with_the_reasons_that_are_known():
    skipped = [
        *(FileEntry(f"b/{number}.jpg", f"is damaged (byte {number})") for number in range(3)),
        *(FileEntry(f"b/deep/{number}", "is a PDF document") for number in range(2)),
        *(FileEntry("b/x.html", "is a web page, not a photo"), FileEntry("b/.x", HIDDEN), FileEntry("a/x", "is empty")),
    ]
    with pytest.raises(DataError) as caught:
        split_folder(folder_of(classes_of(20)).with_skipped(skipped))
    assert str(caught.value) == (
        "class 'b' has no readable image to train on: 3 × damaged, 2 × PDF document, 1 × web page; "
        "add images of it or remove it."
    )


def test_parts_are_named_as_the_subsets_are():
    assert tuple(split_folder(folder_of(classes_of(4, 4))).subsets) == SUBSETS == ("train", "validation", "test")


# the same as it was first written


def random_folder(seed):
    """A folder with tiny classes, copies within and across classes, subsets of its own or not, and an earlier run."""
    random = np.random.default_rng(seed)
    count, num_groups = random.integers(4, 120), random.integers(2, 100)
    num_classes = random.integers(2, 8)
    odds = random.dirichlet(np.full(num_classes, random.choice([0.2, 1, 10])))
    home = random.choice(num_classes, num_groups, p=odds)  # of a group, from which some of its images are taken away
    groups = random.integers(num_groups, size=count)
    strays = random.random(count) < random.choice([0, 0.02, 0.3])
    labels = np.where(strays, random.integers(num_classes, size=count), home[groups])
    images = [("abcdefgh"[label], f"g{group}") for label, group in zip(labels, groups, strict=True)]
    choices = [("",), ("train", "validation"), ("train", "validation", "test"), ("", "test")][random.integers(4)]
    folder = folder_of(images, [str(subset) for subset in random.choice(choices, count)])
    known = random.random(num_groups) < random.choice([0, 0, 0.3, 0.9])
    previous = {f"g{group}": str(random.choice(SUBSETS)) for group in np.flatnonzero(known)}
    fractions = [(0.2, 0.0), (0.2, 0.2), (0.01, 0.3), (0.5, 0.45), (0.0, 0.2)][random.integers(5)]
    return replace(folder, related=("",) * count), fractions, previous


def outcome(split, *arguments):
    """What one or more splits are made of, or why there are none."""
    try:
        made = split(*arguments)
    except DataError as error:
        return str(error)
    return [
        ([(part.paths, part.labels.tolist(), part.groups, part.skipped) for part in one.subsets.values()], one.notes)
        for one in (made if isinstance(made, list) else [made])
    ]


def test_a_split_equals_the_one_of_sets_and_dictionaries():
    kinds = Counter()
    for seed in range(1200):
        folder, fractions, previous = random_folder(seed)
        found = outcome(split_folder, folder, *fractions, seed % 3, previous)
        assert found == outcome(frozen_split.split_folder, folder, *fractions, seed % 3, previous), seed
        kinds["refused" if isinstance(found, str) else "split"] += 1
        kinds["dropped"] += not isinstance(found, str) and bool(found[0][0][0][3])
    assert kinds["split"] > 300 and kinds["dropped"] > 50, kinds


def test_folds_equal_those_of_sets_and_dictionaries():
    kinds = Counter()
    for seed in range(200):
        folder = random_folder(seed)[0]
        folder = replace(folder, subsets=("",) * len(folder))
        assert assign_folds(folder, 3, seed).tolist() == frozen_split.assign_folds(folder, 3, seed).tolist()
        found = outcome(fold_splits, folder, 3, 0.2, seed)
        assert found == outcome(frozen_split.fold_splits, folder, 3, 0.2, seed), seed
        kinds["refused" if isinstance(found, str) else "split"] += 1
    assert kinds["split"] > 50, kinds
