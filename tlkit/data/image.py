"""One decode for training and prediction: the square the network sees, and content hashes."""

import hashlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from tlkit.data.augment import ViewTransform
from tlkit.data.decode import drafted_size, open_rgb, opened_rgb

DECODE_VERSION = 2  # part of every cache key and of model.json; raise it when any pixel may change
MARGIN = 1.15  # an oversized image is this much larger than the network's input, for augmented views
CANONICAL_SIDE = 258  # pixels; JPEGs are reduced no further than this before equal pixels are looked for
PADDING = (128, 128, 128)


@dataclass(frozen=True)
class ImageSpec:
    """The square that a network sees.

    size    height and width, in pixels
    resize  how an image becomes square, a key of `RESIZES`: "crop" takes the central square, "pad" adds gray
            bars, "squash" changes the proportions
    """

    size: int
    resize: str = "crop"

    @property
    def oversized(self) -> "ImageSpec":
        """The larger square that augmented views are cut from.

        >>> ImageSpec(224).oversized.size
        258
        """
        return ImageSpec(round(MARGIN * self.size), self.resize)


@dataclass(frozen=True)
class DecodedImage:
    """One file, read once.

    pixels  uint8 (size, size, 3), RGB: the plain view; or (views, size, size, 3): all views
    sha256  of the file's bytes, hexadecimal
    group   32 hexadecimal digits; equal for files with equal pixels, whatever the options
    """

    pixels: np.ndarray
    sha256: str
    group: str


def decode_image(data: bytes, spec: ImageSpec, views: ViewTransform | None = None) -> DecodedImage:
    """Decode a file's bytes to the plain view, or to what `views` makes of it, and compute its hashes.

    raises: ImageError
    """
    oversized = spec.oversized
    image = open_rgb(data, oversized.size)
    sha256 = hashlib.sha256(data).hexdigest()
    pixels = _square(image, spec)
    if views:
        pixels = views(pixels, _square(image, oversized), sha256)
    canonical = image if _decodes_alike(data, oversized.size) else open_rgb(data, CANONICAL_SIDE)
    return DecodedImage(pixels, sha256, _pixel_digest(canonical))


def decode_square(data: bytes, spec: ImageSpec) -> np.ndarray:
    """Decode the square that a network sees of an image that is not augmented, in training and prediction alike.

    data: the bytes of a file in one of `decode.FORMATS`
    returns: uint8 (size, size, 3), RGB, 0 to 255; upright (EXIF applied), alpha on white, reduced
        with antialiasing in one resampling
    raises: ImageError, with a reason that the user understands
    """
    return _square(open_rgb(data, spec.oversized.size), spec)


def prepare_image(image: Image.Image, spec: ImageSpec) -> DecodedImage:
    """Make the square of an image that Pillow has opened already; it is no file, so it has no hashes.

    raises: ImageError
    """
    return DecodedImage(_square(opened_rgb(image), spec), "", "")


def _square(image: Image.Image, spec: ImageSpec) -> np.ndarray:
    return np.asarray(RESIZES[spec.resize](image, spec.size))


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


RESIZES = {"crop": _crop, "pad": _pad, "squash": _squash}


def _scaled(
    image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float] | None = None
) -> Image.Image:
    return image.resize(size, Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)


def _decodes_alike(data: bytes, side: int) -> bool:
    """Tell whether decoding for `side` gives the canonical pixels too, so that one decode is enough."""
    return side == CANONICAL_SIDE or drafted_size(data, side) == drafted_size(data, CANONICAL_SIDE)


def _pixel_digest(image: Image.Image) -> str:
    width, height = image.size
    return hashlib.sha256(b"%d %d " % (width, height) + image.tobytes()).hexdigest()[:32]
