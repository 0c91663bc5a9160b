"""Sheets of tiles: no tile is scaled, and every one is where it should be."""

import io

import numpy as np
from PIL import Image

from tests.making import noise
from tlkit.visualization.sheet import GAP, MARGIN, LayerTiles, draw_sheet, resize_tiles, shape_words


def drawn(*args):
    return np.asarray(Image.open(io.BytesIO(draw_sheet(*args))).convert("RGB"))


def tiles(count, height=20, width=30):
    return np.stack([noise(height, width, seed) for seed in range(count)])


def contains(sheet, tile):
    """Where a tile is on a sheet: its row and column, or None."""
    corners = np.argwhere((sheet[: -tile.shape[0], : -tile.shape[1]] == tile[0, 0]).all(axis=-1))
    return next(
        ((y, x) for y, x in corners if np.array_equal(sheet[y : y + tile.shape[0], x : x + tile.shape[1]], tile)), None
    )


def test_tiles_are_on_the_sheet_pixel_by_pixel():
    rows = [
        LayerTiles("a", (20, 30, 5), (0, 1, 2, 3, 4), tiles(5), tuple("vwxyz"), "five"),
        LayerTiles("b", (9, 9, 1), (0,), tiles(1, 9, 9)),
    ]
    sheet = drawn("title", "caption", rows, 3)
    positions = [contains(sheet, tile) for row in rows for tile in row.tiles]
    assert None not in positions
    assert [x for _, x in positions] == [MARGIN, MARGIN + 36, MARGIN + 72, MARGIN, MARGIN + 36, MARGIN]
    heights = [y for y, _ in positions]
    assert heights[0] == heights[1] == heights[2] < heights[3] == heights[4] < heights[5]
    assert heights[3] - heights[0] > 20 + GAP  # a label is between them


def test_sheet_has_ink_where_texts_are_and_is_wide_enough_for_them():
    row = LayerTiles("a", (9, 9, 1), (0,), np.full((1, 60, 60, 3), 255, np.uint8), ("label",), "row")
    sheet = drawn("title", "caption " * 40, [row], 3)
    assert sheet.shape[1] >= 640
    rows_with_ink = np.flatnonzero((sheet < 200).any(axis=(1, 2)))
    assert len(np.flatnonzero(np.diff(rows_with_ink) > 1)) >= 4  # lines apart from each other
    assert (sheet[:, : MARGIN - 2] == 255).all()
    assert (sheet[:, -MARGIN:] == 255).all()


def test_names_of_any_script_and_mathematics_are_texts():
    row = LayerTiles("a", (9, 9, 1), (0,), tiles(1, 90, 90), ("猫 $x_1$ \U0010ffff",), "$\\frac$ שלום")
    assert drawn("$a^2$ 犬", "caption $", [row], 3).shape[2] == 3


def test_resizing_enlarges_by_a_whole_factor_and_reduces_to_the_side():
    small = tiles(2, 7, 7)
    large = resize_tiles(small, 50)
    assert large.shape == (2, 49, 49, 3)
    np.testing.assert_array_equal(large[:, ::7, ::7], small)
    assert resize_tiles(tiles(2, 200, 100), 50).shape == (2, 50, 25, 3)
    assert resize_tiles(tiles(1, 50, 50), 50).shape == (1, 50, 50, 3)


def test_shape_words_name_channels_or_units():
    assert shape_words((7, 7, 1280)) == "7×7, 1,280 channels"
    assert shape_words((10,)) == "10 units"
