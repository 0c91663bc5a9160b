"""Explanations as PNG."""

import io

import numpy as np
from PIL import Image

from tests.making import noise
from tlkit.data.image import ImageSpec
from tlkit.explain.base import Explanation, Neighbor
from tlkit.explain.sheet import MARGIN, WIDTH, sheet_bytes


def made(path="photo.jpg", label="ant", neighbors=()):
    """An explanation of a noisy image."""
    heat = np.zeros((8, 8), np.float32)
    heat[2, 2] = 1
    image = Image.fromarray(noise(200, 300, seed=0))
    words = {"confidence": 0.9, "explained": label, "probability": 0.9, "method": "gradcam", "peak": (1, 1)}
    return Explanation(
        path, "ok", label, heat=heat, size=(300, 200), neighbors=neighbors, image=image, spec=ImageSpec(8), **words
    )


def opened(content):
    """The pixels of a PNG."""
    return np.asarray(Image.open(io.BytesIO(content)))


def test_sheet_has_the_image_its_heat_map_and_training_images(tmp_path):
    Image.new("RGB", (50, 40), (250, 10, 10)).save(tmp_path / "red.png")
    sheet = opened(sheet_bytes([made(neighbors=(Neighbor("red.png", "ant", 0.1),))], tmp_path))
    assert sheet.shape[1] == WIDTH
    assert ((sheet[..., 0] > 240) & (sheet[..., 1] < 20)).sum() > 10_000  # the training image
    row = next(y for y in range(len(sheet)) if (sheet[y : y + 200, MARGIN : MARGIN + 300] == noise(200, 300)).all())
    assert row > MARGIN


def test_sheet_has_one_row_per_explanation(tmp_path):
    heights = [len(opened(sheet_bytes([made()] * count, tmp_path))) for count in (1, 2, 3)]
    assert heights[1] - heights[0] == heights[2] - heights[1] == heights[0]


def test_sheet_shows_hostile_and_missing_things(tmp_path):
    rows = [
        made("a" * 250 + ".jpg", "<b>\x1b[31mx</b>" * 20, (Neighbor("gone.png", "花" * 100, 1.5),)),
        made("\udcff💩.jpg", "عربي"),
        Explanation("broken.jpg", "error", error="is a broken JPEG file"),
    ]
    assert opened(sheet_bytes(rows, tmp_path)).shape[1] == WIDTH
