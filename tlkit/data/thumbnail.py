"""Small copies of images for pages: read from a file, and written into the page itself."""

import base64
import io
from pathlib import Path

from PIL import Image

from tlkit.data.decode import open_upright, read_file, to_rgb
from tlkit.errors import ImageError


def read_thumbnail(path: Path, max_side: int) -> Image.Image | None:
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
