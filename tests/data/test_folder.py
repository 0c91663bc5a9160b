import os
import sys
import unicodedata
from collections import Counter

import numpy as np
import pytest

from tests.making import appearance, touch
from tlkit.data.folder import read_folder
from tlkit.data.listing import HIDDEN, FileEntry, count_reasons
from tlkit.errors import DataError

needs_fifo = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this platform has no named pipes")
needs_byte_names = pytest.mark.skipif(sys.platform != "linux", reason="file names are no free bytes here")


def reasons(folder):
    return {found.path: found.reason for found in folder.skipped}


def refused(root, **options):
    with pytest.raises(DataError) as caught:
        read_folder(root, **options)
    return str(caught.value)


def test_each_subfolder_is_a_class(tmp_path):
    folder = read_folder(touch(tmp_path, "cat/1.jpg", "dog/1.jpg", "dog/2.jpg"))
    assert folder.class_names == ("cat", "dog")
    assert folder.paths == ("cat/1.jpg", "dog/1.jpg", "dog/2.jpg")
    assert folder.labels.tolist() == [0, 1, 1]
    assert folder.labels.dtype == np.int32
    assert folder.subsets == ("", "", "")
    assert set(folder.subsets) == {""}


def test_a_folder_counts_its_images_by_class(tmp_path):
    folder = read_folder(touch(tmp_path, "cat/1.jpg", "dog/1.jpg", "dog/2.jpg"))
    assert len(folder) == 3
    assert folder.num_classes == 2
    assert folder.class_counts == [1, 2]


def test_files_lie_below_the_root(tmp_path):
    folder = read_folder(touch(tmp_path, "cat/1.jpg", "dog/1.jpg"))
    assert folder.files == [tmp_path / "cat/1.jpg", tmp_path / "dog/1.jpg"]


def test_a_root_may_be_given_as_text(tmp_path):
    touch(tmp_path, "cat/1.jpg", "dog/1.jpg")
    assert read_folder(str(tmp_path)).root == tmp_path


def test_classes_and_paths_are_sorted_naturally(tmp_path):
    folder = read_folder(touch(tmp_path, "10/x10.png", "10/x9.png", "9/a", "1/a", "other/a"))
    assert folder.class_names == ("1", "9", "10", "other")
    assert folder.paths == ("1/a", "9/a", "10/x9.png", "10/x10.png", "other/a")


def test_reading_twice_gives_the_same(tmp_path):
    touch(tmp_path, *(f"c{label}/{number}" for label in range(12) for number in range(12)))
    first, second = read_folder(tmp_path), read_folder(tmp_path)
    assert first.paths == second.paths
    assert first.labels.tolist() == second.labels.tolist()


def test_nested_folders_belong_to_their_class(tmp_path):
    folder = read_folder(touch(tmp_path, "cat/a/b/1.jpg", "cat/2.jpg", "dog/cat/1.jpg"))
    assert dict(zip(folder.paths, folder.labels.tolist(), strict=True)) == {
        "cat/2.jpg": 0,
        "cat/a/b/1.jpg": 0,
        "dog/cat/1.jpg": 1,
    }


def test_only_names_are_read_whatever_the_extension(tmp_path):
    folder = read_folder(touch(tmp_path, "a/photo", "a/notes.txt", "b/UPPER.JPG", "b/x.tar.gz"))
    assert len(folder) == 4


def test_ten_thousand_names_are_indexed(tmp_path):
    touch(tmp_path, "a/x", "b/x")
    for number in range(5_000):
        (tmp_path / "a" / f"{number}").touch()
        (tmp_path / "b" / f"{number}").touch()
    assert read_folder(tmp_path).class_counts == [5_001, 5_001]


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_train_and_validation_folders_give_the_sides(tmp_path, name):
    folder = read_folder(touch(tmp_path, "train/a/1", "train/b/1", f"{name}/a/2", f"{name}/b/2"))
    assert folder.class_names == ("a", "b")
    assert dict(zip(folder.paths, folder.subsets, strict=True)) == {
        "train/a/1": "train",
        "train/b/1": "train",
        f"{name}/a/2": "validation",
        f"{name}/b/2": "validation",
    }
    assert set(folder.subsets) != {""}


@pytest.mark.parametrize(
    "names", [("train",), ("train", "test"), ("train", "val", "test"), ("train", "validation", "test")]
)
def test_each_set_of_side_folders_is_read(tmp_path, names):
    folder = read_folder(touch(tmp_path, *(f"{name}/{label}/1" for name in names for label in "ab")))
    assert Counter(folder.subsets) == {{"val": "validation"}.get(name, name): 2 for name in names}
    assert folder.class_names == ("a", "b")


def test_a_class_may_be_missing_on_a_held_out_side(tmp_path):
    folder = read_folder(touch(tmp_path, "train/a/1", "train/b/1", "val/a/2"))
    assert folder.subset([2]).class_counts == [1, 0]


@pytest.mark.parametrize(("one", "other"), [("val", "valid"), ("val", "validation"), ("valid", "validation")])
def test_two_validation_folders_are_refused(tmp_path, one, other):
    touch(tmp_path, *(f"{name}/{label}/1" for name in ("train", one, other) for label in "ab"))
    assert f"{one} and {other}, which mean the same" in refused(tmp_path)


def test_a_class_that_only_validation_has_is_refused_by_name(tmp_path):
    message = refused(touch(tmp_path, "train/a/1", "train/b/1", "val/a/1", "val/wolf/1"))
    assert "unknown class 'wolf'" in message
    assert "a, b" in message


@pytest.mark.parametrize("names", [("test",), ("val",), ("val", "test"), ("valid", "validation")])
def test_sides_without_a_train_folder_are_refused(tmp_path, names):
    touch(tmp_path, *(f"{name}/{label}/1" for name in names for label in "ab"))
    assert "no 'train' folder" in refused(tmp_path)


def test_a_class_may_be_called_train_beside_others(tmp_path):
    folder = read_folder(touch(tmp_path, "train/1", "bus/1"))
    assert folder.class_names == ("bus", "train")
    assert set(folder.subsets) == {""}


def test_a_train_folder_without_classes_is_refused(tmp_path):
    assert "its 'train' folder has no subfolder" in refused(touch(tmp_path, "train/1.jpg", "val/1.jpg"))


def test_images_of_no_class_are_listed_apart(tmp_path):
    folder = read_folder(touch(tmp_path, "a/1", "b/1", "_unknown/1", "_unknown/deep/2"))
    assert folder.class_names == ("a", "b")
    assert folder.unknown == ("_unknown/1", "_unknown/deep/2")
    assert folder.skipped == ()


@pytest.mark.parametrize("path", ["train/_unknown/1", "val/_unknown/1", "_unknown/1"])
def test_images_of_no_class_are_found_beside_and_below_subsets(tmp_path, path):
    folder = read_folder(touch(tmp_path, "train/a/1", "train/b/1", "val/a/1", "val/b/1", path))
    assert len(folder) == 4
    assert folder.unknown == (path,)


def test_the_folder_of_images_of_no_class_does_not_count_as_a_class(tmp_path):
    assert "one subfolder ('a')" in refused(touch(tmp_path, "a/1", "_unknown/1"))


def test_the_reserved_name_deeper_inside_a_class_means_nothing(tmp_path):
    assert len(read_folder(touch(tmp_path, "a/_unknown/1", "b/1"))) == 2


def test_files_in_the_root_are_left_out_with_a_reason(tmp_path):
    folder = read_folder(touch(tmp_path, "a/1", "b/1", "README.md", "x.jpg"))
    assert reasons(folder) == dict.fromkeys(("README.md", "x.jpg"), "not inside a class folder")


@pytest.mark.parametrize("path", ["train/x.jpg", "val/x.jpg", "x.jpg"])
def test_files_beside_class_folders_are_left_out_with_a_reason(tmp_path, path):
    folder = read_folder(touch(tmp_path, "train/a/1", "train/b/1", "val/a/1", "val/b/1", path))
    assert reasons(folder) == {path: "not inside a class folder"}


@pytest.mark.parametrize("path", ["a/.hidden.jpg", "a/._1.jpg", "a/Thumbs.db", "b/desktop.ini", ".DS_Store"])
def test_hidden_and_system_files_are_left_out(tmp_path, path):
    folder = read_folder(touch(tmp_path, "a/1", "b/1", path))
    assert folder.paths == ("a/1", "b/1")
    assert reasons(folder) == {path: HIDDEN}


@pytest.mark.parametrize("name", [".git", "__MACOSX", ".ipynb_checkpoints"])
def test_a_hidden_or_system_folder_is_no_class(tmp_path, name):
    folder = read_folder(touch(tmp_path, "a/1", "b/1", f"{name}/1"))
    assert folder.class_names == ("a", "b")
    assert reasons(folder) == {name: HIDDEN}


def test_a_system_folder_beside_sides_is_left_out_with_a_reason(tmp_path):
    folder = read_folder(touch(tmp_path, "train/a/1", "train/b/1", "__MACOSX/1"))
    assert reasons(folder) == {"__MACOSX": HIDDEN}


@needs_fifo
def test_a_pipe_inside_a_class_is_left_out(tmp_path):
    touch(tmp_path, "a/1", "b/1")
    os.mkfifo(tmp_path / "a/pipe.jpg")
    folder = read_folder(tmp_path)
    assert folder.paths == ("a/1", "b/1")
    assert "pipe" in reasons(folder)["a/pipe.jpg"]


@needs_fifo
def test_a_class_of_nothing_but_a_pipe_is_empty(tmp_path):
    touch(tmp_path, "a/1", "b/.x")
    os.mkfifo(tmp_path / "b/pipe.jpg")
    assert "no files of class 'b'" in refused(tmp_path)


def test_a_dangling_link_is_left_out(tmp_path):
    touch(tmp_path, "a/1", "b/1")
    (tmp_path / "b/2").symlink_to("nowhere")
    assert reasons(read_folder(tmp_path)) == {"b/2": "broken link"}


def test_a_link_back_to_the_root_is_not_followed(tmp_path):
    touch(tmp_path, "a/1", "b/1")
    (tmp_path / "a/loop").symlink_to("..")
    folder = read_folder(tmp_path)
    assert folder.paths == ("a/1", "b/1")
    assert reasons(folder) == {"a/loop": "link to a folder that is read already"}


def test_a_link_from_a_side_back_to_the_root_is_not_followed(tmp_path):
    touch(tmp_path, "train/a/1", "train/b/1", "val/a/2", "val/b/2")
    (tmp_path / "train/a/loop").symlink_to("../..")
    assert len(read_folder(tmp_path)) == 4


def test_a_link_to_the_folder_above_the_root_is_not_followed(tmp_path):
    touch(tmp_path, "stranger.jpg", "data/a/1", "data/b/1")
    (tmp_path / "data/a/loop").symlink_to("../..")
    assert read_folder(tmp_path / "data").paths == ("a/1", "b/1")


def test_a_class_folder_may_be_a_link(tmp_path):
    touch(tmp_path, "store/1", "data/a/1")
    (tmp_path / "data/b").symlink_to("../store")
    assert read_folder(tmp_path / "data").paths == ("a/1", "b/1")


def test_one_class_name_in_two_unicode_forms_is_one_class(tmp_path):
    composed, apart = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    folder = read_folder(touch(tmp_path, f"train/{composed}/1", "train/tea/1", f"val/{apart}/2", "val/tea/2"))
    assert folder.class_names == (composed, "tea")
    assert folder.class_counts == [2, 2]
    assert all(path.is_file() for path in folder.files)


def test_class_names_of_a_run_match_folders_in_the_other_unicode_form(tmp_path):
    composed, apart = (unicodedata.normalize(form, "Ähre") for form in ("NFC", "NFD"))
    touch(tmp_path, f"{apart}/1")
    assert read_folder(tmp_path, class_names=("weed", composed)).labels.tolist() == [1]


@needs_byte_names
def test_file_and_class_names_that_are_not_utf8_are_kept(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    folder = read_folder(touch(tmp_path, f"{name}/{name}.png", "tea/1"))
    assert folder.class_names == (name, "tea")
    assert folder.files[0].is_file()


@pytest.mark.parametrize("name", ["-rf", "a\nb", "two words", "花", "'quoted'", "a,b", "100%", "{x}", "0"])
def test_a_strange_class_name_is_kept_as_it_is(tmp_path, name):
    folder = read_folder(touch(tmp_path, f"{name}/1", "zzz/1"))
    assert set(folder.class_names) == {name, "zzz"}


def test_a_missing_root_is_refused_by_name(tmp_path):
    assert f"'{tmp_path / 'nowhere'}' does not exist" in refused(tmp_path / "nowhere")


def test_a_root_that_is_a_file_is_refused_by_name(tmp_path):
    touch(tmp_path, "photo.jpg")
    assert "photo.jpg' is a file" in refused(tmp_path / "photo.jpg")


def test_an_empty_root_is_refused(tmp_path):
    assert "no subfolder" in refused(tmp_path)


def test_a_root_of_loose_images_is_refused(tmp_path):
    assert "no subfolder" in refused(touch(tmp_path, "1.jpg", "2.jpg"))


def test_a_single_class_is_refused_by_name(tmp_path):
    message = refused(touch(tmp_path, "cat/1.jpg"))
    assert "one subfolder ('cat')" in message
    assert "two or more subfolders" in message


@pytest.mark.parametrize("inside", [(), ("dog/.hidden",), ("dog/deep/.hidden",)])
def test_a_class_folder_without_images_is_refused_by_name(tmp_path, inside):
    touch(tmp_path, "cat/1.jpg", "cow/1.jpg", *inside)
    (tmp_path / "dog").mkdir(exist_ok=True)
    assert "no files of class 'dog'" in refused(tmp_path)


def test_a_refusal_is_one_sentence_with_exit_code_3(tmp_path):
    with pytest.raises(DataError) as caught:
        read_folder(tmp_path)
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_classes_of_a_run_keep_their_label_order(tmp_path):
    folder = read_folder(touch(tmp_path, "a/1", "b/1", "c/1"), class_names=("c", "a", "b"))
    assert folder.class_names == ("c", "a", "b")
    assert folder.labels.tolist() == [1, 2, 0]


def test_fewer_classes_than_a_run_has_are_enough(tmp_path):
    folder = read_folder(touch(tmp_path, "b/1"), class_names=("a", "b", "c"))
    assert folder.labels.tolist() == [1]
    assert folder.class_counts == [0, 1, 0]


def test_a_class_that_a_run_does_not_have_is_refused(tmp_path):
    message = refused(touch(tmp_path, "a/1", "wolf/1"), class_names=("a", "b"))
    assert "unknown class 'wolf'" in message


def test_a_run_can_be_evaluated_on_a_test_folder_alone(tmp_path):
    folder = read_folder(touch(tmp_path, "test/a/1", "test/b/1"), class_names=("a", "b"))
    assert folder.subsets == ("test", "test")


def test_a_run_with_a_class_called_test_reads_it_as_a_class(tmp_path):
    folder = read_folder(touch(tmp_path, "test/1"), class_names=("other", "test"))
    assert folder.labels.tolist() == [1]
    assert folder.subsets == ("",)


def test_a_message_names_ten_of_many_classes(tmp_path):
    touch(tmp_path, "wolf/1")
    message = refused(tmp_path, class_names=tuple(f"c{number}" for number in range(14)))
    assert "c0, c1, c2, c3, c4, c5, c6, c7, c8, c9 and 4 more" in message


def test_picked_images_keep_their_order_and_the_classes(tmp_path):
    folder = read_folder(touch(tmp_path, "a/1", "b/1", "b/2"))
    folder = folder.with_contents(("s0", "s1", "s2"), ("g0", "g1", "g2"), [appearance(number) for number in range(3)])
    picked = folder.subset(np.array([2, 0]))
    assert picked.paths == ("b/2", "a/1")
    assert picked.labels.tolist() == [1, 0]
    assert picked.sha256 == ("s2", "s0")
    assert picked.groups == ("g2", "g0")
    assert picked.class_names == ("a", "b")


def test_picking_nothing_gives_an_empty_folder_of_the_same_classes(tmp_path):
    picked = read_folder(touch(tmp_path, "a/1", "b/1")).subset([])
    assert len(picked) == 0
    assert picked.class_counts == [0, 0]


def test_files_left_out_later_are_added(tmp_path):
    folder = read_folder(touch(tmp_path, "a/1", "b/1", "x")).with_skipped([FileEntry("a/2", "empty")])
    assert [found.path for found in folder.skipped] == ["x", "a/2"]


def test_reasons_are_counted_the_commonest_first():
    left_out = [FileEntry("1", "rare"), FileEntry("2", "common"), FileEntry("3", "common")]
    assert list(count_reasons(left_out).items()) == [("common", 2), ("rare", 1)]


def test_the_colored_squares_are_three_classes_of_twelve(colors):
    folder = read_folder(colors)
    assert folder.class_names == ("blue", "green", "red")
    assert folder.class_counts == [12, 12, 12]


def test_real_folders_with_sides_are_read(shared_data):
    folder = read_folder(shared_data / "images/hymenoptera")
    assert folder.class_names == ("ants", "bees")
    assert Counter(folder.subsets) == {"train": 245, "validation": 153}


def test_a_real_folder_of_classes_is_read(shared_data):
    folder = read_folder(shared_data / "images/trashnet")
    assert folder.num_classes == 6
    assert sum(folder.class_counts) == 2_527
    assert (min(folder.class_counts), max(folder.class_counts)) == (137, 594)


# names that look alike


def test_class_names_that_look_alike_are_named_in_one_note(tmp_path):
    folder = read_folder(touch(tmp_path, "Dog/1.jpg", "dog/1.jpg", "dog /1.jpg", "cat/1.jpg"))
    assert folder.class_names == ("cat", "Dog", "dog", "dog ")
    assert folder.notes == (
        "the class names 'Dog', 'dog' and 'dog ' look alike, but are different classes; "
        "merge their folders if they mean the same.",
    )
    assert read_folder(tmp_path, folder.class_names).notes == ()


def test_folders_of_one_name_in_two_spellings_are_one_class_with_a_note(tmp_path):
    folder = read_folder(touch(tmp_path, "caf\u00e9/1.jpg", "cafe\u0301/2.jpg", "bar/1.jpg"))
    if len(list(tmp_path.iterdir())) == 3:  # macOS makes one folder of both
        assert folder.class_counts == [1, 2]
        [note] = folder.notes
        assert "'caf\\xe9' and 'cafe\\u0301'" in note
        assert "they are one class" in note


def test_a_class_of_validation_that_is_spelled_otherwise_is_refused_with_the_right_name(tmp_path):
    touch(tmp_path, "train/disc/1.jpg", "train/square/1.jpg", "val/Disc/1.jpg", "val/square/1.jpg")
    assert "unknown class 'Disc'; expected only disc, square; rename it to 'disc'." in refused(tmp_path)


def test_images_outside_of_folders_are_counted_where_there_is_no_class(tmp_path):
    assert "it has no subfolder, but 2 files; expected" in refused(touch(tmp_path, "cat.1.jpg", "dog.2.jpg"))


def test_a_folder_of_held_out_images_that_holds_none_is_noted(tmp_path):
    touch(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "test/1.jpg", "val/notes.txt")
    folder = read_folder(tmp_path)
    assert sorted(folder.notes) == [
        "'test' has no images of its own in class folders; there are no test images.",
        "'val' has no images of its own in class folders; validation images are taken from the training images.",
    ]
    assert len(folder) == 2


def test_held_out_classes_that_are_links_to_those_of_training_hold_no_images(tmp_path):
    touch(tmp_path, "train/a/1.jpg", "train/b/1.jpg")
    (tmp_path / "val").mkdir()
    for name in "ab":
        (tmp_path / "val" / name).symlink_to(tmp_path / "train" / name, target_is_directory=True)
    folder = read_folder(tmp_path)
    assert folder.paths == ("train/a/1.jpg", "train/b/1.jpg")
    assert "'val' has no images of its own" in folder.notes[0]


def test_a_subset_without_a_readable_image_is_noted(tmp_path):
    folder = read_folder(touch(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg", "val/b/1.jpg"))
    assert folder.readable([0, 1, 2]).notes == ()
    assert folder.readable([0, 1]).notes == (
        f"no validation image of '{tmp_path}' can be read; validation images are taken from the training images.",
    )
