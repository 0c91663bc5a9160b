import io
import os

import numpy as np
import pytest
from PIL import Image

from tlkit.errors import OptionError, StorageError
from tlkit.utils.storage import (
    RemotePath,
    exists,
    is_file,
    is_folder,
    kind_of,
    list_files_below,
    open_stored,
    put_new,
    read_bytes,
    require_existing,
)

CONTENTS = {
    "cat/10.jpg": b"ten",
    "cat/2.jpg": b"two",
    "dog/a b/ü 100%.jpg": b"three",
    "dog/a%20b.jpg": b"four",
    "dog/x?y&z=1#2+3.jpg": b"five",
    "readme.txt": b"",
    **{f"many/{number}/{number}.jpg": b"x" * number for number in range(40)},
}


@pytest.fixture
def both(s3, tmp_path):
    """The same files on disk and in a bucket."""
    local = tmp_path / "files"
    for path, content in CONTENTS.items():
        (local / path).parent.mkdir(parents=True, exist_ok=True)
        (local / path).write_bytes(content)
    return local, RemotePath(s3.upload(local, "s3://storage-tests/some/files"))


@pytest.fixture
def fresh(s3):
    """An empty bucket."""
    s3.empty_bucket("fresh")
    return RemotePath("s3://fresh")


def test_a_bucket_is_listed_as_the_folder_is(both):
    local, remote = ([(file.path, file.size) for file in list_files_below(root)] for root in both)
    assert local == remote == sorted((path, len(content)) for path, content in CONTENTS.items())
    assert all(file.mtime_ns > 0 for root in both for file in list_files_below(root))


def test_every_object_can_be_read_by_the_name_it_is_listed_by(both):
    for root in both:
        assert {path: read_bytes(root / path, 100) for path in CONTENTS} == CONTENTS


def test_what_is_there_is_known_as_on_disk(both):
    for root in both:
        assert (is_folder(root), is_file(root), exists(root)) == (True, False, True)
        assert (is_folder(root / "cat"), exists(root / "ca")) == (True, False)
        assert (is_folder(root / "readme.txt"), is_file(root / "readme.txt")) == (False, True)
        require_existing(root)
    assert kind_of(both[1] / "none") == ""
    assert is_folder("s3://storage-tests")
    with pytest.raises(StorageError, match="does not exist"):
        require_existing(both[1] / "none")


def test_what_is_too_large_is_refused(both):
    for root in both:
        with pytest.raises(StorageError, match="larger than") as raised:
            read_bytes(root / "cat/10.jpg", 2)
        assert raised.value.kind == "large"


def test_an_object_is_read_at_any_position(s3, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "large.png")
    remote = RemotePath(s3.upload(folder, "s3://positions"))
    with open_stored(remote / "large.png") as file, Image.open(file) as image:
        assert image.size == (300, 300)
        assert (np.asarray(image) == pixels).all()
    content = (folder / "large.png").read_bytes()
    with open_stored(remote / "large.png") as file:
        file.seek(-100, io.SEEK_END)
        assert file.read() == content[-100:]
        assert file.read() == b""
        file.seek(5)
        assert (file.read(10), file.tell()) == (content[5:15], 15)


def test_a_new_object_is_put_once_and_never_in_the_place_of_another(fresh, s3):
    put_new(fresh / "out/a.parquet", b"first")
    assert s3.keys("fresh") == ["out/a.parquet"]
    with pytest.raises(StorageError, match=r"'s3://fresh/out/a\.parquet' already exists") as raised:
        put_new(fresh / "out/a.parquet", b"second")
    assert raised.value.kind == "taken"
    assert read_bytes(fresh / "out/a.parquet", 100) == b"first"
    put_new(fresh / "out/large", os.urandom(12 << 20))  # in several parts
    assert s3.client().list_multipart_uploads(Bucket="fresh").get("Uploads", []) == []


def test_a_new_file_is_put_as_an_object_is(tmp_path):
    put_new(tmp_path / "a", b"first")
    with pytest.raises(OptionError, match="already exists"):
        put_new(tmp_path / "a", b"second")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_path_that_cannot_be_is_neither_a_folder_nor_there(tmp_path):
    (tmp_path / "x").touch()
    assert (is_folder(tmp_path), exists(tmp_path)) == (True, True)
    assert (is_folder(tmp_path / "x"), exists(tmp_path / "x")) == (False, True)
    for impossible in (tmp_path / ("n" * 5000), tmp_path / "x" / "y", f"{tmp_path}/\0"):
        assert (is_folder(impossible), exists(impossible)) == (False, False)
