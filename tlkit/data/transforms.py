"""Random affine maps, color matrices, noise and erasing, on plain numbers and arrays."""

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tlkit.data.augment import Augmentation
from tlkit.data.augment import Augmentation
from tlkit.utils.color import LUMA

MAX_ASPECT = 4 / 3


def sample_affine(
    side: int, image_size: int, augmentation: Augmentation, random: np.random.Generator
) -> tuple[float, ...]:
    """Where each pixel of a view is taken from: (a, b, c, d, e, f), x' = a x + b y + c, y' = d x + e y + f.

    A rectangle of random size, shape and place inside the square, enlarged or reduced, sheared and
    turned around its centre, shifted, mirrored.
    """
    width, height, middle_x, middle_y = _sample_rectangle(side, augmentation.crop, random)
    zoom = math.exp(random.uniform(-1, 1) * math.log1p(augmentation.zoom))
    middle_x += side * random.uniform(-augmentation.shift, augmentation.shift)
    middle_y += side * random.uniform(-augmentation.shift, augmentation.shift)
    angle = math.radians(random.uniform(-augmentation.rotation, augmentation.rotation))
    lean = math.tan(math.radians(random.uniform(-augmentation.shear, augmentation.shear)))
    mirror = random.choice((-1, 1)) if augmentation.flip else 1
    across, down = mirror * zoom * width / image_size, zoom * height / image_size
    a, b = math.cos(angle) * across, (math.cos(angle) * lean - math.sin(angle)) * down
    d, e = math.sin(angle) * across, (math.sin(angle) * lean + math.cos(angle)) * down
    half = image_size / 2
    return (a, b, middle_x - (a + b) * half, d, e, middle_y - (d + e) * half)


def _sample_rectangle(side: int, least_area: float, random: np.random.Generator) -> tuple[float, float, float, float]:
    """Width, height and centre of a random rectangle inside a square."""
    if least_area == 1:
        return side, side, side / 2, side / 2
    area = random.uniform(least_area, 1)
    aspect = math.exp(random.uniform(-1, 1) * math.log(MAX_ASPECT))
    width, height = (min(1.0, math.sqrt(share)) * side for share in (area * aspect, area / aspect))
    middle_x, middle_y = (random.uniform(length / 2, side - length / 2) for length in (width, height))
    return width, height, middle_x, middle_y


MIDDLE_GRAY = 128  # grey that contrast turns about, and that hides what is erased
MIN_ERASED = 0.02  # of the area
MAX_ERASED_ASPECT = 3.3  # of what is erased: the longer side to the shorter


def sample_color_matrix(augmentation: "Augmentation", random: np.random.Generator) -> tuple[float, ...] | None:
    """Brightness, contrast and saturation as one product: Pillow's 3 × 4 matrix; None where nothing changes."""
    limits = augmentation.brightness, augmentation.contrast, augmentation.saturation
    if not any(limits):
        return None
    brightness, contrast, saturation = (1 + random.uniform(-limit, limit) for limit in limits)
    grey = np.tile(np.array(LUMA), (3, 1))
    mixed = brightness * contrast * (saturation * np.eye(3) + (1 - saturation) * grey)
    offset = np.full((3, 1), (1 - contrast) * MIDDLE_GRAY)
    return tuple(np.hstack([mixed, offset]).ravel().tolist())


def add_noise(view: np.ndarray, deviation: float, random: np.random.Generator) -> np.ndarray:
    """Gaussian noise on every value.

    view: uint8 (…)
    deviation: as a share of white
    """
    noise = random.standard_normal(view.shape, dtype=np.float32) * np.float32(255 * deviation)
    noisy: np.ndarray = np.clip(view + noise, 0, 255).round().astype(np.uint8)
    return noisy


def random_erase(view: np.ndarray, largest: float, random: np.random.Generator) -> np.ndarray:
    """A copy with one grey rectangle somewhere on it.

    largest: share of the area
    """
    height, width = view.shape[:2]
    area = random.uniform(min(MIN_ERASED, largest), largest)
    aspect = math.exp(random.uniform(-1, 1) * math.log(MAX_ERASED_ASPECT))
    tall, wide = (min(1.0, math.sqrt(share)) for share in (area * aspect, area / aspect))
    top, left = random.uniform(0, 1 - tall), random.uniform(0, 1 - wide)
    rows = slice(round(top * height), round((top + tall) * height))
    columns = slice(round(left * width), round((left + wide) * width))
    erased = view.copy()
    erased[rows, columns] = MIDDLE_GRAY
    return erased
