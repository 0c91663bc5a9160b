"""Augmented views: flip, crop, zoom and rotation of a working image in one affine resampling."""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

AUGMENT_VERSION = 1  # part of every cache key; raise it when any pixel of a view may change
LEAST_AREA = 0.4  # of the working image, that a view shows
LARGEST_ASPECT = 4 / 3
LARGEST_ANGLE = 10.0  # degrees, either way
OUTSIDE = (128, 128, 128)


@dataclass(frozen=True)
class Views:
    """How many views of each image are learnt from, the first of them plain.

    seed  decides every draw, together with the view's number and the image's bytes
    """

    count: int
    seed: int

    @property
    def key(self) -> str:
        """What a cache of these views is kept under."""
        return f"{self.count} views, seed {self.seed}, version {AUGMENT_VERSION}"

    def of(self, plain: np.ndarray, working: np.ndarray, sha256: str) -> np.ndarray:
        """All views of one image: uint8 (count, image_size, image_size, 3), the plain one first."""
        randoms = [np.random.default_rng((self.seed, number, int(sha256[:16], 16))) for number in range(1, self.count)]
        return np.stack([plain, *(augmented_view(working, len(plain), random) for random in randoms)])


def augmented_view(working: np.ndarray, image_size: int, random: np.random.Generator) -> np.ndarray:
    """One random view of a working image, in a single bilinear resampling.

    working: uint8 (side, side, 3); about 15 % wider than `image_size`, so that nothing aliases
    returns: uint8 (image_size, image_size, 3); grey where a rotation looks past the border
    """
    place = draw_affine(len(working), image_size, random)
    image = Image.fromarray(working).transform(
        (image_size, image_size), Image.Transform.AFFINE, place, Image.Resampling.BILINEAR, fillcolor=OUTSIDE
    )
    return np.asarray(image)


def draw_affine(side: int, image_size: int, random: np.random.Generator) -> tuple[float, ...]:
    """Where each pixel of a view is taken from: (a, b, c, d, e, f), x' = a x + b y + c, y' = d x + e y + f.

    A rectangle of random size, shape and place inside the square, turned by a few degrees around
    its centre, mirrored in half of the views (random resized crop: Szegedy 2014).
    """
    area = random.uniform(LEAST_AREA, 1)
    aspect = math.exp(random.uniform(-1, 1) * math.log(LARGEST_ASPECT))
    width, height = (min(1.0, math.sqrt(share)) * side for share in (area * aspect, area / aspect))
    middle_x = random.uniform(width / 2, side - width / 2)
    middle_y = random.uniform(height / 2, side - height / 2)
    angle = math.radians(random.uniform(-LARGEST_ANGLE, LARGEST_ANGLE))
    mirror = random.choice((-1, 1))
    a, b = mirror * math.cos(angle) * width / image_size, -math.sin(angle) * height / image_size
    d, e = mirror * math.sin(angle) * width / image_size, math.cos(angle) * height / image_size
    half = image_size / 2
    return (a, b, middle_x - (a + b) * half, d, e, middle_y - (d + e) * half)
