"""DICOM files as images: one frame, with its rescaling and its window applied."""

import io
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image

from tlkit.errors import ImageError

if TYPE_CHECKING:
    from pydicom import Dataset

PREAMBLE = 132  # bytes; the last four say that a file is DICOM


def is_dicom(data: bytes) -> bool:
    """Tell from its first bytes whether a file is DICOM."""
    return data[128:PREAMBLE] == b"DICM"


def open_dicom(data: bytes) -> Image.Image:
    """Decode a DICOM file.

    Gray values are rescaled (PS3.3 C.7.6.16.2.9) and shown through the first window of the file, if it has one
    (C.11.2.1.2): mode L. Without a window they stay as they are: mode F. MONOCHROME1 is inverted. Color gives RGB.

    Raises:
        ImageError
    """
    dataset = _read(io.BytesIO(data))
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > 1:
        raise ImageError(f"is a DICOM file with {frames} frames; expected one: export the frames as images")
    if "PixelData" not in dataset:
        raise ImageError("is a DICOM file without an image")
    pixels = _pixels(dataset)
    image = Image.fromarray(pixels) if pixels.ndim == 3 else Image.fromarray(_shown(dataset, pixels))
    image.format = "DICOM"
    return image


def read_dicom_header(file: BinaryIO) -> tuple[tuple[int, int], bool, bool]:
    """Read width and height, whether the values have no window, and whether there are several frames.

    Raises:
        ImageError
    """
    dataset = _read(file, stop_before_pixels=True)
    size = int(dataset.get("Columns") or 0), int(dataset.get("Rows") or 0)
    is_gray = int(dataset.get("SamplesPerPixel") or 1) == 1
    return size, is_gray and _window(dataset) is None, int(dataset.get("NumberOfFrames") or 1) > 1


def _read(file: Any, **options: Any) -> "Dataset":
    try:
        import pydicom
    except ImportError:
        raise ImageError("is a DICOM file, which needs `pip install 'tlkit[dicom]'`") from None
    return pydicom.dcmread(file, **options)


def _pixels(dataset: "Dataset") -> np.ndarray:
    """Decode the pixels: (height, width), or uint8 (height, width, 3) in RGB."""
    from pydicom.pixels.processing import convert_color_space

    try:
        pixels = np.asarray(dataset.pixel_array)
    except (NotImplementedError, RuntimeError, AttributeError):  # packages for its compression are missing
        raise ImageError(f"is a DICOM file whose pixels cannot be decoded ({_compression(dataset)})") from None
    photometric = str(dataset.get("PhotometricInterpretation", ""))
    if pixels.ndim == 3 and photometric.startswith("YBR"):
        pixels = convert_color_space(pixels, photometric, "RGB")
    if pixels.ndim == 3 and pixels.dtype != np.uint8:
        raise ImageError("is a DICOM file in color with more than 8 bits")
    return pixels


def _compression(dataset: "Dataset") -> str:
    syntax = getattr(dataset.file_meta, "TransferSyntaxUID", None)
    return syntax.name if syntax else "unknown compression"


def _shown(dataset: "Dataset", stored: np.ndarray) -> np.ndarray:
    """Rescale gray values and apply the window: uint8, or float32 without one."""
    slope, intercept = float(dataset.get("RescaleSlope") or 1), float(dataset.get("RescaleIntercept") or 0)
    values: np.ndarray = stored.astype(np.float32) * slope + intercept
    is_inverted = dataset.get("PhotometricInterpretation") == "MONOCHROME1"
    window = _window(dataset)
    if window is None:
        values *= -1 if is_inverted else 1
        return values
    center, width = window
    shown: np.ndarray = ((values - (center - 0.5)) / max(width - 1, 1e-6) + 0.5).clip(0, 1)
    gray: np.ndarray = np.rint(255 * (1 - shown if is_inverted else shown)).astype(np.uint8)
    return gray


def _window(dataset: "Dataset") -> tuple[float, float] | None:
    """Give center and width of the first window; None without one."""
    values = []
    for name in ("WindowCenter", "WindowWidth"):
        value = dataset.get(name)
        if value is None or value == "":
            return None
        values.append(float(value[0] if isinstance(value, (list, tuple)) or hasattr(value, "append") else value))
    return (values[0], values[1]) if values[1] >= 1 else None
