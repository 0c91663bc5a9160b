"""Small copies of images: read from a file, written into a page itself, put on a sheet with text."""

import base64
import io
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from tlkit.data.decode import open_upright, to_rgb
from tlkit.data.sources.files import read_file
from tlkit.errors import ImageError
from tlkit.utils.storage import Location
from tlkit.utils.text import escape_control_chars, shorten_middle

INK, FAINT, LINE_COLOR = (34, 34, 34), (110, 110, 110), (225, 225, 225)
FIRST_LATER = 0x2000  # the font has the letters before this character, and few after
MAX_TEXT = 110  # characters


def read_thumbnail(path: Location, max_side: int) -> Image.Image | None:
    """Read an image file as upright RGB with sides of at most `max_side` pixels; None where it is not an image."""
    try:
        image = to_rgb(open_upright(read_file(path), max_side))
    except ImageError:
        return None
    image.thumbnail((max_side, max_side))
    return image


def data_uri(image: Image.Image, quality: int = 80) -> str:
    """Write an RGB image as the address of a JPEG that is inside the page.

    >>> data_uri(Image.new("RGB", (8, 8)))[:26]
    'data:image/jpeg;base64,/9j'
    """
    content = io.BytesIO()
    image.save(content, "JPEG", quality=quality)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"


def read_square(file: Location | None, side: int) -> Image.Image:
    """Read the centered square of an image file; gray where there is no file, or it cannot be read."""
    blank = Image.new("RGB", (side, side), LINE_COLOR)
    if file is None:
        return blank
    try:
        image = to_rgb(open_upright(read_file(file), side))
    except ImageError:
        return blank
    short, (width, height) = min(image.size), image.size
    left, top = (width - short) / 2, (height - short) / 2
    return image.resize((side, side), Image.Resampling.BILINEAR, (left, top, left + short, top + short))


def write_text(
    image: Image.Image, position: tuple[int, int], text: str, size: int, color: tuple[int, int, int] = INK
) -> None:
    """Write a line of text on an image; what the font does not have is escaped."""
    shown = escape_control_chars(shorten_middle(text, MAX_TEXT))
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


def stack_rows(rows: Sequence[Image.Image], width: int) -> bytes:
    """Put the rows of a sheet below each other on white, and give the bytes of a PNG file.

    Args:
        width: of each row, in pixels
    """
    sheet = Image.new("RGB", (width, sum(row.height for row in rows)), "white")
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    content = io.BytesIO()
    sheet.save(content, "PNG")
    return content.getvalue()
