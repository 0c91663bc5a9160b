"""A sheet of tiles with titles and a caption, as PNG."""

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from tlkit.utils.plotting import DPI, GRAY, INK, escape_missing, fonts_for, new_figure, write_png
from tlkit.utils.text import shorten_middle

MARGIN, GAP = 24, 6  # pixels around the sheet, and between tiles
TITLE, LINE = 28, 19  # pixels of a line of the title, and of every other text
MIN_WIDTH = 640  # pixels, so that titles fit
PIXELS_PER_CHARACTER, TITLE_PIXELS = 8, 12  # of a caption and of the title, about
PLAIN: dict[str, Any] = {"va": "center", "fontsize": 8.5, "parse_math": False}
LARGE: dict[str, Any] = {"color": INK, "fontsize": 12}

Text = tuple[float, float, str, dict[str, Any]]  # x, y, content, style


@dataclass(frozen=True)
class LayerTiles:
    """The tiles of one layer.

    Attributes:
        layer: its name
        shape: of its output for one image: (height, width, channels) or (units,)
        units: the channels or units that are shown
        tiles: uint8 (units, height, width, 3), RGB
        labels: a line below each tile; () for none
        title: a line above them
        values: one per unit, such as its activation; () where there is none
    """

    layer: str
    shape: tuple[int, ...]
    units: tuple[int, ...]
    tiles: np.ndarray
    labels: tuple[str, ...] = ()
    title: str = ""
    values: tuple[float, ...] = ()


def shape_words(shape: Sequence[int]) -> str:
    """Say the shape of a layer's output.

    >>> shape_words((56, 56, 24)), shape_words((3,))
    ('56×56, 24 channels', '3 units')
    """
    if len(shape) == 1:
        return f"{shape[0]:,} units"
    return f"{'×'.join(map(str, shape[:-1]))}, {shape[-1]:,} channels"


def resize_tiles(tiles: np.ndarray, side: int) -> np.ndarray:
    """Enlarge tiles by a whole factor, to about `side` pixels, or reduce them to `side`.

    Args:
        tiles: uint8 (tiles, height, width, 3)
    """
    height, width = tiles.shape[1:3]
    factor = round(side / max(height, width))
    if max(height, width) <= side:
        return tiles.repeat(max(1, factor), axis=1).repeat(max(1, factor), axis=2)
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.stack([np.asarray(Image.fromarray(tile).resize(size, Image.Resampling.BOX)) for tile in tiles])


def draw_sheet(title: str, caption: str, rows: Sequence[LayerTiles], columns: int) -> bytes:
    """Draw the tiles of layers below each other, as PNG; no tile is scaled.

    Args:
        title: a line above everything
        caption: what is shown and what brightness means, below everything
        columns: tiles beside each other, at most
    """
    widths = [min(columns, len(row.tiles)) * (row.tiles.shape[2] + GAP) - GAP for row in rows]
    width = max(MIN_WIDTH, *(2 * MARGIN + each for each in widths))
    titles = textwrap.wrap(title, (width - 2 * MARGIN) // TITLE_PIXELS) or [""]
    lines = textwrap.wrap(caption, (width - 2 * MARGIN) // PIXELS_PER_CHARACTER)
    texts: list[Text] = []
    placed: list[tuple[int, int, np.ndarray]] = []
    top = MARGIN + TITLE * len(titles)
    for row in rows:
        top = _add_row(row, columns, top, (texts, placed))
    texts += [(MARGIN, top + LINE * (k + 0.5), line, {"color": GRAY}) for k, line in enumerate(lines)]
    canvas = np.full((top + LINE * len(lines) + MARGIN, width, 3), 255, np.uint8)
    for y, x, tile in placed:
        canvas[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    texts += [(MARGIN, MARGIN + TITLE * (k + 1 / 3), line, LARGE) for k, line in enumerate(titles)]
    return _write_texts(canvas, texts)


def _add_row(row: LayerTiles, columns: int, top: int, into: tuple[list[Text], list[Any]]) -> int:
    """Place the tiles and texts of one layer; give the first free pixel below them."""
    texts, placed = into
    if row.title:
        texts.append((MARGIN, top + LINE / 2, row.title, {"color": INK}))
        top += LINE + GAP
    height, width = int(row.tiles.shape[1]), int(row.tiles.shape[2])
    step = height + GAP + LINE * bool(row.labels)
    for index, tile in enumerate(row.tiles):
        y, x = top + index // columns * step, MARGIN + index % columns * (width + GAP)
        placed.append((y, x, tile))
        if row.labels:
            label = shorten_middle(row.labels[index], max(3, width // PIXELS_PER_CHARACTER))
            texts.append((x + width / 2, y + height + LINE / 2 + 1, label, {"color": GRAY, "ha": "center"}))
    return top + -(-len(row.tiles) // columns) * step + GAP


def _write_texts(canvas: np.ndarray, texts: Sequence[Text]) -> bytes:
    """Write texts on an image and give it as PNG; characters that no font has are escaped."""
    height, width = canvas.shape[:2]
    with fonts_for(text for _, _, text, _ in texts) as missing:
        figure = new_figure(figsize=(width / DPI, height / DPI), dpi=DPI)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.imshow(canvas, extent=(0, width, height, 0), interpolation="nearest")
        for x, y, text, style in texts:
            axes.text(x, y, escape_missing(text, missing), **PLAIN | style)
        content = io.BytesIO()
        write_png(figure, content)
    return content.getvalue()
