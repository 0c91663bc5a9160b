"""Thumbnails: of unchanged files only, never too many bytes."""

import base64
import hashlib
import io
import os

import numpy as np
from PIL import Image

from tests.making import encoded, noise
from tlkit.data.image import ImageSpec
from tlkit.report import images
from tlkit.report.images import CHANGED, LARGE, SMALL, interleave, make_thumbnails, shrink

SPEC = ImageSpec(32)


def saved(root, count, side=400):
    """Write images of noise; give their paths and hashes."""
    sha256 = {}
    for number in range(count):
        content = encoded(noise(side, side * 2, number))
        (root / f"{number}.png").write_bytes(content)
        sha256[f"{number}.png"] = hashlib.sha256(content).hexdigest()
    return sha256


def size_of(uri):
    head, _, content = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(content))).size


def test_images_that_are_looked_at_are_larger(tmp_path):
    sha256 = saved(tmp_path, 2)
    made = make_thumbnails(tmp_path, ["1.png"], ["0.png", "1.png"], sha256, SPEC)
    assert {path: size_of(uri) for path, uri in made.uris.items()} == {
        "1.png": (LARGE, LARGE // 2),
        "0.png": (SMALL, SMALL // 2),
    }
    assert made.problems == {}


def test_a_file_that_is_gone_changed_or_no_image_only_loses_its_thumbnail(tmp_path):
    sha256 = saved(tmp_path, 5)
    (tmp_path / "0.png").unlink()
    (tmp_path / "1.png").write_bytes(encoded(noise(20, 20, 99)))
    (tmp_path / "2.png").write_bytes(b"text")
    sha256["2.png"] = hashlib.sha256(b"text").hexdigest()
    (tmp_path / "3.png").unlink()
    os.mkfifo(tmp_path / "3.png")
    made = make_thumbnails(tmp_path, [], list(sha256), sha256, SPEC)
    assert made.uris.keys() == {"4.png"}
    assert made.problems["0.png"] == "does not exist"
    assert made.problems["1.png"] == CHANGED
    assert made.problems.keys() == {"0.png", "1.png", "2.png", "3.png"}


def test_thumbnails_stay_within_their_bytes_and_their_number(tmp_path, monkeypatch):
    sha256 = saved(tmp_path, 6)
    one = len(make_thumbnails(tmp_path, [], ["0.png"], sha256, SPEC).uris["0.png"])
    monkeypatch.setattr(images, "MAX_CHARACTERS", 3 * one + one // 2)
    assert len(make_thumbnails(tmp_path, [], list(sha256), sha256, SPEC).uris) == 3
    monkeypatch.undo()
    monkeypatch.setattr(images, "MAX_THUMBNAILS", 2)
    assert list(make_thumbnails(tmp_path, ["5.png"], list(sha256), sha256, SPEC).uris) == ["5.png", "0.png"]


def test_gray_images_and_small_ones_become_jpegs(tmp_path):
    assert size_of(shrink(Image.new("L", (20, 10)), 100)) == (20, 10)
    deep = Image.fromarray(np.arange(10_000, dtype=np.uint16).reshape(100, 100))
    content = encoded(deep)
    (tmp_path / "a.png").write_bytes(content)
    made = make_thumbnails(tmp_path, [], ["a.png"], {"a.png": hashlib.sha256(content).hexdigest()}, SPEC)
    assert size_of(made.uris["a.png"]) == (100, 100)


def test_every_class_is_among_the_first_images():
    assert interleave([["a"] * 9, ["b"], ["c", "d"]])[:4] == ["a", "b", "c", "a"]
