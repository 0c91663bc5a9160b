"""Thumbnails: size, orientation, and what is not an image."""

import base64
import io

import numpy as np
from PIL import Image

from tests.making import encoded, noise
from tlkit.data.thumbnail import data_uri, read_thumbnail, stack_rows


def test_read_thumbnail_keeps_proportions_and_is_upright(tmp_path):
    image = Image.fromarray(noise(40, 80))
    exif = Image.Exif()
    exif[0x0112] = 6  # is shown turned by 90 degrees
    image.save(tmp_path / "turned.jpg", exif=exif)
    thumbnail = read_thumbnail(tmp_path / "turned.jpg", 20)
    assert (thumbnail.size, thumbnail.mode) == ((10, 20), "RGB")


def test_read_thumbnail_enlarges_nothing_and_gives_none_for_other_files(tmp_path):
    (tmp_path / "small.png").write_bytes(encoded(noise(8, 8)))
    (tmp_path / "notes.txt").write_text("no image")
    assert read_thumbnail(tmp_path / "small.png", 20).size == (8, 8)
    assert read_thumbnail(tmp_path / "notes.txt", 20) is None
    assert read_thumbnail(tmp_path / "missing.png", 20) is None
    assert read_thumbnail(tmp_path, 20) is None


def test_data_uri_has_the_pixels_of_the_image():
    pixels = np.full((16, 16, 3), (200, 30, 90), np.uint8)
    kind, content = data_uri(Image.fromarray(pixels)).split(",")
    assert kind == "data:image/jpeg;base64"
    read = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))), int)
    assert np.abs(read - pixels).max() <= 4


def test_rows_are_below_each_other_in_their_order():
    rows = [Image.new("RGB", (4, height), color) for height, color in ((2, "red"), (3, "blue"))]
    with Image.open(io.BytesIO(stack_rows(rows, 4))) as sheet:
        assert (sheet.format, sheet.size) == ("PNG", (4, 5))
        colors = [sheet.getpixel((0, y)) for y in range(5)]
    assert colors == [(255, 0, 0)] * 2 + [(0, 0, 255)] * 3
