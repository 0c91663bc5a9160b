"""The appearance of an image in about a kilobyte: a thumbnail, its size, colors, border and sharpness.

It is computed in the pass that decodes the images and cached beside their features, so that looking for near
duplicates, shortcuts and bad images reads no image again.
"""

from typing import Any, Protocol, cast

import numpy as np
from PIL import Image

from tlkit.utils.color import LUMA

SIDE = 32  # pixels of a thumbnail
_FINE = 128  # pixels of the reduced image that details are computed from
_BORDER = 2  # pixels of a thumbnail, the width of the frame that `border` is the mean of

APPEARANCE = np.dtype(
    [
        ("thumbnail", "u1", (SIDE, SIDE)),  # gray; proportions are not kept
        ("width", "u4"),  # of the upright image, in pixels
        ("height", "u4"),
        ("num_bytes", "u4"),  # of the file
        ("format", "S8"),  # as Pillow calls it
        ("color", "f4", (3,)),  # mean of red, green and blue, 0 to 255
        ("border", "f4", (3,)),  # the same, of a frame of a sixteenth of each side
        ("border_deviation", "f4"),  # standard deviation of the gray values in that frame
        ("contrast", "f4"),  # standard deviation of the gray values
        ("sharpness", "f4"),  # standard deviation of their Laplacian, where the longer side is 128 pixels
    ]
)


class Appearances(Protocol):
    """An array of `APPEARANCE`s, or what reads like one: positions give some of them, a name gives a field of all."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...


def describe_appearance(image: Image.Image, size: tuple[int, int], file_format: str, num_bytes: int) -> np.void:
    """Describe one image: an `APPEARANCE`.

    image: RGB, upright, at least 258 pixels high and wide where the file is
    size: width and height of the file as stored, before it was reduced or turned
    """
    luma = image.convert("L").resize((_FINE, _FINE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    gray = np.asarray(luma, np.float32)
    small = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=1.0)
    colors = np.asarray(small, np.float32)
    frame = np.ones((SIDE, SIDE), bool)
    frame[_BORDER:-_BORDER, _BORDER:-_BORDER] = False
    shorter, longer = sorted(size)
    wide = image.width >= image.height
    described = np.zeros((), APPEARANCE)
    described["thumbnail"] = np.rint(gray.reshape(SIDE, _FINE // SIDE, SIDE, _FINE // SIDE).mean(axis=(1, 3)))
    described["width"], described["height"] = (longer, shorter) if wide else (shorter, longer)
    described["num_bytes"], described["format"] = min(num_bytes, 2**32 - 1), file_format.encode()
    described["color"] = colors.mean(axis=(0, 1))
    described["border"] = colors[frame].mean(axis=0)
    described["border_deviation"] = (colors[frame] @ np.array(LUMA, np.float32)).std()
    described["contrast"] = gray.std()
    described["sharpness"] = _laplacian(gray).std()
    return cast(np.void, described[()])


def _laplacian(gray: np.ndarray) -> np.ndarray:
    """Sum the four neighbors and subtract four times the pixel, without the outermost pixels."""
    inner = gray[1:-1, 1:-1]
    laplacian: np.ndarray = gray[:-2, 1:-1] + gray[2:, 1:-1] + gray[1:-1, :-2] + gray[1:-1, 2:] - 4 * inner
    return laplacian
