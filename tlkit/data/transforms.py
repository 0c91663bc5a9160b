"""Random affine maps, color matrices, noise and erasing, on plain numbers and arrays.

Maps and colors are drawn for many images at once, which takes a tenth of the time.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tlkit.utils.color import LUMA

MAX_ASPECT = 4 / 3  # of a random crop, the longer side to the shorter
MIDDLE_GRAY = 128  # contrast turns about it, and it hides what is erased
MIN_ERASED = 0.02  # of the area
MAX_DRAWS = 16  # for the map and the colors of an image
MAX_ERASED_ASPECT = 3.3  # of an erased rectangle, the longer side to the shorter


@dataclass(frozen=True)
class AffineLimits:
    """Limits of a random affine map; each draw is uniform within its limit.

    Attributes:
        hflip: mirror left to right in half of the draws
        rotation: degrees, either way
        zoom: fraction by which a view is enlarged or reduced at most
        shift: fraction of the width, and of the height, either way
        shear: degrees, either way
        crop: minimum fraction of the area a view shows; 1 for the whole (random resized crop: Szegedy 2014)
    """

    hflip: bool = False
    rotation: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    shear: float = 0.0
    crop: float = 1.0


class ImageDraws:
    """Uniform random numbers for several images at once; those of an image depend on its key alone.

    Args:
        keys: one per image
    """

    def __init__(self, keys: Sequence[str]) -> None:
        stream = b"".join(hashlib.shake_128(key.encode()).digest(8 * MAX_DRAWS) for key in keys)
        numbers = np.frombuffer(stream, "<u8").reshape(-1, MAX_DRAWS) >> 11  # a float64 has 53 bits
        self._columns = iter(np.ascontiguousarray(numbers.T) * 2.0**-53)

    def uniform(self, low: float | np.ndarray, high: float | np.ndarray) -> np.ndarray:
        """Draw a number from `low` up to `high` for each image: float64 (images,)."""
        drawn: np.ndarray = low + (high - low) * next(self._columns)
        return drawn


def sample_affine(side: int, image_size: int, limits: AffineLimits, draws: ImageDraws) -> np.ndarray:
    """Draw where each pixel of a view comes from: (a, b, c, d, e, f), x' = a x + b y + c, y' = d x + e y + f.

    A rectangle of random size, shape and position inside the square, enlarged or reduced, sheared,
    turned around its center, shifted, mirrored.

    Args:
        side: height and width of the square that is sampled, in pixels
        image_size: height and width of the view, in pixels

    Returns:
        float64 (images, 6)
    """
    width, height, middle_x, middle_y = _sample_rectangle(side, limits.crop, draws)
    zoom = np.exp(draws.uniform(-1, 1) * math.log1p(limits.zoom))
    middle_x = middle_x + side * draws.uniform(-limits.shift, limits.shift)
    middle_y = middle_y + side * draws.uniform(-limits.shift, limits.shift)
    angle = np.radians(draws.uniform(-limits.rotation, limits.rotation))
    lean = np.tan(np.radians(draws.uniform(-limits.shear, limits.shear)))
    mirror = np.where(draws.uniform(0, 1) < 0.5, -1, 1) if limits.hflip else 1
    across, down = mirror * zoom * width / image_size, zoom * height / image_size
    a, b = np.cos(angle) * across, (np.cos(angle) * lean - np.sin(angle)) * down
    d, e = np.sin(angle) * across, (np.sin(angle) * lean + np.cos(angle)) * down
    half = image_size / 2
    return np.stack([a, b, middle_x - (a + b) * half, d, e, middle_y - (d + e) * half], axis=1)


def _sample_rectangle(
    side: int, min_area: float, draws: ImageDraws
) -> tuple[np.ndarray | float, np.ndarray | float, np.ndarray | float, np.ndarray | float]:
    """Draw the width, height and center of a rectangle inside a square."""
    if min_area == 1:
        return side, side, side / 2, side / 2
    area = draws.uniform(min_area, 1)
    aspect = np.exp(draws.uniform(-1, 1) * math.log(MAX_ASPECT))
    width, height = (np.minimum(1.0, np.sqrt(square)) * side for square in (area * aspect, area / aspect))
    middle_x, middle_y = (draws.uniform(length / 2, side - length / 2) for length in (width, height))
    return width, height, middle_x, middle_y


def sample_color_matrix(brightness: float, contrast: float, saturation: float, draws: ImageDraws) -> np.ndarray | None:
    """Draw brightness, contrast and saturation as one product: Pillow's 3 × 4 matrix; None where nothing changes.

    Args:
        brightness, contrast, saturation: maximum change of each, as a fraction either way

    Returns:
        float64 (images, 12)
    """
    limits = brightness, contrast, saturation
    if not any(limits):
        return None
    factors = [1 + draws.uniform(-limit, limit)[:, None, None] for limit in limits]
    gray = np.tile(np.array(LUMA), (3, 1))
    mixed = factors[0] * factors[1] * (factors[2] * np.eye(3) + (1 - factors[2]) * gray)
    offset = np.broadcast_to((1 - factors[1]) * MIDDLE_GRAY, (len(mixed), 3, 1))
    return np.concatenate([mixed, offset], axis=2).reshape(-1, 12)


def add_noise(view: np.ndarray, deviation: float, random: np.random.Generator) -> np.ndarray:
    """Add Gaussian noise to every value.

    Args:
        view: uint8 (…)
        deviation: standard deviation as a fraction of white
    """
    noise = random.standard_normal(view.shape, dtype=np.float32) * np.float32(255 * deviation)
    noisy: np.ndarray = np.clip(view + noise, 0, 255).round().astype(np.uint8)
    return noisy


def random_erase(view: np.ndarray, max_area: float, random: np.random.Generator) -> np.ndarray:
    """Hide one random rectangle of a copy under gray (Zhong 2020).

    Args:
        view: uint8 (height, width, 3)
        max_area: maximum fraction of the area that is hidden
    """
    height, width = view.shape[:2]
    area = random.uniform(min(MIN_ERASED, max_area), max_area)
    aspect = math.exp(random.uniform(-1, 1) * math.log(MAX_ERASED_ASPECT))
    tall, wide = (min(1.0, math.sqrt(square)) for square in (area * aspect, area / aspect))
    top, left = random.uniform(0, 1 - tall), random.uniform(0, 1 - wide)
    vertical = slice(round(top * height), round((top + tall) * height))
    horizontal = slice(round(left * width), round((left + wide) * width))
    erased = view.copy()
    erased[vertical, horizontal] = MIDDLE_GRAY
    return erased
