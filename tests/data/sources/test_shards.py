import hashlib
import shutil
import tarfile

import pyarrow
import pytest
from pyarrow import parquet

from tests.data.sources.making import add, write_parquet, write_tars
from tlkit.data.reader import DataOptions, images_root, read_data
from tlkit.data.sources.files import read_each, read_file
from tlkit.errors import DataError, OptionError


def content(folder):
    """What is known of the images without the names of files: classes, and hashes by class."""
    names = [folder.class_names[label] for label in folder.labels]
    hashes = [hashlib.sha256(read).hexdigest() for read in read_each(folder.files)]
    return folder.class_names, sorted(zip(names, hashes, strict=True))


@pytest.fixture(scope="module")
def tars(colors, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tars")
    write_tars(colors, folder)
    return folder


def test_tar_shards_hold_what_the_folder_holds(tars, colors):
    expected = content(read_data(colors))
    for data in (tars, str(tars / "photos-{0000..0002}.tar")):
        folder = read_data(data)
        assert content(folder) == expected
        assert folder.root == tars == images_root(data)
        assert folder.paths[0] == "photos-0000.tar::blue_0.png"
        assert any("inside 3 shards" in note for note in folder.notes)
    one = read_data(tars / "photos-0001.tar")
    assert len(one) == 12
    assert images_root(tars / "photos-0001.tar") == tars
    assert read_data(tars).surveyed().survey.num_series == 0


def test_shards_in_an_object_store_hold_the_same(tars, colors, s3, tmp_path):
    write_parquet(colors, tmp_path / "rows" / "train-00000-of-00001.parquet")
    remote, rows = s3.upload(tars, "s3://shards/tars"), s3.upload(tmp_path / "rows", "s3://shards/rows")
    expected = content(read_data(colors))
    for data in (remote, f"{remote}/photos-{{0000..0002}}.tar", rows, f"{rows}/train-00000-of-00001.parquet"):
        assert content(read_data(data)) == expected
    assert read_data(remote).paths == read_data(tars).paths
    assert str(images_root(f"{remote}/photos-{{0000..0002}}.tar")) == remote


@pytest.mark.parametrize(("names", "paths"), [(True, True), (False, False)])
def test_parquet_holds_what_the_folder_holds(colors, tmp_path, names, paths):
    file = write_parquet(colors, tmp_path / "data" / "train-00000-of-00001.parquet", names=names, paths=paths)
    for data in (file, file.parent, tmp_path):
        folder = read_data(data)
        assert content(folder) == content(read_data(colors))
        assert set(folder.subsets) == {"train"}
        assert folder.paths[0].endswith("parquet::0.png" if paths else "parquet::0")
        assert images_root(data) == folder.root


def test_subsets_are_those_of_the_shards_names_and_folders(colors, tmp_path):
    write_tars(colors, tmp_path / "a", count=1, name="train-{:03}.tar")
    write_tars(colors, tmp_path / "a", count=1, name="validation-{:03}.tar")
    write_tars(colors, tmp_path / "b" / "train", count=2)
    write_tars(colors, tmp_path / "b" / "test", count=1)
    assert set(read_data(tmp_path / "a").subsets) == {"train", "validation"}
    assert set(read_data(tmp_path / "b").subsets) == {"train", "test"}
    assert read_data(tmp_path / "b").paths[0] == "test/photos-0000.tar::blue_0.png"


def test_labels_in_json_and_txt(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for number in range(4):
            add(tar, f"d/{number}.jpg", bytes([number]))
            add(tar, f"d/{number}.json", b'{"label": "%d", "split": "test", "patient": "p%d"}' % (number % 2, number))
        add(tar, "d/t.PNG", b"t")
        add(tar, "d/t.txt", b"1\n")
        add(tar, "d/alone.jpg", b"x")
        add(tar, "d/broken.jpg", b"x")
        add(tar, "d/broken.json", b"{")
        add(tar, "notes.txt", b"nothing")
    folder = read_data(tmp_path / "x.tar", DataOptions(group_column="patient"))
    assert folder.class_names == ("0", "1")
    assert folder.paths[-1] == "x.tar::d/t.PNG"
    assert folder.subsets == ("test",) * 4 + ("",)
    assert folder.related == ("p0", "p1", "p2", "p3", "")
    assert {entry.path for entry in folder.skipped} == {"x.tar::d/alone.jpg", "x.tar::d/broken.jpg"}
    with pytest.raises(OptionError, match="holds its images itself"):
        read_data(tmp_path / "x.tar", DataOptions(path_column="x"))


def test_an_archive_that_is_no_shard_is_refused(tmp_path, colors):
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        tar.add(colors, "colors")
    with pytest.raises(DataError, match=r"'.*photos\.tar' is an archive; unpack it"):
        read_data(tmp_path / "photos.tar")
    shutil.copy(tmp_path / "photos.tar", tmp_path / "x-1.tar")
    with pytest.raises(DataError, match="has no image with a label; expected shards of WebDataset"):
        read_data(tmp_path / "x-{1..1}.tar")


def test_a_missing_or_damaged_shard_is_named(tars, tmp_path):
    with pytest.raises(DataError, match=r"'.*photos-0003\.tar' does not exist; '.*' means 4 shards"):
        read_data(tars / "photos-{0000..0003}.tar")
    (tmp_path / "x.tar").write_bytes(b"no tar" * 1000)
    with pytest.raises(DataError, match="cannot be read as a tar file"):
        read_data(tmp_path / "x.tar")
    with pytest.raises(DataError, match="means no shards"):
        read_data(tmp_path / "x-{9..1}.tar")


def test_folders_with_archives_beside_images_are_folders(tmp_path, colors, tars):
    shutil.copytree(colors, tmp_path / "data")
    shutil.copy(tars / "photos-0000.tar", tmp_path / "data" / "backup.tar")
    assert read_data(tmp_path / "data").paths == read_data(colors).paths


def test_a_parquet_table_of_paths_is_a_table(tmp_path, colors):
    rows = read_data(colors)
    names = [rows.class_names[label] for label in rows.labels]
    parquet.write_table(pyarrow.table({"path": list(rows.paths), "label": names}), tmp_path / "t.parquet")
    assert read_data(tmp_path / "t.parquet", DataOptions(images=str(colors))).paths == rows.paths


def test_columns_of_parquet_are_asked_for_where_they_are_not_clear(tmp_path):
    table = pyarrow.table({"picture": [b"1", b"2"], "x": ["a", "b"], "y1": ["c", "d"]})
    parquet.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(OptionError, match="which of them holds the labels is not clear"):
        read_data(tmp_path / "t.parquet")
    with pytest.raises(OptionError, match="--label-column is 'z'"):
        read_data(tmp_path / "t.parquet", DataOptions(label_column="z"))
    folder = read_data(tmp_path / "t.parquet", DataOptions(label_column="x"))
    assert (folder.class_names, folder.paths) == (("a", "b"), ("t.parquet::0", "t.parquet::1"))
    assert [read_file(file) for file in folder.files] == [b"1", b"2"]
