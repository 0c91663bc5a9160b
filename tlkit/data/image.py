"""One decode for training and prediction: the square the network sees, and content hashes."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from tlkit.data.appearance import describe_appearance
from tlkit.data.augment import ViewTransform
from tlkit.data.decode import MAX_MEGAPIXELS, drafted_size, is_deep, open_upright, opened_upright, stored_size, to_rgb

DECODE_VERSION = 4  # part of every cache key and of model.json; raise it when any pixel may change
MARGIN = 1.15  # an oversized image is this much larger than the network's input, for augmented views
CANONICAL_SIDE = 258  # pixels; JPEGs are reduced no further than this before equal pixels are looked for
PADDING = (128, 128, 128)


@dataclass(frozen=True)
class ImageSpec:
    """The square that a network sees, and how a file becomes one.

    Attributes:
        size: height and width, in pixels
        resize: how an image becomes square, a key of `RESIZES`: "crop" takes the central square, "pad" adds gray bars,
            "squash" changes the proportions
        gray_range: values that become black and white, in images of more than 8 bits; None guesses for each
        max_megapixels: of an image as decoded; a larger one cannot be read
    """

    size: int
    resize: str = "crop"
    gray_range: tuple[float, float] | None = None
    max_megapixels: float = MAX_MEGAPIXELS

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "ImageSpec":
        """Read the entries of a model.json.

        Raises:
            KeyError
            TypeError
            ValueError: if they are not what `as_json` gives
        """
        low, high = (0.0, 1.0) if content["gray_range"] is None else map(float, content["gray_range"])
        gray_range = None if content["gray_range"] is None else (low, high)
        size, resize = int(content["image_size"]), str(content["resize"])
        spec = ImageSpec(size, resize, gray_range, float(content["max_megapixels"]))
        if not (1 <= spec.size <= 4096 and spec.resize in RESIZES and 0 < high - low < math.inf):
            raise ValueError("impossible values")
        return spec

    def as_json(self) -> dict[str, Any]:
        """Give the entries of model.json."""
        values = asdict(self)
        return {"image_size": values.pop("size"), **values}

    @property
    def oversized(self) -> "ImageSpec":
        """The larger square that augmented views are cut from.

        >>> ImageSpec(224).oversized.size
        258
        """
        return replace(self, size=round(MARGIN * self.size))


@dataclass(frozen=True)
class DecodedImage:
    """One file, read once.

    Attributes:
        pixels: uint8 (size, size, 3), RGB: the plain view; or (views, size, size, 3): all views
        sha256: of the file's bytes, hexadecimal
        digest: 32 hexadecimal digits; equal for files with equal pixels, under all options
        appearance: an `APPEARANCE`; None where the image is not a file
    """

    pixels: np.ndarray
    sha256: str = ""
    digest: str = ""
    appearance: np.void | None = None


def decode_image(data: bytes, spec: ImageSpec, views: ViewTransform | None = None) -> DecodedImage:
    """Decode a file's bytes to the plain view, or to what `views` makes of it, and compute its hashes.

    Raises:
        ImageError
    """
    oversized = spec.oversized
    upright = open_upright(data, oversized.size, spec.max_megapixels)
    image = to_rgb(upright, spec.gray_range)
    sha256 = hashlib.sha256(data).hexdigest()
    pixels = _square(image, spec)
    if views:
        pixels = views(pixels, _square(image, oversized), sha256)
    file_format, size = stored_size(data)
    canonical = upright
    if file_format == "JPEG" and not _decodes_alike(data, oversized.size, spec.max_megapixels):
        canonical = open_upright(data, CANONICAL_SIDE, spec.max_megapixels)
    appearance = describe_appearance(to_rgb(canonical, spec.gray_range), size, file_format, len(data))
    return DecodedImage(pixels, sha256, _pixel_digest(canonical), appearance)


def decode_square(data: bytes, spec: ImageSpec) -> np.ndarray:
    """Decode the square that a network sees of an image that is not augmented, in training and prediction alike.

    Args:
        data: the bytes of a file in one of `decode.FORMATS`

    Returns:
        uint8 (size, size, 3), RGB, 0 to 255; upright (EXIF applied), alpha on white or black, reduced with antialiasing
        in one resampling

    Raises:
        ImageError: with a reason that the user understands
    """
    upright = open_upright(data, spec.oversized.size, spec.max_megapixels)
    return _square(to_rgb(upright, spec.gray_range), spec)


def prepare_image(image: Image.Image, spec: ImageSpec) -> DecodedImage:
    """Make the square of an image that Pillow has opened already; it is not a file, so it has no hashes.

    Raises:
        ImageError
    """
    upright = opened_upright(image, spec.max_megapixels)
    return DecodedImage(_square(to_rgb(upright, spec.gray_range), spec))


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


def visible_box(spec: ImageSpec, width: float, height: float) -> tuple[float, float, float, float]:
    """Find the part of an upright image that the network sees: left, top, right and bottom of its square.

    Args:
        width, height: of the image, in pixels

    Returns:
        Pixels of the image; with the resize "pad" the square is larger than the image

    >>> visible_box(ImageSpec(224, "crop"), 400, 300), visible_box(ImageSpec(224, "pad"), 400, 300)
    ((50.0, 0.0, 350.0, 300.0), (0.0, -50.0, 400.0, 350.0))
    """
    if spec.resize == "squash":
        return 0.0, 0.0, width, height
    side = min(width, height) if spec.resize == "crop" else max(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def _scaled(
    image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float] | None = None
) -> Image.Image:
    return image.resize(size, Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)


def _decodes_alike(data: bytes, side: int, max_megapixels: float) -> bool:
    """Tell whether decoding for `side` gives the canonical pixels too, so that one decode is enough."""
    sizes = (drafted_size(data, short_side, max_megapixels) for short_side in (side, CANONICAL_SIDE))
    return side == CANONICAL_SIDE or len(set(sizes)) == 1


def _pixel_digest(image: Image.Image) -> str:
    """Hash the upright pixels; deep ones as they are stored, for a narrow range of gray makes different ones equal."""
    width, height = image.size
    pixels = image.mode.encode() + image.tobytes() if is_deep(image) else image.tobytes()
    return hashlib.sha256(b"%d %d " % (width, height) + pixels).hexdigest()[:32]
