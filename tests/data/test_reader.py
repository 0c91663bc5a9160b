"""One reader for folders, tables, labels in names and metadata of imagefolders; groups."""

import pytest

from tests.making import touch
from tlkit.data.reader import DataOptions, read_data
from tlkit.errors import DataError, OptionError


def refused(error, data, **options):
    with pytest.raises(error) as caught:
        read_data(data, DataOptions(**options))
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
    return str(caught.value)


def described(folder):
    names = [folder.class_names[label] for label in folder.labels]
    return list(zip(folder.paths, names, folder.subsets, strict=True))


def test_a_folder_of_classes_is_read_as_ever(tmp_path):
    folder = read_data(touch(tmp_path, "a/1.jpg", "b/2.jpg"))
    assert described(folder) == [("a/1.jpg", "a", ""), ("b/2.jpg", "b", "")]
    assert folder.related == ()


def test_a_table_becomes_a_folder_sorted_by_path(tmp_path):
    touch(tmp_path, "img/10.jpg", "img/9.jpg", "img/1.jpg")
    (tmp_path / "t.csv").write_text("file,label,who\n10.jpg,cat,x\n9.jpg,dog,y\n1.jpg,cat,x\n")
    options = DataOptions(images=str(tmp_path / "img"), group_column="who")
    folder = read_data(tmp_path / "t.csv", options)
    assert described(folder) == [("1.jpg", "cat", ""), ("9.jpg", "dog", ""), ("10.jpg", "cat", "")]
    assert folder.related == ("x", "y", "x")
    assert folder.root == tmp_path / "img"
    with pytest.raises(DataError, match="unknown class 'dog'; expected only 'cat' and 'cow'"):
        read_data(tmp_path / "t.csv", options, ("cat", "cow"))


def test_labels_in_names_and_subsets_in_folders(tmp_path):
    touch(tmp_path, "train/cat.1.jpg", "train/dog.2.jpg", "test1/3.jpg", "val/dog.4.jpg", "train/.hidden.jpg")
    folder = read_data(tmp_path, DataOptions(label_regex=r"(\w+)\.\d+\.jpg"))
    assert described(folder) == [
        ("train/cat.1.jpg", "cat", "train"),
        ("train/dog.2.jpg", "dog", "train"),
        ("val/dog.4.jpg", "dog", "validation"),
    ]
    reasons = {entry.path: entry.reason for entry in folder.skipped}
    assert reasons["test1/3.jpg"] == "no label by --label-regex"
    named = read_data(tmp_path, DataOptions(label_regex=r"(train|val)/(?P<label>cat|dog)"))
    assert named.class_names == ("cat", "dog")
    assert "finds a label in no file" in refused(DataError, tmp_path, label_regex="zebra(x)")


def test_metadata_of_an_imagefolder(tmp_path):
    touch(tmp_path, "train/1.png", "train/2.png", "test/3.png", "test/4.png")
    (tmp_path / "train" / "metadata.csv").write_text("file_name,label\n1.png,a\n2.png,b\n")
    (tmp_path / "test" / "metadata.jsonl").write_text(
        '{"file_name": "3.png", "label": "b"}\n{"file_name": "5.png", "label": "a"}\n'
    )
    folder = read_data(tmp_path)
    assert described(folder) == [
        ("test/3.png", "b", "test"),
        ("train/1.png", "a", "train"),
        ("train/2.png", "b", "train"),
    ]
    assert [(entry.path, entry.reason) for entry in folder.skipped] == [("test/5.png", "no such file")]


def test_metadata_that_names_no_files_is_left_alone(tmp_path):
    touch(tmp_path, "a/1.png", "b/2.png")
    for content in (b"camera,date\nx,y\n", b"\xff\xfe", b"", b"file_name,file_name\n"):
        (tmp_path / "metadata.csv").write_bytes(content)
        assert read_data(tmp_path).class_names == ("a", "b")


def test_groups_by_paths(tmp_path):
    data = touch(tmp_path, "a/p1_1.jpg", "a/p1_2.jpg", "b/p2_1.jpg", "b/x.jpg")
    folder = read_data(data, DataOptions(group_regex=r"(p\d+)_"))
    assert folder.related == ("p1", "p1", "p2", "")
    assert "finds nothing in any path, e.g. 'a/p1_1.jpg'" in refused(DataError, data, group_regex="q(z)")
    assert "puts all images into one group ('jpg')" in refused(DataError, data, group_regex="jpg")


def test_options_that_do_not_fit_are_refused(tmp_path):
    data = touch(tmp_path, "a/1.jpg", "b/2.jpg")
    (tmp_path / "t.csv").write_text("file,label\na/1.jpg,x\nb/2.jpg,y\n")
    assert "is not a table" in refused(OptionError, data, images=str(tmp_path))
    assert "is not a table" in refused(OptionError, data, label_column="x")
    assert "--label-regex is for folders" in refused(OptionError, tmp_path / "t.csv", label_regex="(x)")
    assert "not a regular expression" in refused(OptionError, data, group_regex="(")


@pytest.mark.parametrize(("name", "command"), [("x.zip", "unzip"), ("x.tar.gz", "tar -xf"), ("x.TAR", "tar -xf")])
def test_archives_are_to_be_unpacked(tmp_path, name, command):
    (tmp_path / name).touch()
    assert f"is an archive; unpack it ({command} '{name}')" in refused(DataError, tmp_path / name)


def test_labels_that_are_no_classes_are_refused(tmp_path):
    touch(tmp_path, *(f"{index}.jpg" for index in range(30)))
    rows = "\n".join(f"{index}.jpg,{index / 7}" for index in range(30))
    (tmp_path / "t.csv").write_text(f"file,label\n{rows}\n")
    assert "the labels have 30 values for 30 images" in refused(DataError, tmp_path / "t.csv")
    (tmp_path / "u.csv").write_text("file,label\n1.jpg,x\n2.jpg,x\n")
    assert "have the label 'x'; expected two or more classes" in refused(DataError, tmp_path / "u.csv")
