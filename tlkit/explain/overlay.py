"""A heat map on its image, and sheets of images with their heat maps and nearest training images."""

import math

import numpy as np
from PIL import Image

from tlkit.data.image import ImageSpec, visible_box
from tlkit.models.map_grid import MapGrid

STOPS = (0.0, 0.35, 0.65, 0.9, 1.0)  # of the heat
COLORS = ((46, 22, 110), (166, 32, 116), (239, 96, 60), (252, 196, 60), (255, 246, 190))  # there, RGB
OPACITY = 0.78  # of the strongest color
GRAYNESS = 0.55  # of the image below the colors
OUTSIDE = 0.45  # brightness of what the network does not see


def draw_overlay(image: Image.Image, heat: np.ndarray, spec: ImageSpec, max_side: int) -> Image.Image:
    """Draw a heat map on an image.

    Args:
        image: upright, RGB
        heat: float32 (size, size), 0 to 1, over the square that the network sees
        max_side: longer side of the result, in pixels, unless the image is smaller

    Returns:
        RGB; what the network does not see is darker
    """
    image = image.copy()
    image.thumbnail((max_side, max_side))
    values, inside = _over_image(heat, spec, *image.size)
    pixels = np.asarray(image, np.float32)
    gray = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    base = (1 - GRAYNESS) * pixels + GRAYNESS * gray[..., None]
    colored = np.stack([np.interp(values, STOPS, channel) for channel in zip(*COLORS, strict=True)], axis=-1)
    opacity = (OPACITY * np.clip(values, 0, 1) ** 0.8)[..., None]
    mixed = (1 - opacity) * base + opacity * colored
    return Image.fromarray(np.where(inside[..., None], mixed, OUTSIDE * base).round().astype(np.uint8))


def upsample(heat: np.ndarray, size: int, grid: MapGrid | None = None) -> np.ndarray:
    """Enlarge a heat map to the square that the network sees, and scale it to a maximum of 1.

    Args:
        heat: float32 (height, width), at least 0
        grid: where its positions are; spread evenly where it is None

    Returns:
        float32 (size, size); zeros stay zeros
    """
    grids = [grid or MapGrid.even(size, positions) for positions in heat.shape]
    (top, bottom), (left, right) = ((_position(0, at), _position(size, at)) for at in grids)
    spare = 2 + math.ceil(max(0, -top, -left, bottom - heat.shape[0], right - heat.shape[1]))
    padded = Image.fromarray(np.pad(heat.astype(np.float32), spare, mode="edge"))
    box = (left + spare, top + spare, right + spare, bottom + spare)
    enlarged = np.asarray(padded.resize((size, size), Image.Resampling.BICUBIC, box))
    enlarged = np.maximum(enlarged, 0)  # a cubic curve may fall below 0 beside a maximum
    highest = enlarged.max()
    return enlarged / highest if highest > 0 else np.zeros_like(enlarged)


def _position(edge: float, grid: MapGrid) -> float:
    """Find an edge between pixels on a map, whose first position lies between 0 and 1."""
    return (edge - 0.5 - grid.start) / grid.step + 0.5


def find_peak(heat: np.ndarray, spec: ImageSpec, width: int, height: int) -> tuple[int, int] | None:
    """Find the maximum of a heat map in an image.

    Args:
        heat: float32 (size, size), over the square that the network sees
        width, height: of the upright image, in pixels

    Returns:
        x and y in pixels of the image; None where nothing speaks for the class
    """
    if heat.max() <= 0:
        return None
    is_flat = heat.min() >= heat.max() * (1 - 1e-6)  # as of a map with one position
    row, column = (np.array(heat.shape) - 1) / 2 if is_flat else np.unravel_index(heat.argmax(), heat.shape)
    left, top, right, bottom = visible_box(spec, width, height)
    x = left + (column + 0.5) / heat.shape[1] * (right - left)
    y = top + (row + 0.5) / heat.shape[0] * (bottom - top)
    return int(np.clip(x, 0, width - 1)), int(np.clip(y, 0, height - 1))


def _over_image(heat: np.ndarray, spec: ImageSpec, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Put a heat map over an image of some size, and tell which pixels the network sees: (height, width) both."""
    left, top, right, bottom = (round(edge) for edge in visible_box(spec, width, height))
    stretched = Image.fromarray(heat).resize((max(1, right - left), max(1, bottom - top)), Image.Resampling.BICUBIC)
    values, inside = Image.new("F", (width, height)), Image.new("L", (width, height))
    values.paste(stretched, (left, top))
    inside.paste(255, (left, top, right, bottom))
    return np.asarray(values), np.asarray(inside) > 0
