"""A cleaned copy: links to what is kept, a list of what is not; the source stays as it is."""

import csv

import pytest

from tests.quality.making import photo, photos, save
from tlkit.data.reader import read_data
from tlkit.errors import OptionError
from tlkit.quality.check import check
from tlkit.quality.clean import removals, write_clean_copy


def test_clean_copy_keeps_one_of_equal_images_and_none_of_a_conflict(tmp_path):
    data = photos(tmp_path / "data", {"a": 5, "b": 5})
    save(photo(0), data / "a" / "deep" / "0.png")
    save(photo(1), data / "b" / "same.png")
    (data / "a" / "bad.jpg").write_text("no image")
    before = {file: file.read_bytes() for file in data.rglob("*") if file.is_file()}
    result = check(data, backbone="none")
    removed = removals(result.issues, result.folder)
    assert removed == {
        "a/deep/0.png": "copy of a/0.png",
        "a/1.png": "same image under two labels: a/1.png, b/same.png",
        "b/same.png": "same image under two labels: a/1.png, b/same.png",
    }
    assert write_clean_copy(result.folder, removed, tmp_path / "clean") == 9
    links = sorted(file for file in (tmp_path / "clean").rglob("*.png"))
    assert len(links) == 9
    assert all(link.is_symlink() and link.resolve().is_relative_to(data) for link in links)
    with (tmp_path / "clean" / "removed.csv").open() as file:
        assert {row["path"] for row in csv.DictReader(file)} == {*removed, "a/bad.jpg"}
    assert {file: file.read_bytes() for file in data.rglob("*") if file.is_file()} == before
    assert len(read_data(tmp_path / "clean")) == 9
    with pytest.raises(OptionError, match="already exists"):
        write_clean_copy(result.folder, removed, tmp_path / "clean")


def test_clean_copy_keeps_the_held_out_one_of_a_leak(tmp_path):
    photos(tmp_path / "data" / "train", {"a": 5, "b": 5})
    photos(tmp_path / "data" / "val", {"a": 2, "b": 2}, start=50)
    save(photo(0), tmp_path / "data" / "val" / "a" / "copy.png")
    result = check(tmp_path / "data", backbone="none")
    assert removals(result.issues, result.folder) == {"train/a/0.png": "copy of val/a/copy.png"}
    write_clean_copy(result.folder, {}, tmp_path / "clean")
    assert set(read_data(tmp_path / "clean").subsets) == {"train", "validation"}
