"""A patch to print: one round image that fools a network wherever it lies (Brown et al. 2017)."""

import zlib
from dataclasses import dataclass
from math import cos, radians, sin

import numpy as np
from PIL import Image

from tlkit.robustness.attacks import GradientSource
from tlkit.robustness.universal import ascent_of_each

BATCH = 32  # images in a step
BATCHES = 150
SCALES = (0.8, 1.2)  # of the side of the patch
MAX_ANGLE = 30.0  # degrees to both sides
STEP = 16.0  # gray levels; a quarter of it in the second half
PRINTED_SIDE = 1200  # pixels: 10 cm at 300 dots per inch
DOTS_PER_INCH = 300


@dataclass(frozen=True)
class PatchPosition:
    """The part of an image that a patch covers.

    Attributes:
        x, y: of its center, in pixels
        side: its diameter, in pixels
        angle: by which it is turned, in degrees
    """

    x: float
    y: float
    side: float
    angle: float

    def to_patch(self, patch_side: int) -> tuple[float, float, float, float, float, float]:
        """Give the affine map from points of the image to points of the patch, as Pillow takes it."""
        scale, angle = patch_side / self.side, radians(self.angle)
        a, b = scale * cos(angle), scale * sin(angle)
        half = patch_side / 2
        return a, b, half - a * self.x - b * self.y, -b, a, half + b * self.x - a * self.y

    def to_image(self, patch_side: int) -> tuple[float, float, float, float, float, float]:
        """Give the affine map from points of the patch to points of the image."""
        scale, angle = self.side / patch_side, radians(self.angle)
        a, b = scale * cos(angle), scale * sin(angle)
        half = patch_side / 2
        return a, -b, self.x - a * half + b * half, b, a, self.y - b * half - a * half


def draw_position(random: np.random.Generator, size: int, side: float) -> PatchPosition:
    """Draw where a patch lies in a square of `size` pixels; it is inside as a whole."""
    diameter = min(size, side * random.uniform(*SCALES))
    x, y = random.uniform(diameter / 2, size - diameter / 2, 2)
    return PatchPosition(float(x), float(y), float(diameter), float(random.uniform(-MAX_ANGLE, MAX_ANGLE)))


def position_for(image: np.ndarray, seed: int, side: float) -> PatchPosition:
    """Draw the position in an image from its content and the seed alone."""
    return draw_position(np.random.default_rng((seed, zlib.crc32(image.tobytes()))), len(image), side)


def paste_patch(image: np.ndarray, patch: np.ndarray, position: PatchPosition) -> np.ndarray:
    """Lay a patch on an image.

    Args:
        image: uint8 (size, size, 3)
        patch: 0 to 255 (side, side, 3); the circle in it is what is seen

    Returns:
        uint8 (size, size, 3)
    """
    size, side = image.shape[:2], len(patch)
    rgba = np.dstack([np.clip(np.rint(patch), 0, 255).astype(np.uint8), circle(side)])
    turned = Image.fromarray(rgba, "RGBA").transform(
        size[::-1], Image.Transform.AFFINE, position.to_patch(side), Image.Resampling.BILINEAR
    )
    return np.asarray(Image.alpha_composite(Image.fromarray(image).convert("RGBA"), turned).convert("RGB"))


def pull_back(gradient: np.ndarray, side: int, position: PatchPosition) -> np.ndarray:
    """Carry the gradient by the pixels of an image back to the patch that lies on it: float32 (side, side, 3)."""
    channels = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(gradient[..., k], np.float32)).transform(
                (side, side), Image.Transform.AFFINE, position.to_image(side), Image.Resampling.BILINEAR
            )
        )
        for k in range(3)
    ]
    return np.dstack(channels) * (circle(side)[..., None] > 0)


def circle(side: int) -> np.ndarray:
    """Draw the mask of a round patch: uint8 (side, side), 255 inside."""
    offsets = np.arange(side) + 0.5 - side / 2
    return np.asarray(255 * (np.hypot(offsets[:, None], offsets) <= side / 2), np.uint8)


def learn_patch(
    gradient: GradientSource,
    images: np.ndarray,
    labels: np.ndarray,
    side: int,
    batches: int = BATCHES,
    options: tuple[bool, int] = (False, 0),
) -> np.ndarray:
    """Learn a patch on images, at random positions, sizes and angles.

    Args:
        gradient, images, labels, options: as `universal_pattern` takes them
        side: diameter in pixels of the network's square
        batches: steps, each on `BATCH` images

    Returns:
        uint8 (side, side, 3)
    """
    is_targeted, seed = options
    random = np.random.default_rng(seed)
    patch = np.full((side, side, 3), 128, np.float32)
    for step in range(batches):
        chosen = random.choice(len(images), min(BATCH, len(images)), replace=False)
        positions = [draw_position(random, images.shape[1], side) for _ in chosen]
        pasted = [paste_patch(images[k], patch, position) for k, position in zip(chosen, positions, strict=True)]
        pixels = np.stack(pasted).astype(np.float32)
        slopes = ascent_of_each(gradient, pixels, labels[chosen], is_targeted)
        direction = np.sum([pull_back(slope, side, at) for slope, at in zip(slopes, positions, strict=True)], axis=0)
        patch = np.clip(patch + STEP * (1 if step < batches // 2 else 0.25) * np.sign(direction), 0, 255)
    return np.asarray(np.rint(patch), np.uint8)


def printable(patch: np.ndarray) -> Image.Image:
    """Enlarge a patch for a printer, on white."""
    enlarged = Image.fromarray(patch).resize((PRINTED_SIDE, PRINTED_SIDE), Image.Resampling.BICUBIC)
    sheet = Image.new("RGB", enlarged.size, "white")
    sheet.paste(enlarged, mask=Image.fromarray(circle(PRINTED_SIDE)))
    return sheet
