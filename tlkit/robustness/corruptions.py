"""Corruptions of photos in five severities, after Hendrycks and Dietterich 2019.

D. Hendrycks and T. Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", ICLR
2019. Nine of their fifteen corruptions are here, with the amounts of their ImageNet-C, which are for squares of 224
pixels. The others need textures or maps (frost, snow, fog), or are close to one of the nine. Rotation, shift, occlusion
and grayscale are not theirs: a camera that is held askew or elsewhere, an object that is partly hidden, color that is
lost.

Lengths in pixels (the blurs) are scaled with the side of the square, so that they cover the same part of the object.
Noise, JPEG and pixelate act on single pixels or on blocks of them, at every size: in a smaller square they destroy more
of the object.
"""

import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from tlkit.errors import OptionError
from tlkit.utils.color import LUMA

PAPER_SIDE = 224  # pixels of the squares that the amounts of the paper are for
NUM_SEVERITIES = 5
MIDDLE_GRAY = 128
MOTION_ANGLE = 45  # degrees from the horizontal, either way, at most


@dataclass(frozen=True)
class Corruption:
    """A kind of damage.

    Attributes:
        function: takes uint8 (height, width, 3), a random generator and amounts, and gives the same shape and type
        amounts: of each severity, the mildest first
    """

    function: Callable[..., np.ndarray]
    amounts: tuple[tuple[float, ...], ...]


def corrupt(image: np.ndarray, name: str, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Damage an image.

    Args:
        image: uint8 (height, width, 3)
        name: a key of `CORRUPTIONS`
        severity: 1 to 5
        rng: of noise, angles and positions; equal generators give equal images

    Returns:
        uint8, of the same shape

    Raises:
        OptionError: if there is no such corruption or severity
    """
    if name not in CORRUPTIONS:
        raise OptionError(f"the corruption is '{name}'; expected one of {', '.join(CORRUPTIONS)}.")
    if severity not in range(1, NUM_SEVERITIES + 1):
        raise OptionError(f"the severity is {severity}; expected a whole number from 1 to {NUM_SEVERITIES}.")
    corruption = CORRUPTIONS[name]
    return corruption.function(image, rng, *corruption.amounts[severity - 1])


# noise: every value of every pixel by itself


def add_gaussian_noise(image: np.ndarray, rng: np.random.Generator, deviation: float) -> np.ndarray:
    """Add normal noise, as of a sensor in low light.

    Args:
        deviation: standard deviation as a fraction of white
    """
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    noise *= 255 * deviation
    noise += image
    return _to_bytes(noise)


def add_shot_noise(image: np.ndarray, rng: np.random.Generator, photons: float) -> np.ndarray:
    """Count light in photons, whose number is a Poisson variable.

    Args:
        photons: that white gives on average
    """
    return _to_bytes(rng.poisson(image * (photons / 255)) * (255 / photons))


def add_impulse_noise(image: np.ndarray, rng: np.random.Generator, fraction: float) -> np.ndarray:
    """Set values to 0 or 255, each in half of the cases (salt and pepper).

    Args:
        fraction: of the values
    """
    draws = rng.random(image.shape, dtype=np.float32)
    damaged = image.copy()
    damaged[draws < fraction] = 255
    damaged[draws < fraction / 2] = 0
    return damaged


# blur: lengths for squares of 224 pixels


def defocus(image: np.ndarray, rng: np.random.Generator, radius: float) -> np.ndarray:
    """Spread every point over a disc, as a lens that is out of focus does.

    Args:
        radius: of the disc in pixels; its edge is smooth, for a pixel counts as far as the disc covers it
    """
    return _convolve(image, _disc(radius * _scale(image)))


def blur_by_motion(image: np.ndarray, rng: np.random.Generator, length: float, deviation: float) -> np.ndarray:
    """Spread every point along a line to one side, as a camera that moves does.

    Args:
        length: of the line in pixels; its angle is at most 45 degrees from the horizontal
        deviation: in pixels, of the normal density whose one half is the weight along the line
    """
    angle = math.radians(rng.uniform(-MOTION_ANGLE, MOTION_ANGLE))
    scale = _scale(image)
    return _convolve(image, _streak(length * scale, deviation * scale, angle))


# light and color


def brighten(image: np.ndarray, rng: np.random.Generator, amount: float) -> np.ndarray:
    """Raise the value of HSV; hue and saturation stay.

    Args:
        amount: to be added, as a fraction of white
    """
    value = image.max(axis=2, keepdims=True).astype(np.float32)
    raised = np.minimum(value + np.float32(255 * amount), 255)
    return _to_bytes(np.where(value > 0, image * (raised / np.maximum(value, 1)), raised))


def reduce_contrast(image: np.ndarray, rng: np.random.Generator, factor: float) -> np.ndarray:
    """Draw all values of a channel to its mean.

    Args:
        factor: of the distance to the mean, 0 to 1
    """
    mean = image.mean(axis=(0, 1), dtype=np.float32)
    return _to_bytes((image - mean) * np.float32(factor) + mean)


def remove_color(image: np.ndarray, rng: np.random.Generator, fraction: float) -> np.ndarray:
    """Take color away.

    Args:
        fraction: of the color that is lost; 1 for a gray image
    """
    gray = (image @ np.array(LUMA, np.float32))[..., None]
    return _to_bytes(image + np.float32(fraction) * (gray - image))


# digital


def compress(image: np.ndarray, rng: np.random.Generator, quality: float) -> np.ndarray:
    """Compress as JPEG, with halved resolution of color, and decode.

    Args:
        quality: of libjpeg, 1 to 95
    """
    content = io.BytesIO()
    Image.fromarray(image).save(content, "JPEG", quality=int(quality))
    with Image.open(content) as decoded:
        return np.array(decoded)


def pixelate(image: np.ndarray, rng: np.random.Generator, fraction: float) -> np.ndarray:
    """Reduce the resolution, and enlarge the pixels as blocks.

    Args:
        fraction: of the width and of the height that stays
    """
    height, width = image.shape[:2]
    size = max(1, int(width * fraction)), max(1, int(height * fraction))
    reduced = Image.fromarray(image).resize(size, Image.Resampling.BOX)
    return np.array(reduced.resize((width, height), Image.Resampling.NEAREST))


# position: what comes into the image from outside is its mirror image


def rotate(image: np.ndarray, rng: np.random.Generator, degrees: float) -> np.ndarray:
    """Turn the image about its center, to either side."""
    angle = math.radians(degrees) * rng.choice((-1, 1))
    height, width = image.shape[:2]
    margin = max(height, width) // 2
    cos, sin = math.cos(angle), math.sin(angle)
    x, y = width / 2, height / 2
    coefficients = (cos, sin, x + margin - cos * x - sin * y, -sin, cos, y + margin + sin * x - cos * y)
    turned = Image.fromarray(_mirrored_around(image, margin)).transform(
        (width, height), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
    )
    return np.array(turned)


def move(image: np.ndarray, rng: np.random.Generator, fraction: float) -> np.ndarray:
    """Move the image in any direction.

    Args:
        fraction: of the shorter side, by which it moves
    """
    angle, distance = rng.uniform(0, 2 * math.pi), fraction * min(image.shape[:2])
    down, right = round(distance * math.sin(angle)), round(distance * math.cos(angle))
    margin, (height, width) = math.ceil(distance), image.shape[:2]
    around = _mirrored_around(image, margin)
    return around[margin - down : margin - down + height, margin - right : margin - right + width].copy()


def occlude(image: np.ndarray, rng: np.random.Generator, area: float) -> np.ndarray:
    """Hide a part of the image under gray, of the same proportions, at a random position.

    Args:
        area: fraction of the image that is hidden
    """
    height, width = image.shape[:2]
    tall, wide = round(height * math.sqrt(area)), round(width * math.sqrt(area))
    top, left = rng.integers(height - tall + 1), rng.integers(width - wide + 1)
    hidden = image.copy()
    hidden[top : top + tall, left : left + wide] = MIDDLE_GRAY
    return hidden


CORRUPTIONS: Mapping[str, Corruption] = {
    # amounts of ImageNet-C; for motion blur ImageMagick's line is twice as long as the radius that the paper gives
    "gaussian-noise": Corruption(add_gaussian_noise, ((0.08,), (0.12,), (0.18,), (0.26,), (0.38,))),
    "shot-noise": Corruption(add_shot_noise, ((60,), (25,), (12,), (5,), (3,))),
    "impulse-noise": Corruption(add_impulse_noise, ((0.03,), (0.06,), (0.09,), (0.17,), (0.27,))),
    "defocus-blur": Corruption(defocus, ((3,), (4,), (6,), (8,), (10,))),
    "motion-blur": Corruption(blur_by_motion, ((20, 3), (30, 5), (30, 8), (30, 12), (40, 15))),
    "brightness": Corruption(brighten, ((0.1,), (0.2,), (0.3,), (0.4,), (0.5,))),
    "contrast": Corruption(reduce_contrast, ((0.4,), (0.3,), (0.2,), (0.1,), (0.05,))),
    "jpeg": Corruption(compress, ((25,), (18,), (15,), (10,), (7,))),
    "pixelate": Corruption(pixelate, ((0.6,), (0.5,), (0.4,), (0.3,), (0.25,))),
    # amounts of tlkit, from hardly visible to hard for people
    "rotation": Corruption(rotate, ((5,), (10,), (15,), (20,), (30,))),
    "shift": Corruption(move, ((0.04,), (0.08,), (0.12,), (0.16,), (0.24,))),
    "occlusion": Corruption(occlude, ((0.05,), (0.1,), (0.2,), (0.3,), (0.4,))),
    "grayscale": Corruption(remove_color, ((0.2,), (0.4,), (0.6,), (0.8,), (1,))),
}


def _to_bytes(values: np.ndarray) -> np.ndarray:
    """Round to uint8, cut at 0 and 255."""
    rounded: np.ndarray = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded


def _scale(image: np.ndarray) -> float:
    """Give the factor of lengths that are for the squares of the paper."""
    return float(min(image.shape[:2]) / PAPER_SIDE)


@cache
def _disc(radius: float) -> np.ndarray:
    """Draw a disc: how much of each pixel it covers, with sum 1: float32 (side, side), of an odd side."""
    reach, fine = math.ceil(radius), 8
    offsets = (np.arange((2 * reach + 1) * fine) + 0.5) / fine - reach - 0.5
    inside = offsets[:, None] ** 2 + offsets**2 <= max(radius, 0.5) ** 2
    covered = inside.reshape(2 * reach + 1, fine, 2 * reach + 1, fine).mean(axis=(1, 3))
    return np.asarray(covered / covered.sum(), np.float32)


def _streak(length: float, deviation: float, angle: float) -> np.ndarray:
    """Draw one half of a normal density along a line from the middle, with sum 1: float32 (side, side), odd."""
    distance = np.arange(0, max(length, 0.25), 0.25)
    weight = np.exp(-(distance**2) / (2 * deviation**2))
    reach = math.ceil(length)
    x, y = reach + distance * math.cos(angle), reach + distance * math.sin(angle)
    kernel = np.zeros((2 * reach + 2, 2 * reach + 2))
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    for down in (0, 1):  # each point counts for the four pixels around it
        for right in (0, 1):
            part = weight * np.abs(1 - down - (y - top)) * np.abs(1 - right - (x - left))
            np.add.at(kernel, (top + down, left + right), part)
    return np.asarray(kernel[:-1, :-1] / kernel[:-1, :-1].sum(), np.float32)


def _convolve(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolve each channel with a kernel, by Fourier transforms; outside is the mirror image."""
    reach = len(kernel) // 2
    around = _mirrored_around(image, reach).astype(np.float32)
    size = around.shape[:2]
    spectrum = np.fft.rfft2(around, axes=(0, 1)) * np.fft.rfft2(kernel, s=size)[..., None]
    blurred = np.fft.irfft2(spectrum, s=size, axes=(0, 1))
    return _to_bytes(blurred[2 * reach :, 2 * reach :])


def _mirrored_around(image: np.ndarray, margin: int) -> np.ndarray:
    """Put the mirror image of an image on each side of it."""
    return np.pad(image, ((margin, margin), (margin, margin), (0, 0)), "symmetric")
