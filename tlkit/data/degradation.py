"""Noise, blur and compression of random strength, which `--harden noise` puts on half of the views.

Each degraded view has one of the three. Rusak et al. 2020 ("A simple way to make neural networks robust against diverse
image corruptions") found that Gaussian noise, of one strength per image, helps against corruptions that a network was
not trained on, too.
"""

import io

import numpy as np
from PIL import Image, ImageFilter

from tlkit.data.transforms import add_noise

TRAINED_KINDS = ("gaussian-noise", "defocus-blur", "jpeg")  # corruptions of `tlkit robustness` that are of these kinds
DEGRADATION_VERSION = 1  # part of every cache key; raise it when any pixel of a degraded view may change
MAX_NOISE = 0.3  # standard deviation, as a fraction of white
MAX_BLUR = 0.02  # standard deviation, as a fraction of the side
MIN_QUALITY, MAX_QUALITY = 5, 50  # of JPEG


def degrade_image(view: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Degrade an image by Gaussian noise, Gaussian blur or JPEG.

    Args:
        view: uint8 (side, side, 3)

    Returns:
        uint8 of the same shape
    """
    kind = random.integers(3)
    if kind == 0:
        return add_noise(view, random.uniform(0, MAX_NOISE), random)
    if kind == 1:
        return _blur(view, random.uniform(0, MAX_BLUR))
    return _compress(view, int(random.integers(MIN_QUALITY, MAX_QUALITY + 1)))


def _blur(view: np.ndarray, deviation: float) -> np.ndarray:
    """Blur by a Gaussian.

    Args:
        deviation: standard deviation as a fraction of the side
    """
    return np.asarray(Image.fromarray(view).filter(ImageFilter.GaussianBlur(deviation * len(view))))


def _compress(view: np.ndarray, quality: int) -> np.ndarray:
    """Write an image as JPEG and read it again."""
    file = io.BytesIO()
    Image.fromarray(view).save(file, "JPEG", quality=quality)
    with Image.open(file) as image:
        return np.asarray(image)
