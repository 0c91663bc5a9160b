"""DATA in an object store is read as the same files on disk are."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from tests.data.sources.making import write_parquet, write_tars
from tlkit.cache.file_memory import HASHES, FileMemory, file_state
from tlkit.data.listing import ListedFolder, list_files, listed
from tlkit.data.reader import DataOptions, absolute_request, images_root, read_data
from tlkit.data.sources.files import read_each, read_file
from tlkit.errors import DataError, ImageError, OptionError, StorageError
from tlkit.inference.inputs import expand_inputs
from tlkit.utils.storage import RemotePath, as_location

BUCKET = "s3://remote-data"


def make(folder, *paths):
    """Make files that differ."""
    for number, path in enumerate(paths):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(f"{number}".encode())
    return folder


@pytest.fixture
def upload(s3, tmp_path):
    """A function that copies a folder to a place of its own in the bucket."""

    def copy(folder):
        return s3.upload(folder, f"{BUCKET}/{tmp_path.name}/{folder.name}")

    return copy


def facts(folder, root):
    """Everything that a listing says, without the names of its root."""
    others = (folder.paths, folder.labels.tolist(), folder.class_names, folder.subsets, folder.unknown, folder.related)
    notes = [note.replace(str(root), "ROOT") for note in folder.notes]
    return others, {(entry.path, entry.reason) for entry in folder.skipped}, notes


LAYOUTS = {
    "classes": (
        "cat/10.jpg",
        "cat/2.jpg",
        "dog/1.jpg",
        "dog/deep/er/2.jpg",
        "readme.txt",
        "dog/.hidden",
        "dog/thumbs.db",
    ),
    "subsets": ("train/cat/1.jpg", "train/dog/1.jpg", "Val/cat/2.jpg", "Val/dog/2.jpg", "test/cat/3.jpg"),
    "wrapped": ("photos/all/a/1.jpg", "photos/all/b/1.jpg", "photos/readme.md"),
    "unknown": ("cat/1.jpg", "dog/1.jpg", "_unknown/1.jpg"),
    "hidden": ("cat/1.jpg", "dog/1.jpg", ".git/x", "__MACOSX/cat/._1.jpg"),
    "names": ("a%20b/ü 1.jpg", "a%20b/1?.jpg", "c#d/1&=+.jpg", "c#d/10.jpg", "c#d/9.jpg"),
    "nested": ("cat/day1/1.jpg", "cat/day2/1.jpg", "dog/day3/1.jpg"),
}
REFUSED = {
    "one class": ("cat/1.jpg", "cat/2.jpg"),
    "parts": ("images_part_1/1.jpg", "images_part_2/1.jpg"),
    "parts with a table": ("images_part_1/1.jpg", "images_part_2/1.jpg", "labels.csv"),
    "letters": ("a/apple/1.jpg", "b/bee/1.jpg"),
    "empty class": ("cat/1.jpg", "dog/.hidden"),
    "beside": ("train/cat/1.jpg", "train/dog/1.jpg", "other/x/1.jpg"),
    "two of a subset": ("train/cat/1.jpg", "train/dog/1.jpg", "training/cat/1.jpg"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_folder_is_listed_as_on_disk(tmp_path, upload, name):
    local = make(tmp_path / "data", *LAYOUTS[name])
    remote = upload(local)
    here, there = read_data(local), read_data(remote)
    assert facts(there, remote) == facts(here, local)
    assert there.root == RemotePath(remote)
    assert not isinstance(there.root, ListedFolder)
    assert [read_file(file) for file in there.files] == [read_file(file) for file in here.files]
    assert list(list_files(RemotePath(remote))) == list(list_files(local))


@pytest.mark.parametrize("name", REFUSED)
def test_a_folder_is_refused_as_on_disk(tmp_path, upload, name):
    local = make(tmp_path / "data", *REFUSED[name])
    remote, sentences = upload(local), []
    for data in (str(local), remote):
        with pytest.raises(DataError) as raised:
            read_data(data)
        sentences.append(str(raised.value).replace(data, "ROOT"))
    assert sentences[0] == sentences[1]


def test_labels_and_groups_from_names(tmp_path, upload):
    local = make(tmp_path / "data", *(f"x/{name}_p{number % 3}_{number}.jpg" for number in range(9) for name in "ab"))
    remote = upload(local)
    options = DataOptions(label_regex=r"([ab])_p", group_regex=r"(p\d)_")
    assert facts(read_data(remote, options), remote) == facts(read_data(local, options), local)


def test_metadata_of_an_imagefolder(tmp_path, upload):
    local = make(tmp_path / "data", "train/1.jpg", "train/2.jpg", "test/1.jpg")
    for subset, names in (("train", "12"), ("test", "1")):
        rows = "".join(f"{name}.jpg,{'ab'[index % 2]}\n" for index, name in enumerate(names))
        (local / subset / "metadata.csv").write_text(f"file_name,label\n{rows}")
    remote = upload(local)
    assert facts(read_data(remote), remote) == facts(read_data(local), local)


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_tables_in_the_store_and_on_disk(tmp_path, upload, ending):
    local = make(tmp_path / "data", *(f"photos/{name}" for name in ("a/1.jpg", "b/2.jpg", "3.jpg", "4.png", "x/4.png")))
    names = ("photos/a/1.jpg", "photos\\b\\2.jpg", "3", "4.png", "none.jpg", "./photos/3.jpg")
    rows = list(zip(names, "xyyxxy", strict=True))
    table = local / f"t.{ending}"
    if ending == "parquet":
        parquet.write_table(pyarrow.table({"file": [row[0] for row in rows], "label": [row[1] for row in rows]}), table)
    elif ending == "jsonl":
        table.write_text("\n".join(json.dumps({"file": path, "label": label}) for path, label in rows))
    else:
        table.write_text("\n".join(("\t" if ending == "tsv" else ",").join(row) for row in [("file", "label"), *rows]))
    remote = upload(local)
    here = read_data(table)
    assert len(here) == 3
    assert facts(read_data(f"{remote}/t.{ending}"), remote) == facts(here, local)
    options = DataOptions(images=remote)
    assert facts(read_data(table, options), remote) == facts(here, local)  # a table here, images there
    assert images_root(table, remote) == RemotePath(remote)
    assert images_root(f"{remote}/t.{ending}") == RemotePath(remote)


def test_a_table_of_uris_needs_no_listing(tmp_path, upload):
    remote = upload(make(tmp_path / "data", "a/1.jpg", "b/2.jpg"))
    table = tmp_path / "t.csv"
    table.write_text(f"image,label\n{remote}/a/1.jpg,x\n{remote}/b/2.jpg,y\n{remote}/none.jpg,y\ns3://other/1.jpg,x\n")
    folder = read_data(table)
    assert folder.root == images_root(table) == RemotePath(BUCKET)
    assert [read_file(file) for file in folder.files if file.name != "none.jpg"] == [b"0", b"1"]
    skipped = [(entry.path, entry.reason) for entry in folder.skipped]
    assert skipped == [("s3://other/1.jpg", f"not in '{BUCKET}', as others are")]
    with pytest.raises(ImageError, match="does not exist"):
        read_file(RemotePath(f"{remote}/none.jpg"))


def test_what_is_not_there_has_a_sentence_of_its_own(tmp_path, upload):
    remote = upload(make(tmp_path / "data", "a/1.jpg", "b/1.jpg"))
    for data, kind in (
        ("s3://no-such-bucket-here/x", "bucket"),
        (f"{remote}/none", "key"),
        (f"{remote}/none.csv", "key"),
    ):
        with pytest.raises(StorageError) as raised:
            read_data(data)
        assert raised.value.kind == kind
    with pytest.raises(StorageError):
        read_file(RemotePath("s3://no-such-bucket-here/x.jpg"))
    with pytest.raises(DataError, match="is a file"):
        read_data(f"{remote}/a/1.jpg")
    with pytest.raises(OptionError, match="is not a table"):
        read_data(remote, DataOptions(label_column="x"))


def test_settings_keep_the_uri(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute_request("s3://bucket/photos/", "") == {"data": "s3://bucket/photos", "images": ""}
    expected = {"data": str(tmp_path / "t.csv"), "images": "s3://bucket/photos"}
    assert absolute_request("t.csv", "s3://bucket/photos") == expected


def test_headers_are_read_as_on_disk(tmp_path, upload):
    local = tmp_path / "data"
    for name in ("a", "b"):
        (local / name).mkdir(parents=True)
        Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64)).save(local / name / "deep.png")
        frames = [Image.new("RGB", (20, 10), color) for color in ("red", "blue")]
        frames[0].save(local / name / "series.gif", save_all=True, append_images=frames[1:])
        Image.new("RGB", (200, 50)).save(local / name / "photo.jpg")
        (local / name / "broken.png").write_bytes(b"\x89PNG")
    here, there = read_data(local).surveyed().survey, read_data(upload(local)).surveyed().survey
    assert (
        (there.num_deep, there.num_series, there.cut_off)
        == (here.num_deep, here.num_series, here.cut_off)
        == (2, 2, here.cut_off)
    )
    assert [file.name for file in there.deep] == [file.name for file in here.deep]


def test_objects_are_read_in_order_and_errors_are_in_their_place(tmp_path, upload):
    local = make(tmp_path / "data", *(f"{number}.jpg" for number in range(40)))
    remote = RemotePath(upload(local))
    names = [*(f"{number}.jpg" for number in range(40)), "none.jpg", "3.jpg"]
    read = [str(content) for content in read_each([remote / name for name in names])]
    assert read == [str(content) for content in read_each([local / name for name in names])]
    assert read[40] == "does not exist"


def test_inputs_of_predict(tmp_path, upload):
    local = make(tmp_path / "data", "10.jpg", "2.jpg", "sub/1.png", ".hidden", "sub/thumbs.db")
    remote = upload(local)
    found = [str(path).removeprefix(remote) for path in expand_inputs([remote])]
    assert found == [str(path).removeprefix(str(local)) for path in expand_inputs([str(local)])]
    assert list(expand_inputs([f"{remote}/none.jpg", f"{remote}/2.jpg"])) == [f"{remote}/none.jpg", f"{remote}/2.jpg"]
    with pytest.raises(StorageError, match="no bucket"):
        list(expand_inputs(["s3://no-such-bucket-here/photos"]))


def test_a_folder_is_listed_once(tmp_path, upload, s3):
    remote = RemotePath(upload(make(tmp_path / "data", "a/1.jpg", "b/1.jpg")))
    before = listed(remote)
    for key in s3.keys("remote-data"):
        if tmp_path.name in key:
            s3.client().delete_object(Bucket="remote-data", Key=key)
    assert listed(before) is before
    assert [entry.path for entry in list_files(before)] == ["a/1.jpg", "b/1.jpg"]
    assert (before / "a" / "1.jpg").is_listed()
    assert not (before / "a").is_listed()
    shutil.rmtree(tmp_path / "data")
    with pytest.raises(StorageError, match=re.escape(f"'{remote}' does not exist")):
        read_data(str(remote))


def test_an_object_is_known_again_by_what_its_store_says(tmp_path, upload, s3):
    root = RemotePath(upload(make(tmp_path / "data", "a/1.jpg", "b/1.jpg")))
    assert file_state(root / "a/1.jpg") is None  # not listed yet
    before = [file_state(file) for file in read_data(str(root)).files]
    assert [file_state(file) for file in read_data(str(root)).files] == before
    s3.client().put_object(Bucket="remote-data", Key=(root / "a/1.jpg").key, Body=b"other bytes")
    after = [file_state(file) for file in read_data(str(root)).files]
    assert after[0] != before[0]
    assert after[1] == before[1]
    memory = FileMemory(HASHES)
    old = replace(before[1], mtime_ns=before[1].mtime_ns - 10**10, ctime_ns=0)
    memory.remember(old, np.zeros(32, np.uint8))
    memory.remember(before[1], np.zeros(32, np.uint8))  # just written: it may change without another time
    assert len(memory._pending) == 1


def test_inputs_inside_shards(tmp_path, upload, colors):
    write_tars(colors, tmp_path / "data", count=2)
    write_parquet(colors, tmp_path / "data" / "rows.parquet")
    (tmp_path / "data" / "damaged.tar").write_bytes(b"damaged" * 200)
    parquet.write_table(pyarrow.table({"x": [1]}), tmp_path / "data" / "table.parquet")
    remote = upload(tmp_path / "data")
    for root in (str(tmp_path / "data"), remote):
        found = [str(path).removeprefix(f"{root}/") for path in expand_inputs([root])]
        assert len(found) == 36 + 36 + 2
        assert {"damaged.tar", "table.parquet", "photos-0001.tar::red_9.png", "rows.parquet::35.png"} <= set(found)
        assert len(list(expand_inputs([f"{root}/photos-0000.tar"]))) == 18
        pixels = [read_file(as_location(path)) for path in expand_inputs([f"{root}/photos-0000.tar"])]
        assert all(content.startswith(b"\x89PNG") for content in pixels)
