"""One decode for training and prediction: the square the network sees, and content hashes."""

import hashlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from tlkit.data.augment import ViewTransform
from tlkit.data.decode import drafted_size, open_rgb

DECODE_VERSION = 2  # part of every cache key and of model.json; raise it when any pixel may change
MARGIN = 1.15  # a working image is this much larger than the network's input, for augmented views
CANONICAL_SIDE = 258  # JPEGs are reduced no further than this before equal pixels are looked for
PADDING = (128, 128, 128)


@dataclass(frozen=True)
class DecodedImage:
    """One file, read once.

    pixels  uint8 (image_size, image_size, 3), RGB: the plain view; or (views, …): all views of it
    sha256  of the file's bytes, hexadecimal
    group   32 hexadecimal digits; equal for files with equal pixels, whatever the options
    """

    pixels: np.ndarray
    sha256: str
    group: str


def decode_image(data: bytes, image_size: int, resize: str, views: ViewTransform | None = None) -> DecodedImage:
    """The plain view of a file's bytes, or what `views` makes of it, and what identifies them.

    raises: ImageError
    """
    side = oversized(image_size)
    image = open_rgb(data, side)
    canonical = image if _decodes_alike(data, side) else open_rgb(data, CANONICAL_SIDE)
    sha256 = hashlib.sha256(data).hexdigest()
    pixels = _square(image, image_size, resize)
    if views:
        pixels = views.of(pixels, _square(image, side, resize), sha256)
    return DecodedImage(pixels, sha256, _pixel_digest(canonical))


def decode_square(data: bytes, image_size: int, resize: str = "crop") -> np.ndarray:
    """What a network sees of a picture that is not augmented: the same for training and prediction.

    data: the bytes of a file in one of `decode.FORMATS`
    image_size: height and width of the network's input, in pixels
    resize: "crop" takes the central square, "pad" adds grey bars, "squash" changes the proportions
    returns: uint8 (image_size, image_size, 3), RGB, 0 to 255; upright (EXIF applied), alpha on
        white, reduced with antialiasing in one resampling
    raises: ImageError, with a reason a person understands
    """
    return _square(open_rgb(data, oversized(image_size)), image_size, resize)


def oversized(image_size: int) -> int:
    """Height and width of the working image, in pixels.

    >>> working_side(224)
    258
    """
    return round(MARGIN * image_size)


def _square(image: Image.Image, side: int, resize: str) -> np.ndarray:
    return np.asarray(RESIZES[resize](image, side))


def _crop(image: Image.Image, side: int) -> Image.Image:
    width, height = image.size
    short = min(width, height)
    left, top = (width - short) / 2, (height - short) / 2
    return _scaled(image, (side, side), (left, top, left + short, top + short))


def _pad(image: Image.Image, side: int) -> Image.Image:
    scale = side / max(image.size)
    width, height = (max(1, round(length * scale)) for length in image.size)
    square = Image.new("RGB", (side, side), PADDING)
    square.paste(_scaled(image, (width, height)), ((side - width) // 2, (side - height) // 2))
    return square


def _squash(image: Image.Image, side: int) -> Image.Image:
    return _scaled(image, (side, side))


def _scaled(
    image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float] | None = None
) -> Image.Image:
    return image.resize(size, Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)


RESIZES = {"crop": _crop, "pad": _pad, "squash": _squash}


def _decodes_alike(data: bytes, side: int) -> bool:
    """Whether decoding for `side` gives the canonical pixels too, so that one decode is enough."""
    return side == CANONICAL_SIDE or drafted_size(data, side) == drafted_size(data, CANONICAL_SIDE)


def _pixel_digest(image: Image.Image) -> str:
    width, height = image.size
    return hashlib.sha256(b"%d %d " % (width, height) + image.tobytes()).hexdigest()[:32]
