"""Unreadable files and poor images."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tests.quality.making import looked_at, photo, photos, save
from tlkit.data.listing import HIDDEN, FileEntry
from tlkit.quality.base import CheckedData
from tlkit.quality.files import ImageQuality, Unreadable

HALVES = Image.new("RGB", (400, 400), "white")
HALVES.paste("black", (200, 0, 400, 400))


def test_unreadable_files_by_reason(tmp_path):
    data = looked_at(photos(tmp_path, {"a": 3, "b": 3}))
    entries = [
        ("a/x.jpg", "is damaged (cut off)"),
        ("b/y.jpg", "is damaged (cut off)"),
        ("c.txt", "is text"),
        (".z", HIDDEN),
    ]
    folder = data.folder.with_skipped(FileEntry(path, reason) for path, reason in entries)
    damaged, text = Unreadable().find(CheckedData(folder, data.near))
    assert (damaged.severity, damaged.paths) == ("warning", ("a/x.jpg", "b/y.jpg"))
    assert damaged.message == "2 files are left out: is damaged (cut off)."
    assert (text.severity, text.paths) == ("info", ("c.txt",))


@pytest.mark.parametrize(
    ("name", "image", "words"),
    [
        ("blank", Image.new("RGB", (90, 90), "gray"), "is blank, e.g. a/poor.png"),
        ("dark", Image.eval(photo(1), lambda value: value // 12), "is very dark"),
        ("bright", Image.eval(photo(1), lambda value: 232 + value // 12), "is very bright"),
        ("blurred", HALVES.filter(ImageFilter.GaussianBlur(30)), "is blurred"),
        ("tiny", photo(1, 40), "is smaller than 64 pixels"),
        ("long", photo(1, 400).resize((400, 90)), "more than 3 times as long as wide"),
    ],
)
def test_poor_images_are_named(tmp_path, name, image, words):
    photos(tmp_path, {"a": 6, "b": 6})
    save(image, tmp_path / "a" / "poor.png")
    issues = [issue for issue in ImageQuality().find(looked_at(tmp_path)) if "a/poor.png" in issue.paths]
    assert [words in issue.message for issue in issues] == [True]
    assert issues[0].paths == ("a/poor.png",)
    assert issues[0].message.startswith("1 of 13 images")


def test_ranges_of_deep_images_that_vary(tmp_path):
    rng = np.random.default_rng(0)
    for name in "ab":
        for index in range(6):
            white = 65535 if (name, index) == ("b", 3) else 4095
            (tmp_path / name).mkdir(exist_ok=True)
            deep = Image.fromarray(rng.integers(0, white, (70, 70), dtype=np.uint16, endpoint=True))
            deep.save(tmp_path / name / f"{index}.png")
    data = looked_at(tmp_path)
    assert ImageQuality().find(data) == []
    [issue] = ImageQuality().find(CheckedData(data.folder.surveyed(), data.near))
    assert issue.paths[1] == "b/3.png"
    assert issue.message.startswith("gray values vary: the brightest is 4,0")
