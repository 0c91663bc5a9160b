"""From the bytes of one file to an upright RGB image, or one sentence why not."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from tlkit.data.listing import describe_special_file
from tlkit.errors import ImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")  # JPEG includes MPO
MAX_PIXELS = 64_000_000
MAX_BYTES = 1 << 29
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
)
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}

# Pillow warns of broken metadata in images it reads well; what matters is an ImageError's reason.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def read_file(path: Path) -> bytes:
    """Read a regular file of at most `MAX_BYTES`; pipes and devices are never opened.

    raises: ImageError
    """
    try:
        status = path.stat()
        if problem := describe_special_file(status.st_mode):
            raise ImageError(f"is {problem}")
        if status.st_size > MAX_BYTES:
            raise ImageError(f"is {status.st_size >> 20} MiB large; at most {MAX_BYTES >> 20} MiB are read")
        return path.read_bytes()
    except FileNotFoundError:
        raise ImageError("does not exist") from None
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot be read ({getattr(error, 'strerror', None) or error})") from None


def open_rgb(data: bytes, short_side: int) -> Image.Image:
    """Decode to RGB, with JPEGs reduced while decoding but no further than `short_side` pixels.

    data: the bytes of a file in one of `FORMATS`, at most `MAX_PIXELS` pixels as decoded
    short_side: the shorter side the caller needs, in pixels
    returns: mode RGB, alpha on white, turned upright by its EXIF or XMP orientation
    raises: ImageError
    """
    with _reasons(data):
        _open(data).verify()  # finds a PNG's bad checksum, which load() overlooks
        image = _drafted(_open(data), short_side)
        image.load()
        return _upright_rgb(image)


def opened_rgb(image: Image.Image) -> Image.Image:
    """Make RGB of an image that Pillow has opened already, as `open_rgb` does of a file; it stays as it is.

    raises: ImageError
    """
    with _reasons(b""):
        _check_size(*image.size)
        return _upright_rgb(image)


def drafted_size(data: bytes, short_side: int) -> tuple[int, int]:
    """Find the (width, height) at which `open_rgb` would decode, from the header alone.

    raises: ImageError
    """
    with _reasons(data):
        return _drafted(_open(data), short_side).size


@contextmanager
def _reasons(data: bytes) -> Iterator[None]:
    """Turn whatever a decoder raises into an `ImageError` with a reason that the user understands."""
    try:
        yield
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"is {describe_bytes(data)}") from None
    except Image.DecompressionBombError:
        raise ImageError(f"declares far more than {MAX_PIXELS // 1_000_000} megapixels") from None
    except MemoryError:
        raise ImageError("needs more memory than there is") from None
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, ...
        raise ImageError(f"is damaged ({' '.join(str(error).split()) or type(error).__name__})") from None


def _open(data: bytes) -> Image.Image:
    if is_heif(data):
        return _open_heif(data)
    return Image.open(io.BytesIO(data), formats=FORMATS)


def _open_heif(data: bytes) -> Image.Image:
    try:
        import pillow_heif
    except ImportError:
        raise ImageError("is a HEIC photo, which needs `pip install 'tlkit[heic]'`") from None
    pillow_heif.register_heif_opener()
    return Image.open(io.BytesIO(data), formats=("HEIF", "AVIF"))


def _drafted(image: Image.Image, short_side: int) -> Image.Image:
    """Ask a JPEG decoder for the smallest of 1/1, 1/2, 1/4, 1/8 that still has `short_side` pixels.

    raises: ImageError where more than `MAX_PIXELS` would have to be decoded. A progressive JPEG
        holds all its coefficients in memory, so it counts at full size.
    """
    width, height = image.size
    if image.format in ("JPEG", "MPO"):
        shorter = min(width, height)
        image.draft(None, (-(-width * short_side // shorter), -(-height * short_side // shorter)))
    if "progressive" not in image.info:
        width, height = image.size
    _check_size(width, height)
    return image


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ImageError(f"has {width}×{height} pixels; at most {MAX_PIXELS // 1_000_000} megapixels are decoded")


def _upright_rgb(image: Image.Image) -> Image.Image:
    turn = UPRIGHT.get(_orientation(image))
    rgb = _to_rgb(image)
    return rgb.transpose(turn) if turn is not None else rgb


def _orientation(image: Image.Image) -> int:
    """1 to 8, or 1 where the tag is missing or nonsense."""
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # EXIF is free-form: a broken one must not cost a good image
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(scale_to_bytes(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def scale_to_bytes(gray: np.ndarray) -> np.ndarray:
    """Scale gray values of more than 8 bits to uint8.

    Integers up to 4095 are taken as 12-bit data, up to 65535 as 16-bit; floats from 0 to 1 as
    fractions, from 0 to 255 as they are; anything else is stretched from its smallest to its
    largest value.
    raises: ImageError for NaN or Inf

    >>> scale_to_bytes(np.array([0, 2048, 4095], "uint16")).tolist()
    [0, 128, 255]
    """
    if not np.isfinite(gray).all():
        raise ImageError("has pixels that are not numbers (NaN or infinite)")
    black, white = float(gray.min()), float(gray.max())
    usual_whites = (4095, 65535) if gray.dtype.kind in "iu" else (1, 255)
    if black >= 0 and white <= usual_whites[-1]:
        black, white = 0, next(usual for usual in usual_whites if white <= usual)
    else:
        white = max(white, black + 1)
    return np.rint((gray.astype(np.float64) - black) * (255 / (white - black))).astype(np.uint8)


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
