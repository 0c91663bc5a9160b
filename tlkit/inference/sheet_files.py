"""A contact sheet of predictions as a page that needs no other file, or as a PNG."""

import io
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment
from PIL import Image

from tlkit.data.thumbnail import data_uri, read_thumbnail
from tlkit.errors import OptionError
from tlkit.inference.predictor import Prediction
from tlkit.inference.sheet import MAX_SHOWN, Limits, PredictionSheet, Section, Tile, count_of
from tlkit.utils.files import check_new_file, write_new
from tlkit.utils.parallel import count_workers
from tlkit.utils.plotting import DPI, GRAY, INK, ORANGE, escape_missing, fonts_for, new_figure, require_matplotlib
from tlkit.utils.storage import as_location
from tlkit.utils.text import escape_control_chars, shorten_middle

PAGE_LIMITS = Limits(sections=200, images=720, min_images=2, max_images=MAX_SHOWN)  # at most about 4 MB
PAGE_SIDE = 144  # pixels of a thumbnail
QUALITY = 75  # of its JPEG
NAME_WIDTH = 32  # columns of a file name on a page; half of them in a PNG


def check_sheet_file(file: Path) -> None:
    """Check, before any work, that a sheet can be written.

    Raises:
        OptionError: if the ending is not .png or .html, if `file` exists or cannot be written
        ModelError: for a .png, if matplotlib is not installed
    """
    if file.suffix.lower() not in WRITERS:
        raise OptionError(f"'{file}' does not end in .png or .html; choose one of these for the contact sheet.")
    if file.suffix.lower() == ".png":
        require_matplotlib("a .png contact sheet")
    check_new_file(file)


def write_sheet(predictions: Iterable[Prediction], file: str | os.PathLike[str]) -> None:
    """Write a contact sheet of predictions: a PNG, or a page that needs no other file.

    Images that are not files (bytes, arrays) are named but not shown.

    Args:
        predictions: as `predict` gives them
        file: a new file; its ending, .png or .html, chooses

    Raises:
        OptionError: if the ending is another one, if `file` exists or cannot be written
    """
    check_sheet_file(Path(file))
    sheet = PredictionSheet()
    for prediction in predictions:
        sheet.add(prediction)
    save_sheet(sheet, Path(file))


def save_sheet(sheet: PredictionSheet, file: Path) -> None:
    """Write the predictions that a sheet has taken.

    Raises:
        OptionError: if `file` exists or cannot be written
    """
    WRITERS[file.suffix.lower()](sheet, file)


def _read_thumbnails(tiles: Iterable[Tile], side: int) -> Iterator[Image.Image | None]:
    """Read images in their order, several at a time; None where there is no image."""
    with ThreadPoolExecutor(count_workers()) as pool:
        yield from pool.map(partial(read_thumbnail, max_side=side), [as_location(tile.path) for tile in tiles])


def _draw_page(sheet: PredictionSheet, file: Path) -> None:
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files("tlkit.inference").joinpath("sheet.html").read_text(encoding="utf-8"))
    shown, limit = sheet.choose_sections(PAGE_LIMITS)
    names = sheet.section_names()
    max_count = max((section.count for section in sheet.sections), default=1)
    counts = [
        {"name": names[section], "count": section.count, "part": section.count / max_count, "number": number}
        | {"is_shown": section in shown, "is_class": section.status == "ok"}
        for number, section in enumerate(sheet.sections)
    ]
    page = template.render(
        folder=escape_control_chars(sheet.folder),
        summary=sheet.summary(),
        counts=counts,
        sections=[
            _page_section(sheet, section, limit) | {"name": names[section], "number": number}
            for number, section in enumerate(sheet.sections)
            if section in shown
        ],
        num_left_out=len(sheet.sections) - len(shown),
    )
    write_new(file, page)


def _page_section(sheet: PredictionSheet, section: Section, limit: int) -> dict[str, Any]:
    parts = section.choose_tiles(limit if section.status == "ok" else PAGE_LIMITS.max_images)
    if section.status == "error":
        thumbnails = iter([""] * MAX_SHOWN)
    else:
        images = _read_thumbnails(parts[0] + parts[1], PAGE_SIDE)
        thumbnails = (data_uri(image, QUALITY) if image else "" for image in images)
    first, last = ([_page_tile(sheet, tile, next(thumbnails)) for tile in part] for part in parts)
    hidden = section.count - len(first) - len(last)
    return {"status": section.status, "count": section.count, "first": first, "last": last, "hidden": hidden}


def _page_tile(sheet: PredictionSheet, tile: Tile, thumbnail: str) -> dict[str, Any]:
    path = sheet.short_path(tile)
    shown = {"source": thumbnail, "path": path, "name": shorten_middle(os.path.basename(path), NAME_WIDTH)}  # noqa: PTH119
    return shown | {"figure": tile.figure, "note": tile.note, "percent": round(-100 * tile.rank)}


PNG_LIMITS = Limits(sections=30, images=240, min_images=10, max_images=30)
COLUMNS, SIDE, GAP, MARGIN = 10, 112, 12, 24  # images in a row; pixels
TITLE, HEADING, CAPTION = 72, 44, 52  # pixels: height of the title, of the name of a class, of what is below an image
MAX_UNREADABLE = 12  # files that are named


class _Drawing:
    """Texts and images from top to bottom, in pixels, which become one image."""

    def __init__(self) -> None:
        self.y, self._texts, self._images = float(MARGIN), list[tuple[Any, ...]](), list[tuple[Any, ...]]()

    def text(self, x: float, words: str, columns: int, down: float = 0, **style: Any) -> None:
        """Write words, shortened to a number of columns; their upper left corner is `down` pixels below `y`."""
        looks = {"fontsize": 8, "color": INK} | style
        self._texts.append((x, self.y + down, words, columns, looks))

    def image(self, x: float, image: Image.Image) -> None:
        """Put an image into the middle of a square of `SIDE` pixels."""
        self._images.append((round(x + (SIDE - image.width) / 2), round(self.y + (SIDE - image.height) / 2), image))

    @property
    def words(self) -> list[str]:
        """All texts, for which fonts are needed."""
        return [words for _, _, words, _, _ in self._texts]

    def draw(self, missing: set[str]) -> Image.Image:
        """Draw everything; characters that no font has are escaped."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.transforms import IdentityTransform

        width, height = 2 * MARGIN + COLUMNS * (SIDE + GAP) - GAP, round(self.y + MARGIN)
        sheet = Image.new("RGB", (width, height), "white")
        for x, y, image in self._images:
            sheet.paste(image, (x, y))
        figure = new_figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="none")
        for x, y, words, columns, looks in self._texts:
            shown = shorten_middle(escape_missing(words, missing), columns)
            figure.text(x, height - y, shown, va="top", transform=IdentityTransform(), parse_math=False, **looks)
        texts: Any = FigureCanvasAgg(figure)
        texts.draw()
        written = Image.fromarray(np.asarray(texts.buffer_rgba()))
        sheet.paste(written, (0, 0), written)
        return sheet


def _draw_png(sheet: PredictionSheet, file: Path) -> None:
    drawing, names = _Drawing(), sheet.section_names()
    drawing.text(MARGIN, sheet.summary(), 100, fontsize=13)
    drawing.text(MARGIN, escape_control_chars(sheet.folder), 170, TITLE * 0.4, color=GRAY)
    drawing.y += TITLE
    shown, limit = sheet.choose_sections(PNG_LIMITS)
    for section in shown:
        drawing.text(MARGIN, names[section], 90, fontsize=11, weight="bold")
        if section.status == "error":
            _draw_unreadable(drawing, sheet, section)
        else:
            _draw_images(drawing, sheet, section, limit)
    if left_out := len(sheet.sections) - len(shown):
        drawing.text(MARGIN, f"{left_out:,} more classes with fewer images", 80, color=GRAY)
        drawing.y += HEADING
    content = io.BytesIO()
    with fonts_for(drawing.words) as missing:
        drawing.draw(missing).save(content, "PNG")
    write_new(file, content.getvalue())


def _draw_images(drawing: _Drawing, sheet: PredictionSheet, section: Section, limit: int) -> None:
    """Draw the images of a class in rows, each with its confidence and its name."""
    first, last = section.choose_tiles(limit if section.status == "ok" else PNG_LIMITS.max_images)
    tiles, few = first + last, count_of(section.count, "image")
    few += f"; the {len(first)} most confident and the {len(last)} least confident are shown" * bool(last)
    drawing.text(MARGIN, few, 100, HEADING / 2, color=GRAY)
    drawing.y += HEADING
    for number, (tile, image) in enumerate(zip(tiles, _read_thumbnails(tiles, SIDE), strict=True)):
        column = number % COLUMNS
        drawing.y += (SIDE + CAPTION) * (column == 0 and number > 0)
        x = MARGIN + column * (SIDE + GAP)
        drawing.image(x, image or Image.new("RGB", (SIDE, SIDE), "#eeeeee"))
        drawing.text(x, tile.figure, NAME_WIDTH // 2, SIDE + 3, weight="bold")
        if section.status == "ok":
            drawing.text(x + SIDE, tile.note, 11, SIDE + 4, color=ORANGE, ha="right", fontsize=7)
        name = os.path.basename(sheet.short_path(tile))  # noqa: PTH119
        drawing.text(x, name, NAME_WIDTH // 2, SIDE + 18, color=GRAY, fontsize=7)
    drawing.y += SIDE + CAPTION + GAP


def _draw_unreadable(drawing: _Drawing, sheet: PredictionSheet, section: Section) -> None:
    """Name files that are not images, with the reason of each."""
    first, last = section.choose_tiles(MAX_UNREADABLE)
    few = count_of(section.count, "file")
    few += f"; the first {len(first)} and the last {len(last)} are named" * bool(last)
    drawing.text(MARGIN, few, 100, HEADING / 2, color=GRAY)
    drawing.y += HEADING
    for tile in first + last:
        drawing.text(MARGIN, f"{shorten_middle(sheet.short_path(tile), 60)}  {tile.note}", 170)
        drawing.y += 17
    drawing.y += GAP


WRITERS = {".html": _draw_page, ".png": _draw_png}
