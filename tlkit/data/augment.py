"""Augmented views: everything that moves pixels as one affine resampling, then colours, noise and erasing."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from typing import Protocol

import numpy as np
from PIL import Image

from tlkit.data.colours import add_noise, draw_colours, erase
from tlkit.settings import SheetSettings, TrainingSettings

AUGMENT_VERSION = 2  # part of every cache key; raise it when any pixel of a view may change
LARGEST_ASPECT = 4 / 3
OUTSIDE = (128, 128, 128)


@dataclass(frozen=True)
class Augmentation:
    """How far views may differ from the picture; each draw is uniform within its limits, 0 leaves it out.

    flip        mirrored left to right in half of the views
    rotation    degrees, either way
    zoom        share by which a picture is enlarged or reduced at most
    shift       share of the width, and of the height, either way
    shear       degrees, either way
    crop        least share of the area a view shows; 1 for the whole (random resized crop: Szegedy 2014)
    brightness  share, either way; likewise contrast, about middle grey, and saturation
    noise       largest standard deviation of Gaussian noise, as a share of white
    erase       largest share of the area that a grey rectangle hides in half of the views (Zhong 2020)
    """

    flip: bool = False
    rotation: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    shear: float = 0.0
    crop: float = 1.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    noise: float = 0.0
    erase: float = 0.0


NOTHING = Augmentation()
PRESETS = {
    "none": NOTHING,
    "light": Augmentation(flip=True, rotation=10, crop=0.4),
    "medium": Augmentation(True, rotation=10, shear=5, crop=0.4, brightness=0.2, contrast=0.2, saturation=0.2),
    "strong": Augmentation(
        True,
        rotation=20,
        zoom=0.1,
        shift=0.05,
        shear=10,
        crop=0.25,
        brightness=0.4,
        contrast=0.4,
        saturation=0.4,
        noise=0.02,
        erase=0.2,
    ),
}


def choose_augmentation(settings: TrainingSettings | SheetSettings) -> Augmentation:
    """The preset that settings name, with what they set by itself in its place."""
    given = {item.name: getattr(settings, _setting_name(item.name)) for item in fields(Augmentation)}
    return replace(PRESETS[settings.augment], **{name: value for name, value in given.items() if value is not None})


def _setting_name(name: str) -> str:
    return "hflip" if name == "flip" else name


class ViewMaker(Protocol):
    """What is made of a picture before a network sees it, and the name a cache keeps that under."""

    @property
    def count(self) -> int:
        """Pictures per image."""

    @property
    def key(self) -> str:
        """Part of a cache key."""

    def of(self, plain: np.ndarray, working: np.ndarray, sha256: str) -> np.ndarray:
        """uint8, from the plain view (image_size, image_size, 3) and the larger working image."""


@dataclass(frozen=True)
class Views:
    """How many views of each image are learnt from, the first of them plain.

    seed  decides every draw, together with the view's number and the image's bytes
    """

    count: int
    seed: int
    augmentation: Augmentation = PRESETS["light"]

    @property
    def key(self) -> str:
        """What a cache of these views is kept under."""
        return f"{self.count} views, seed {self.seed}, version {AUGMENT_VERSION}, {asdict(self.augmentation)}"

    def of(self, plain: np.ndarray, working: np.ndarray, sha256: str) -> np.ndarray:
        """All views of one image: uint8 (count, image_size, image_size, 3), the plain one first."""
        return np.stack([plain, *self._augmented(len(plain), working, sha256)])

    def _augmented(self, image_size: int, working: np.ndarray, sha256: str) -> Iterable[np.ndarray]:
        for number in range(1, self.count):
            yield augmented_view(working, image_size, self.augmentation, random_of(self.seed, number, sha256))


class Working:
    """The working image itself, of which another view is made in every epoch."""

    key = "working image"
    count = 1

    def of(self, plain: np.ndarray, working: np.ndarray, sha256: str) -> np.ndarray:
        """uint8 (side, side, 3)."""
        return working


def random_of(seed: int, number: int, sha256: str) -> np.random.Generator:
    """The draws for one image, in one view or epoch: they depend on nothing else, such as threads or order."""
    return np.random.default_rng((seed, number, int(sha256[:16], 16)))


def augmented_view(
    working: np.ndarray, image_size: int, augmentation: Augmentation, random: np.random.Generator
) -> np.ndarray:
    """One random view of a working image, in a single bilinear resampling.

    working: uint8 (side, side, 3); about 15 % wider than `image_size`, so that nothing aliases
    returns: uint8 (image_size, image_size, 3); grey where a view looks past the border
    """
    place = draw_affine(len(working), image_size, augmentation, random)
    image = Image.fromarray(working).transform(
        (image_size, image_size), Image.Transform.AFFINE, place, Image.Resampling.BILINEAR, fillcolor=OUTSIDE
    )
    if colours := draw_colours(augmentation, random):
        image = image.convert("RGB", colours)
    view = np.asarray(image)
    if augmentation.noise:
        view = add_noise(view, random.uniform(0, augmentation.noise), random)
    return erase(view, augmentation.erase, random) if augmentation.erase and random.random() < 0.5 else view


def draw_affine(
    side: int, image_size: int, augmentation: Augmentation, random: np.random.Generator
) -> tuple[float, ...]:
    """Where each pixel of a view is taken from: (a, b, c, d, e, f), x' = a x + b y + c, y' = d x + e y + f.

    A rectangle of random size, shape and place inside the square, enlarged or reduced, sheared and
    turned around its centre, shifted, mirrored.
    """
    width, height, middle_x, middle_y = _draw_rectangle(side, augmentation.crop, random)
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


def _draw_rectangle(side: int, least_area: float, random: np.random.Generator) -> tuple[float, float, float, float]:
    """Width, height and centre of a random rectangle inside a square."""
    if least_area == 1:
        return side, side, side / 2, side / 2
    area = random.uniform(least_area, 1)
    aspect = math.exp(random.uniform(-1, 1) * math.log(LARGEST_ASPECT))
    width, height = (min(1.0, math.sqrt(share)) * side for share in (area * aspect, area / aspect))
    middle_x, middle_y = (random.uniform(length / 2, side - length / 2) for length in (width, height))
    return width, height, middle_x, middle_y
