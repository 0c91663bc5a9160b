"""What augmentation does to the values of pixels, after it has moved them."""

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tlkit.data.augment import Augmentation

MIDDLE = 128  # grey that contrast turns about, and that hides what is erased
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601)
LEAST_ERASED = 0.02  # of the area
SLENDEREST = 3.3  # of what is erased: the longer side to the shorter


def draw_colours(augmentation: "Augmentation", random: np.random.Generator) -> tuple[float, ...] | None:
    """Brightness, contrast and saturation as one product: Pillow's 3 × 4 matrix; None where nothing changes."""
    limits = augmentation.brightness, augmentation.contrast, augmentation.saturation
    if not any(limits):
        return None
    brightness, contrast, saturation = (1 + random.uniform(-limit, limit) for limit in limits)
    grey = np.tile(np.array(LUMA), (3, 1))
    mixed = brightness * contrast * (saturation * np.eye(3) + (1 - saturation) * grey)
    offset = np.full((3, 1), (1 - contrast) * MIDDLE)
    return tuple(np.hstack([mixed, offset]).ravel().tolist())


def add_noise(view: np.ndarray, deviation: float, random: np.random.Generator) -> np.ndarray:
    """Gaussian noise on every value.

    view: uint8 (…)
    deviation: as a share of white
    """
    noise = random.standard_normal(view.shape, dtype=np.float32) * np.float32(255 * deviation)
    noisy: np.ndarray = np.clip(view + noise, 0, 255).round().astype(np.uint8)
    return noisy


def erase(view: np.ndarray, largest: float, random: np.random.Generator) -> np.ndarray:
    """A copy with one grey rectangle somewhere on it.

    largest: share of the area
    """
    height, width = view.shape[:2]
    area = random.uniform(min(LEAST_ERASED, largest), largest)
    aspect = math.exp(random.uniform(-1, 1) * math.log(SLENDEREST))
    tall, wide = (min(1.0, math.sqrt(share)) for share in (area * aspect, area / aspect))
    top, left = random.uniform(0, 1 - tall), random.uniform(0, 1 - wide)
    rows = slice(round(top * height), round((top + tall) * height))
    columns = slice(round(left * width), round((left + wide) * width))
    erased = view.copy()
    erased[rows, columns] = MIDDLE
    return erased
