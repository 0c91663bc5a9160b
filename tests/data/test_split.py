from pathlib import Path

import numpy as np
import pytest

from tlkit.data.folder import ImageFolder
from tlkit.data.listing import FileEntry
from tlkit.data.split import SUBSETS, hash_to_unit, label_conflicts, split_folder
from tlkit.errors import DataError


def folder_of(images, sides=None, names="abcdefghijkl"):
    """A read folder from (class, group) of each image; one letter is one class."""
    classes = tuple(sorted({name for name, _ in images} | set(names[:2])))
    return ImageFolder(
        root=Path("nowhere"),
        class_names=classes,
        paths=tuple(f"{name}/{number}.png" for number, (name, _) in enumerate(images)),
        labels=np.array([classes.index(name) for name, _ in images], np.int32),
        sides=tuple(sides or [""] * len(images)),
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


def side_of_group(split):
    return {group: side for side, part in split.parts.items() for group in part.groups}


def side_of_path(split):
    return {path: side for side, part in split.parts.items() for path in part.paths}


COUNTS = [(2, 2), (3, 2, 9), (50, 5, 500), (2,) * 12, (1, 2), (1, 1, 1, 40)]


# nothing is lost, nothing leaks


@pytest.mark.parametrize("counts", COUNTS)
@pytest.mark.parametrize("test_split", [0, 0.2])
@pytest.mark.parametrize("seed", range(3))
def test_every_image_is_on_exactly_one_side(counts, test_split, seed):
    folder = folder_of(classes_of(*counts))
    split = split_folder(folder, test_split=test_split, seed=seed)
    assert sorted(path for part in split.parts.values() for path in part.paths) == sorted(folder.paths)


@pytest.mark.parametrize("seed", range(5))
def test_equal_images_are_on_one_side(seed):
    random = np.random.default_rng(seed)
    images = [("ab"[random.integers(2)], f"g{random.integers(60)}") for _ in range(200)]
    split = split_folder(folder_of(images), 0.3, 0.2, seed)
    groups = [set(part.groups) for part in split.parts.values()]
    assert sum(map(len, groups)) == len(set.union(*groups))
    assert sum(map(len, split.parts.values())) == 200


def test_each_side_keeps_the_labels_and_hashes_of_its_images():
    folder = folder_of(classes_of(30, 20, 10))
    known = dict(zip(folder.paths, zip(folder.labels.tolist(), folder.sha256, strict=True), strict=True))
    for part in split_folder(folder, test_split=0.2).parts.values():
        assert [known[path] for path in part.paths] == list(zip(part.labels.tolist(), part.sha256, strict=True))


def test_each_side_keeps_the_order_and_the_classes_of_the_folder():
    folder = folder_of(classes_of(30, 20, 10))
    order = {path: number for number, path in enumerate(folder.paths)}
    for part in split_folder(folder, test_split=0.2).parts.values():
        assert part.class_names == folder.class_names
        assert [order[path] for path in part.paths] == sorted(order[path] for path in part.paths)


# every class on each side


@pytest.mark.parametrize("counts", [(2, 2), (2, 3, 4), (2,) * 12, (100, 2)])
@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.99])
@pytest.mark.parametrize("seed", range(4))
def test_two_images_of_a_class_are_enough_for_training_and_validation(counts, share, seed):
    split = split_folder(folder_of(classes_of(*counts)), share, seed=seed)
    assert min(split.train.counts) >= 1
    assert min(split.validation.counts) >= 1
    assert split.notes == ()


@pytest.mark.parametrize("counts", [(3, 3), (3, 4, 5), (3,) * 12])
@pytest.mark.parametrize("shares", [(0.2, 0.2), (0.01, 0.01), (0.45, 0.5), (0.9, 0.05)])
@pytest.mark.parametrize("seed", range(4))
def test_three_images_of_a_class_are_enough_for_three_sides(counts, shares, seed):
    split = split_folder(folder_of(classes_of(*counts)), *shares, seed=seed)
    assert all(min(part.counts) >= 1 for part in split.parts.values())
    assert split.notes == ()


@pytest.mark.parametrize("seed", range(4))
def test_two_images_of_a_class_go_to_training_and_validation_before_test(seed):
    split = split_folder(folder_of(classes_of(2, 50)), 0.2, 0.2, seed)
    assert (split.train.counts[0], split.validation.counts[0], split.test.counts[0]) == (1, 1, 0)
    assert split.notes == ("no test image for: a.",)


@pytest.mark.parametrize("seed", range(10))
def test_a_class_of_one_image_trains_with_a_note(seed):
    split = split_folder(folder_of(classes_of(1, 20)), 0.5, seed=seed)
    assert split.train.counts[0] == 1
    assert split.notes == ("no validation image for: a.",)


def test_copies_of_one_image_count_as_one():
    split = split_folder(folder_of([("a", "same")] * 9 + classes_of(0, 20)), 0.5)
    assert split.train.counts[0] == 9


@pytest.mark.parametrize("seed", range(20))
def test_an_image_that_two_classes_share_costs_neither_its_training_image(seed):
    split = split_folder(folder_of([("a", "shared"), ("b", "shared"), ("b", "own")]), 0.5, seed=seed)
    assert min(split.train.counts) >= 1
    assert split.validation.counts == [0, 1]


# where a group goes


def test_a_place_is_a_number_from_0_to_1():
    places = [hash_to_unit(f"g{number}", 0) for number in range(2000)]
    assert 0 <= min(places) < 0.01
    assert 0.99 < max(places) < 1
    assert abs(np.mean(places) - 0.5) < 0.03
    assert len(set(places)) == 2000


def test_a_place_is_the_same_in_every_version():
    assert hash_to_unit("abc", 0) == pytest.approx(0.778781576860)  # sha256 of "0 abc", its first 48 bits
    assert hash_to_unit("abc", 1) == pytest.approx(0.117888974135)


@pytest.mark.parametrize("shares", [(0.2, 0.0), (0.1, 0.3), (0.5, 0.25)])
def test_many_groups_meet_the_expected_fractions(shares):
    split = split_folder(folder_of(classes_of(4000, 1000)), *shares)
    assert len(split.validation) / 5000 == pytest.approx(shares[0], abs=0.02)
    assert len(split.test) / 5000 == pytest.approx(shares[1], abs=0.02)
    assert split.validation.counts[1] / 1000 == pytest.approx(shares[0], abs=0.05)


def test_ten_thousand_groups_in_many_classes_are_dealt():
    images = [("abcdefghijkl"[number % 12], f"g{number}") for number in range(10_000)]
    assert sum(map(len, split_folder(folder_of(images)).parts.values())) == 10_000


def test_the_same_seed_deals_the_same():
    folder = folder_of(classes_of(50, 50))
    assert side_of_path(split_folder(folder, seed=3)) == side_of_path(split_folder(folder, seed=3))


def test_another_seed_deals_otherwise():
    folder = folder_of(classes_of(50, 50))
    dealt = [side_of_path(split_folder(folder, seed=seed)) for seed in range(5)]
    assert all(one != other for one in dealt for other in dealt if one is not other)


def test_the_order_of_the_images_does_not_matter():
    images = classes_of(5, 2, 30)
    forth, back = (split_folder(folder_of(rows), test_split=0.2) for rows in (images, images[::-1]))
    assert side_of_group(forth) == side_of_group(back)


def test_names_do_not_matter():
    folder = folder_of(classes_of(20, 20))
    renamed = ImageFolder(**{**vars(folder), "paths": tuple(f"new{number}" for number in range(40))})
    assert side_of_group(split_folder(renamed)) == side_of_group(split_folder(folder))


@pytest.mark.parametrize("seed", range(10))
def test_another_image_moves_no_other(seed):
    images = classes_of(60, 60, 60)
    before = side_of_group(split_folder(folder_of(images), seed=seed))
    after = side_of_group(split_folder(folder_of([*images, ("b", "new")]), seed=seed))
    assert before.items() <= after.items()


def test_an_image_less_moves_no_other():
    images = classes_of(60, 60, 60)
    before = side_of_group(split_folder(folder_of(images)))
    after = side_of_group(split_folder(folder_of(images[7:])))
    assert after.items() <= before.items()


def test_a_new_class_moves_no_image_of_the_others():
    before = side_of_group(split_folder(folder_of(classes_of(3, 2, 9))))
    after = side_of_group(split_folder(folder_of(classes_of(3, 2, 9, 4))))
    assert before.items() <= after.items()


@pytest.mark.parametrize("seed", range(20))
def test_in_a_tiny_class_another_image_moves_one_other_at_most(seed):
    images = classes_of(30, 3)
    before = side_of_group(split_folder(folder_of(images), seed=seed))
    after = side_of_group(split_folder(folder_of([*images, ("b", "new")]), seed=seed))
    moved = [group for group, side in before.items() if after[group] != side]
    assert len(moved) <= 1
    assert all(group.startswith("b") for group in moved)


def test_a_test_side_takes_no_validation_image():
    folder = folder_of(classes_of(60, 60))
    without, with_test = split_folder(folder), split_folder(folder, test_split=0.3)
    assert with_test.validation.paths == without.validation.paths
    assert set(with_test.train.paths) | set(with_test.test.paths) == set(without.train.paths)


def test_a_larger_share_keeps_the_images_of_a_smaller_one():
    folder = folder_of(classes_of(100, 100))
    assert set(split_folder(folder, 0.1).validation.paths) < set(split_folder(folder, 0.3).validation.paths)


# equal images under different labels


def test_equal_images_under_different_labels_are_found():
    folder = folder_of([("a", "x"), ("b", "x"), ("b", "y"), ("b", "y"), ("a", "z"), ("b", "x")])
    assert label_conflicts(folder) == [("a/0.png", "b/1.png", "b/5.png")]


def test_equal_images_under_different_labels_are_reported_with_their_paths():
    folder = folder_of([*classes_of(20, 20), ("a", "x"), ("b", "x")])
    assert split_folder(folder).notes == (
        "1 identical images stand under different labels, such as a/40.png = b/41.png.",
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


@pytest.mark.parametrize("seed", range(3))
def test_given_sides_win(seed):
    folder = given(train=40, validation=10, test=6)
    split = split_folder(folder, 0.5, 0.3, seed)
    assert side_of_path(split) == dict(zip(folder.paths, folder.sides, strict=True))
    assert split.notes == ()


def test_given_validation_leaves_the_test_side_to_the_hash():
    folder = given(train=400, validation=10)
    split = split_folder(folder, 0.5, 0.25)
    assert split.validation.sides == ("validation",) * 10
    assert len(split.test) / 400 == pytest.approx(0.25, abs=0.06)
    assert set(split.train.sides) == {"train"}


def test_a_given_test_side_leaves_validation_to_the_hash():
    split = split_folder(given(train=400, validation=0, test=10), 0.25, 0.5)
    assert split.test.sides == ("test",) * 10
    assert len(split.validation) / 400 == pytest.approx(0.25, abs=0.06)


def test_a_train_folder_alone_is_dealt_like_a_plain_folder():
    folder = given(train=40, validation=0)
    plain = folder_of(list(zip(["a", "b"] * 20, folder.groups, strict=True)))
    assert side_of_path(split_folder(folder)) == side_of_path(split_folder(plain))


def test_training_copies_of_held_out_images_are_dropped_and_reported():
    folder = given(extra=[("a", "validation0", "train"), ("b", "validation1", "train")])
    split = split_folder(folder)
    assert len(split.validation) == 10
    assert len(split.train) == 40
    assert [(found.path, found.problem) for found in split.train.left_out] == [
        ("a/50.png", "copy of a/40.png"),
        ("b/51.png", "copy of b/41.png"),
    ]
    assert split.notes == ("2 copies of held-out images were left out, such as a/50.png.",)


def test_validation_copies_of_test_images_are_dropped():
    split = split_folder(given(test=4, extra=[("a", "test0", "validation"), ("a", "test0", "train")]))
    assert (len(split.train), len(split.validation), len(split.test)) == (40, 10, 4)
    assert len(split.train.left_out) == 2


def test_copies_inside_a_given_side_stay():
    split = split_folder(given(extra=[("a", "validation0", "validation")]))
    assert len(split.validation) == 11


def test_a_copy_under_another_label_is_dropped_and_is_a_conflict():
    split = split_folder(given(extra=[("b", "validation0", "train")]))
    assert len(split.train) == 40
    assert len(split.notes) == 2
    assert "1 identical images stand under different labels" in split.notes[1]


def test_only_the_copies_dropped_here_are_on_the_list():
    folder = given(extra=[("a", "validation0", "train")]).leave_out([FileEntry("x.jpg", "is empty")])
    assert [found.path for found in split_folder(folder).train.left_out] == ["a/50.png"]


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
    with pytest.raises(DataError, match="no image is left to validate on"):
        split_folder(folder_of(classes_of(1, 1)))


def test_parts_are_named_as_the_sides_are():
    assert tuple(split_folder(folder_of(classes_of(4, 4))).parts) == SUBSETS == ("train", "validation", "test")
