import pytest

from tests.making import needs_permissions, touch
from tlkit.data.folder import read_folder
from tlkit.data.layout import find_layout
from tlkit.errors import DataError


def refused(root, **options):
    with pytest.raises(DataError) as caught:
        read_folder(root, **options)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def images(*folders, ends=("1.jpg",)):
    return [f"{folder}/{end}" for folder in folders for end in ends]


# subsets under other names


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("Train", "Val", "Test"),
        ("TRAIN", "VALID", "TEST"),
        ("Training", "Validation", "Testing"),
        ("training_set", "validation_set", "test_set"),
        ("train-images", "dev", "Test Images"),
        ("seg_train", "valid", "seg_test"),
        ("trainset", "valset", "testset"),
    ],
)
def test_subsets_are_known_in_any_case_and_by_their_synonyms(tmp_path, train, validation, test):
    folder = read_folder(
        touch(tmp_path, *images(*(f"{name}/{label}" for name in (train, validation, test) for label in "ab")))
    )
    assert folder.class_names == ("a", "b")
    subset = dict(zip(folder.paths, folder.subsets, strict=True))
    assert [subset[f"{name}/a/1.jpg"] for name in (train, validation, test)] == ["train", "validation", "test"]


def test_two_names_of_one_subset_are_refused(tmp_path):
    touch(tmp_path, *images("Train/a", "Train/b", "training/a", "training/b"))
    assert "which mean the same" in refused(tmp_path)


def test_a_class_of_a_run_is_no_subset(tmp_path):
    folder = read_folder(touch(tmp_path, *images("Train", "bus")), class_names=("Train", "bus"))
    assert set(folder.subsets) == {""}


# parts of a download are not classes


@pytest.mark.parametrize(
    "names",
    [
        ("train", "test1"),
        ("train", "images"),
        ("images_part_1", "images_part_2"),
        ("HAM10000_images_part_1", "HAM10000_images_part_2"),
        ("fold_1", "fold_2", "fold_3"),
        ("part1", "part2"),
        ("images_001", "images_002"),
        ("data_batch_1", "data_batch_2", "test_batch_1"),
        ("part_a", "part_b"),
        ("images", "labels"),
        ("JPEGImages", "Annotations"),
        ("images", "masks"),
        ("Original Dataset", "Augmented Dataset"),
    ],
)
def test_parts_of_a_data_set_are_no_classes(tmp_path, names):
    message = refused(touch(tmp_path, *images(*names)))
    assert "parts of a data set, not classes" in message
    assert f"'{names[0]}'" in message
    assert "rename them" in message


@pytest.mark.parametrize(
    "names",
    [
        ("train", "bus"),
        ("test", "control"),
        ("mask", "no_mask"),
        ("original", "fake"),
        ("party", "sample"),
        ("1", "2"),
        ("part number", "label"),
        ("fold", "tear"),
    ],
)
def test_names_of_which_one_could_be_a_class_are_classes(tmp_path, names):
    assert set(read_folder(touch(tmp_path, *images(*names))).class_names) == set(names)


def test_parts_with_a_table_beside_them_name_the_table(tmp_path):
    message = refused(touch(tmp_path, *images("part_1", "part_2"), "metadata.csv"))
    assert "if 'metadata.csv' says which image is which, give it as DATA" in message


def test_the_one_part_that_holds_classes_is_named(tmp_path):
    message = refused(touch(tmp_path, *images("train/a", "train/b", "test1")))
    assert f"give '{tmp_path / 'train'}', which holds class folders" in message


def test_parts_that_all_hold_classes_are_to_be_merged(tmp_path):
    assert "merge the class folders" in refused(touch(tmp_path, *images("part1/a", "part1/b", "part2/a", "part2/b")))


@pytest.mark.parametrize("beside", ["extras", "annotated by hand"])
def test_subsets_beside_something_else_are_refused(tmp_path, beside):
    touch(tmp_path, *images("train/a", "train/b", beside))
    assert f"'train' beside '{beside}'" in refused(tmp_path)
    touch(tmp_path, *images("val/a"))
    assert f"'train' and 'val' beside '{beside}'" in refused(tmp_path)


# wrappers


@pytest.mark.parametrize("wrapper", ["data_v2", "a/b", "archive/data/images", "dataset-main"])
def test_folders_around_the_classes_are_passed_through_with_a_note(tmp_path, wrapper):
    folder = read_folder(touch(tmp_path, *images(f"{wrapper}/cat", f"{wrapper}/dog"), "README.md"))
    assert folder.class_names == ("cat", "dog")
    assert folder.paths == (f"{wrapper}/cat/1.jpg", f"{wrapper}/dog/1.jpg")
    assert folder.notes == (f"the classes are the subfolders of '{wrapper}'.",)
    assert all(file.is_file() for file in folder.files)


def test_wrapped_subsets_are_found(tmp_path):
    folder = read_folder(touch(tmp_path, *images("d/train/a", "d/train/b", "d/val/a")))
    assert folder.subsets == ("train", "train", "validation")
    assert folder.notes == ("the classes are the subfolders of 'd/train' and 'd/val'.",)


def test_wrappers_below_subsets_are_passed_through(tmp_path):
    folder = read_folder(touch(tmp_path, *images("train/images/a", "train/images/b", "test/images/a")))
    assert folder.class_names == ("a", "b")
    assert dict(zip(folder.paths, folder.subsets, strict=True)) == {
        "test/images/a/1.jpg": "test",
        "train/images/a/1.jpg": "train",
        "train/images/b/1.jpg": "train",
    }


def test_a_single_class_of_a_held_out_subset_is_no_wrapper(tmp_path):
    folder = read_folder(touch(tmp_path, *images("train/a", "train/b", "val/a")))
    assert folder.notes == ()
    assert len(folder) == 3


def test_a_single_class_with_images_is_no_wrapper(tmp_path):
    assert "one subfolder ('cat')" in refused(touch(tmp_path, "cat/1.jpg", "cat/x/1.jpg", "cat/y/1.jpg"))


def test_a_single_class_of_a_run_is_no_wrapper(tmp_path):
    touch(tmp_path, *images("cat/x", "cat/y"))
    assert read_folder(tmp_path, class_names=("cat", "dog")).labels.tolist() == [0, 0]


def test_a_chain_without_an_end_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b").symlink_to(tmp_path)
    assert "one subfolder ('a')" in refused(tmp_path)


# folders in folders


@pytest.mark.parametrize(
    "paths",
    [
        ("a/abbey", "a/alley", "b/bar"),
        ("d/disc", "d/stripes", "s/square"),
        ("a-c/cat", "d-f/dog"),
        ("ca/cat", "do/dog"),
    ],
)
def test_an_index_of_letters_is_no_list_of_classes(tmp_path, paths):
    message = refused(touch(tmp_path, *images(*paths)))
    assert "one subfolder per letter" in message
    assert f"'{paths[0]}'" in message


def test_letters_below_subsets_are_refused(tmp_path):
    assert "one subfolder per letter" in refused(
        touch(tmp_path, *images("train/a/abbey", "train/b/bar", "val/a/abbey"))
    )


def test_letters_with_images_are_classes(tmp_path):
    assert read_folder(touch(tmp_path, *images("A", "B", "C"))).class_names == ("A", "B", "C")


def test_letters_with_the_same_folders_in_each_are_classes(tmp_path):
    folder = read_folder(touch(tmp_path, *images("A/user1", "A/user2", "B/user1")))
    assert folder.class_names == ("A", "B")
    assert folder.notes == ()


def test_classes_with_all_images_in_folders_below_are_noted(tmp_path):
    folder = read_folder(touch(tmp_path, *images("animals/cat", "animals/dog", "vehicles/car")))
    assert folder.class_names == ("animals", "vehicles")
    assert folder.notes == (
        "the images of 'animals' and 'vehicles' are in folders below, such as 'animals/cat'; "
        "these folders are not classes.",
    )


# links and permissions


def test_a_class_that_is_a_link_to_another_is_named_with_it(tmp_path):
    touch(tmp_path, *images("disc", "square"))
    (tmp_path / "round").symlink_to("disc")
    message = refused(tmp_path)
    assert "class 'round'" in message
    assert "is a link to 'disc', which is read already" in message


@needs_permissions
def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    touch(tmp_path, *images("a", "b"))
    tmp_path.chmod(0)
    try:
        with pytest.raises(DataError) as caught:
            find_layout(tmp_path)
    finally:
        tmp_path.chmod(0o700)
    assert "cannot be read" in str(caught.value)


def test_a_layout_says_where_each_file_belongs(tmp_path):
    layout = find_layout(touch(tmp_path, *images("d/train/a", "d/train/b", "d/val/a")))
    assert layout.parents == {"d/train": "train", "d/val": "validation"}
    assert layout.subset_and_class("d/val/a/x/1.jpg") == ("validation", "a")
    assert layout.subset_and_class("d/train/1.jpg") == ("train", "")
    assert layout.subset_and_class("1.jpg") == ("", "")
    assert layout.class_folders() == [("d/train", "a"), ("d/train", "b"), ("d/val", "a")]
    assert layout.training_classes() == {"a", "b"}


def test_system_folders_are_no_part_of_a_layout(tmp_path):
    names = ("@eaDir", "#recycle", "$RECYCLE.BIN", "__MACOSX", ".git", "System Volume Information")
    folder = read_folder(touch(tmp_path, *images("a", "b", *names, *(f"a/{name}" for name in names))))
    assert folder.paths == ("a/1.jpg", "b/1.jpg")
    assert len(folder.skipped) == 2 * len(names)


def test_images_and_labels_of_a_detection_data_set_are_no_classes_and_hold_none(tmp_path):
    for name in ("images/train/1.jpg", "images/val/2.jpg", "labels/train/1.txt", "labels/val/2.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(
        DataError, match="'images' and 'labels', which look like parts .* sort the images into one folder"
    ):
        find_layout(tmp_path)
