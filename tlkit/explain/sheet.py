"""Explanations as PNG: each image, its heat map and its nearest training images side by side."""

import io
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from tlkit.data.decode import open_upright, read_file, to_rgb
from tlkit.errors import ImageError
from tlkit.explain.base import Explanation
from tlkit.explain.overlay import draw_overlay
from tlkit.utils.text import escape_control_chars, shorten_middle

SIDE, THUMBNAIL = 300, 118  # pixels: of an image and its heat map, of a training image
MARGIN, GAP = 16, 8
TITLE_SIZE, TEXT_SIZE, LINE = 15, 12, 17
INK, FAINT, LINE_COLOR = (34, 34, 34), (110, 110, 110), (225, 225, 225)
WIDTH = 2 * MARGIN + 2 * SIDE + GAP + 5 * (THUMBNAIL + GAP)
FIRST_LATER = 0x2000  # the font has the letters before this character, and few after
MAX_TITLE, MAX_CAPTION = 110, 16  # characters
METHOD_WORDS = {
    "gradcam": "Grad-CAM",
    "gradcam++": "Grad-CAM++",
    "occlusion": "occlusion",
    "gradient": "gradient × input",
    "template": "template × image",
    "parts": "descriptors left out",
}


def sheet_bytes(explanations: Sequence[Explanation], root: Path | None) -> bytes:
    """Draw a sheet of explanations, one below the other, and give the bytes of a PNG file.

    Args:
        root: the folder of the training images; None to read none of them
    """
    rows = [_draw_row(explanation, root) for explanation in explanations]
    sheet = Image.new("RGB", (WIDTH, sum(row.height for row in rows)), "white")
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    content = io.BytesIO()
    sheet.save(content, "PNG")
    return content.getvalue()


def _draw_row(explanation: Explanation, root: Path | None) -> Image.Image:
    """Draw one explanation: a title, and the images below it."""
    if explanation.image is None or explanation.heat is None or explanation.spec is None:
        row = Image.new("RGB", (WIDTH, 2 * MARGIN + 2 * LINE), "white")
        _write(row, (MARGIN, MARGIN), _title(explanation), TITLE_SIZE)
        return row
    image = ImageOps.contain(explanation.image, (SIDE, SIDE), Image.Resampling.BILINEAR)
    top = MARGIN + 2 * LINE + GAP
    row = Image.new("RGB", (WIDTH, top + max(image.height, THUMBNAIL + 2 * LINE) + MARGIN), "white")
    _write(row, (MARGIN, MARGIN), _title(explanation), TITLE_SIZE)
    _write(row, (MARGIN, MARGIN + LINE + 2), _subtitle(explanation), TEXT_SIZE, FAINT)
    row.paste(image, (MARGIN, top))
    row.paste(draw_overlay(image, explanation.heat, explanation.spec, SIDE), (MARGIN + image.width + GAP, top))
    left = MARGIN + 2 * (SIDE + GAP)
    if explanation.neighbors:
        reason = "" if root else ", not read: another machine made the run"
        _write(row, (left, top - 2), f"nearest training images{reason}", TEXT_SIZE, FAINT)
    for neighbor in explanation.neighbors:
        row.paste(_thumbnail(root / neighbor.path if root else None), (left, top + LINE))
        below = top + LINE + THUMBNAIL + 3
        _write(row, (left, below), shorten_middle(neighbor.label, MAX_CAPTION), TEXT_SIZE)
        _write(row, (left, below + LINE - 1), f"distance {neighbor.distance:.2f}", TEXT_SIZE, FAINT)
        left += THUMBNAIL + GAP
    ImageDraw.Draw(row).line((MARGIN, row.height - 1, WIDTH - MARGIN, row.height - 1), LINE_COLOR)
    return row


def _title(explanation: Explanation) -> str:
    name = explanation.path.rsplit("/", 1)[-1]
    if explanation.error is not None:
        return f"{name}: {explanation.error}"
    answer = f"{explanation.label}  {100 * (explanation.confidence or 0):.1f} %"
    return f"{answer}  ·  {name}" if explanation.status == "ok" else f"unknown ({explanation.reason})  ·  {name}"


def _subtitle(explanation: Explanation) -> str:
    words = f"{METHOD_WORDS[explanation.method]}: what speaks for '{explanation.explained}'"
    if explanation.explained != explanation.label:
        words += f", whose probability is {100 * (explanation.probability or 0):.1f} %"
    return words if explanation.peak else f"{words}: nothing in this image"


def _thumbnail(file: Path | None) -> Image.Image:
    """Read a training image: a centered square; gray where it may not or cannot be read."""
    blank = Image.new("RGB", (THUMBNAIL, THUMBNAIL), LINE_COLOR)
    if file is None:
        return blank
    try:
        image = to_rgb(open_upright(read_file(file), THUMBNAIL))
    except ImageError:
        return blank
    short, (width, height) = min(image.size), image.size
    left, top = (width - short) / 2, (height - short) / 2
    return image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR, (left, top, left + short, top + short))


def _write(
    image: Image.Image, position: tuple[int, int], text: str, size: int, color: tuple[int, int, int] = INK
) -> None:
    shown = escape_control_chars(shorten_middle(text, MAX_TITLE))
    shown = "".join(letter if ord(letter) < FIRST_LATER else ascii(letter)[1:-1] for letter in shown)
    ImageDraw.Draw(image).text(position, shown, color, _font(size))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Open the font that comes with matplotlib, without importing matplotlib, which takes longer than all else."""
    found = find_spec("matplotlib")
    folders = found.submodule_search_locations if found else None
    for folder in folders or ():
        file = Path(folder) / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if file.is_file():
            return ImageFont.truetype(str(file), size)
    return ImageFont.load_default(size)
