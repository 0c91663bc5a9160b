"""The contact sheet of augmented views, and the hint about mirrors."""

import numpy as np
import pytest
from PIL import Image

from tlkit.data.augment import Augmentation, AugmentedViews, flip_note
from tlkit.data.contact_sheet import GAP, draw_contact_sheet
from tlkit.data.image import ImageSpec
from tlkit.data.reader import read_data
from tlkit.errors import DataError


def sheet(data, tmp_path):
    views = AugmentedViews(3, seed=0, augmentation=Augmentation.from_options("light", {}))
    names = draw_contact_sheet(read_data(data), tmp_path / "sheet.png", ImageSpec(32), views, num_images=4)
    return names, np.asarray(Image.open(tmp_path / "sheet.png"))


def cell(pixels, row, column, size=32):
    top, left = GAP + row * (size + GAP), GAP + column * (size + GAP)
    return pixels[top : top + size, left : left + size]


def test_a_sheet_has_a_line_per_picture_and_goes_round_the_classes(colors, tmp_path):
    names, pixels = sheet(colors, tmp_path)
    assert pixels.shape == (4 * 36 + GAP, 3 * 36 + GAP, 3)
    assert [name.split("/")[0] for name in names] == ["blue", "green", "red", "blue"]


def test_the_first_view_is_what_predict_sees(colors, tmp_path):
    from tlkit.data.image import decode_square

    names, pixels = sheet(colors, tmp_path)
    plain = decode_square((colors / names[0]).read_bytes(), ImageSpec(32))
    np.testing.assert_array_equal(cell(pixels, 0, 0), plain)
    assert not np.array_equal(cell(pixels, 0, 1), plain)


def test_a_file_that_is_no_image_is_passed_over(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        (tmp_path / "images" / name / "1.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="can be read: 2 × text; expected"):
        sheet(tmp_path / "images", tmp_path)
    Image.new("RGB", (40, 40), (9, 9, 9)).save(tmp_path / "images" / "b" / "2.png")
    assert sheet(tmp_path / "images", tmp_path)[0] == ["b/2.png"]


def test_names_that_speak_of_sides_or_signs_are_noticed():
    for names, found in [
        ("0123456789", "'0'"),
        ("abd", "'a'"),
        (["turn left", "turn right"], "'turn left'"),
        (["Hand_Rechts", "Hand_Links"], "'hand_rechts'"),
        (["ants", "bees"], None),
        (["brightness", "leftover"], None),
        (["a", "beach", "desert", "sea"], None),
    ]:
        hint = flip_note(list(names), hflip=True)
        assert found in hint if found else hint is None, hint
