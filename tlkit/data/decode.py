"""From the bytes of one file to an upright RGB image, or one sentence why not."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from tlkit.data.dicom import PREAMBLE, is_dicom, open_dicom, read_dicom_header
from tlkit.data.sources.files import open_file
from tlkit.errors import ImageError
from tlkit.utils.storage import Location

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")  # JPEG includes MPO
MAX_MEGAPIXELS = 64  # of an image as decoded, unless an option says otherwise
MAX_ON_WHITE = 191  # mean luma, up to which a transparent image is put on white; else on black
ORIENTATION_TAG = 0x0112
UPRIGHT = {  # EXIF 2.32, tag Orientation: what turns the stored image upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIGNATURES = (  # (offset, bytes, what such a file is)
    (0, b"\xff\xd8", "a broken JPEG file"),
    (0, b"\x89PNG", "a broken PNG file"),
    (0, b"GIF8", "a broken GIF file"),
    (0, b"RIFF", "a broken WebP file, or sound or video"),
    (0, b"BM", "a broken BMP file"),
    (0, b"II*\0", "a TIFF or camera RAW file of a kind that cannot be read"),
    (0, b"MM\0*", "a TIFF or camera RAW file of a kind that cannot be read"),
    (4, b"ftypavi", "a broken or too large AVIF file"),
    (4, b"ftyphe", "a broken HEIC photo"),
    (4, b"ftypmif", "a broken HEIC photo"),
    (4, b"ftyp", "a video or an unknown kind of ISO media file"),
    (0, b"\0\0\1\0", "a Windows icon (ICO)"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\0\0\0\x0cjP", "a JPEG 2000 file"),
    (0, b"PK\3\4", "a ZIP archive"),
    (128, b"DICM", "a DICOM file"),
    (0, b"version https://git-lfs", "a Git LFS pointer: run `git lfs pull`"),
)
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}

# Pillow warns of broken metadata in images it reads well; what matters is an ImageError's reason.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # the limit here is `max_megapixels`


def open_upright(data: bytes, short_side: int, max_megapixels: float = MAX_MEGAPIXELS) -> Image.Image:
    """Decode and turn upright, with JPEGs reduced while decoding but no further than `short_side` pixels.

    Args:
        data: the bytes of a file in one of `FORMATS`
        short_side: the shorter side the caller needs, in pixels
        max_megapixels: of the image as decoded

    Returns:
        Mode RGB, or a mode of more than 8 bits; alpha on white or black

    Raises:
        ImageError
    """
    with _reasons(data):
        _open(data).verify()  # finds a PNG's bad checksum, which load() overlooks
        image = _drafted(_open(data), short_side, max_megapixels)
        image.load()
        return _upright(image)


def opened_upright(image: Image.Image, max_megapixels: float = MAX_MEGAPIXELS) -> Image.Image:
    """Do as `open_upright` with an image that Pillow has opened already; it stays as it is.

    Raises:
        ImageError
    """
    with _reasons(b""):
        _check_size(*image.size, max_megapixels)
        try:
            image.load()
        except ValueError as error:
            raise ImageError("is a closed image") if "closed" in str(error) else error from None
        return _upright(image)


def to_rgb(image: Image.Image, gray_range: tuple[float, float] | None = None) -> Image.Image:
    """Turn an upright image into RGB.

    Args:
        gray_range: the values that become black and white in images of more than 8 bits; None guesses from the image

    Raises:
        ImageError
    """
    return Image.fromarray(scale_to_bytes(np.asarray(image), gray_range)).convert("RGB") if is_deep(image) else image


def is_deep(image: Image.Image) -> bool:
    """Tell whether an image has gray values of more than 8 bits."""
    return image.mode.startswith("I") or image.mode == "F"


def drafted_size(data: bytes, short_side: int, max_megapixels: float = MAX_MEGAPIXELS) -> tuple[int, int]:
    """Find the (width, height) at which `open_upright` would decode, from the header alone.

    Raises:
        ImageError
    """
    with _reasons(data):
        return _drafted(_open(data), short_side, max_megapixels).size


def stored_size(data: bytes) -> tuple[str, tuple[int, int]]:
    """Read the format of a file, and its width and height as stored, from the header alone.

    Raises:
        ImageError
    """
    with _reasons(data):
        image = _open(data)
        return "JPEG" if image.format == "MPO" else image.format or "", image.size


@dataclass(frozen=True)
class Header:
    """Facts about an image that its file holds before decoding.

    Attributes:
        size: width and height as stored, in pixels
        is_deep: whether it has gray values of more than 8 bits
        is_series: whether it holds several pages or frames
    """

    size: tuple[int, int]
    is_deep: bool
    is_series: bool


def read_header(path: Location) -> Header | None:
    """Read the header of a file; None where it is not an image."""
    try:
        with open_file(path) as file:
            is_medical = is_dicom(file.read(PREAMBLE))
            file.seek(0)
            if is_medical:
                return Header(*read_dicom_header(file))
            with Image.open(file, formats=FORMATS) as image:
                is_series = image.format not in ("JPEG", "MPO") and getattr(image, "is_animated", False)
                return Header(image.size, is_deep(image), is_series)
    except Exception:  # reading the file later gives the reason
        return None


@contextmanager
def _reasons(data: bytes) -> Iterator[None]:
    """Turn every error of a decoder into an `ImageError` with a reason that the user understands."""
    try:
        yield
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"is {describe_bytes(data)}") from None
    except Image.DecompressionBombError:
        raise ImageError("declares more than 178 megapixels, which are never decoded") from None
    except MemoryError:
        raise ImageError("needs more memory than there is") from None
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, ...
        said = re.sub(r" \(\d+ bytes not processed\)", "", " ".join(str(error).split()))  # one reason for all
        raise ImageError(f"is damaged ({said or type(error).__name__})") from None


def _open(data: bytes) -> Image.Image:
    if is_heif(data):
        return _open_heif(data)
    if is_dicom(data):
        return open_dicom(data)
    return Image.open(io.BytesIO(data), formats=FORMATS)


def _open_heif(data: bytes) -> Image.Image:
    try:
        import pillow_heif
    except ImportError:
        raise ImageError("is a HEIC photo, which needs `pip install 'tlkit[heic]'`") from None
    pillow_heif.register_heif_opener()
    return Image.open(io.BytesIO(data), formats=("HEIF", "AVIF"))


def _drafted(image: Image.Image, short_side: int, max_megapixels: float) -> Image.Image:
    """Ask a JPEG decoder for the smallest of 1/1, 1/2, 1/4, 1/8 that still has `short_side` pixels.

    Raises:
        ImageError: if more than `max_megapixels` would have to be decoded. A progressive JPEG holds all its
            coefficients in memory, so it counts at full size.
    """
    width, height = image.size
    if image.format in ("JPEG", "MPO"):
        shorter = min(width, height)
        image.draft(None, (-(-width * short_side // shorter), -(-height * short_side // shorter)))
    if "progressive" not in image.info:
        width, height = image.size
    _check_size(width, height, max_megapixels)
    return image


def _check_size(width: int, height: int, max_megapixels: float) -> None:
    if width * height > 1_000_000 * max_megapixels:
        raise ImageError(f"has {width}×{height} pixels, more than --max-megapixels {max_megapixels:g} allows")


def _upright(image: Image.Image) -> Image.Image:
    turn = UPRIGHT.get(_orientation(image))
    image = _deep_gray(image) if is_deep(image) else _without_alpha(image)
    return image.transpose(turn) if turn is not None else image


def _orientation(image: Image.Image) -> int:
    """Read the orientation: 1 to 8, or 1 if the tag is missing or invalid."""
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # EXIF is free-form: a broken one must not cost a good image
        return 1


def _deep_gray(image: Image.Image) -> Image.Image:
    """Give an image of more than 8 bits in a mode that can be turned."""
    gray = np.asarray(image)
    return Image.fromarray(gray.astype(gray.dtype.newbyteorder("=")))


def _without_alpha(image: Image.Image) -> Image.Image:
    """Put a transparent image on white, or on black where what can be seen of it is nearly white (decision 021)."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        ground = "black" if _visible_brightness(image) > MAX_ON_WHITE else "white"
        return Image.alpha_composite(Image.new("RGBA", image.size, ground), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _visible_brightness(image: Image.Image) -> float:
    """Compute the mean luma of an RGBA image, 0 to 255, each pixel weighted by its opacity; 0 where none is visible."""
    alpha = np.asarray(image.getchannel("A"), np.float32)
    luma = np.asarray(image.convert("RGB").convert("L"), np.float32)
    return float(np.average(luma, weights=alpha)) if alpha.any() else 0.0


def scale_to_bytes(gray: np.ndarray, gray_range: tuple[float, float] | None = None) -> np.ndarray:
    """Scale gray values of more than 8 bits to uint8.

    Args:
        gray_range: the values that become 0 and 255; what lies outside is clipped. Where it is None, integers up to
            4095 are taken as 12-bit data, up to 65535 as 16-bit; floats from 0 to 1 as fractions, from 0 to 255 as they
            are; anything else is stretched from its smallest to its largest value

    Raises:
        ImageError: for NaN or Inf

    >>> scale_to_bytes(np.array([0, 2048, 4095], "uint16")).tolist()
    [0, 128, 255]
    """
    if not np.isfinite(gray).all():
        raise ImageError("has pixels that are not numbers (NaN or infinite)")
    darkest, brightest = float(gray.min()), float(gray.max())
    usual = usual_range(darkest, brightest, gray.dtype.kind in "iu")
    black, white = gray_range or usual or (darkest, max(brightest, darkest + 1))
    scaled = (gray.astype(np.float64) - black) * (255 / (white - black))
    return np.asarray(np.rint(scaled.clip(0, 255)), np.uint8)


def usual_range(darkest: float, brightest: float, are_integers: bool) -> tuple[float, float] | None:
    """Find the usual range that values lie in: of 12 or 16 bits, of fractions, of bytes; None for others.

    >>> usual_range(3, 4000, True), usual_range(0.1, 0.4, False), usual_range(-5, 70000, True)
    ((0, 4095), (0, 1), None)
    """
    usual_whites = (4095, 65535) if are_integers else (1, 255)
    if darkest >= 0 and brightest <= usual_whites[-1]:
        return 0, next(usual for usual in usual_whites if brightest <= usual)
    return None


def is_heif(data: bytes) -> bool:
    """Tell whether a file is HEIC; its box of brands tells it from AVIF where the first brand is general."""
    brands = data[8 : int.from_bytes(data[:4], "big")]
    return data[4:8] == b"ftyp" and brands[:4] in HEIF_BRANDS and b"avif" not in brands and b"avis" not in brands


def describe_bytes(data: bytes) -> str:
    """Name what a file that no decoder accepts seems to be, as the end of a sentence."""
    if not data:
        return "empty (0 bytes)"
    for offset, signature, kind in SIGNATURES:
        if data[offset : offset + len(signature)] == signature:
            return kind
    start = data[:512].lstrip().lower()
    for mark, kind in ((b"<svg", "an SVG drawing"), (b"<html", "a web page"), (b"<!doctype html", "a web page")):
        if mark in start:
            return f"{kind}, not a photo"
    is_text = all(byte >= 32 or byte in b"\t\r\n\f" for byte in data[:512])
    return "text, not an image" if is_text else "not an image of a known format"
