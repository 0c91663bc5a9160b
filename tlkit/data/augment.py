"""Augmented views: presets, one affine resampling, then colors, noise and erasing; batches of them."""

import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Protocol

import numpy as np
from PIL import Image

from tlkit.data.transforms import add_noise, random_erase, sample_affine, sample_color_matrix
from tlkit.settings.commands import ContactSheetSettings
from tlkit.settings.training import TrainingSettings
from tlkit.utils.parallel import count_workers

AUGMENT_VERSION = 2  # part of every cache key; raise it when any pixel of a view may change
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


NO_AUGMENTATION = Augmentation()
PRESETS = {
    "none": NO_AUGMENTATION,
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


def choose_augmentation(settings: TrainingSettings | ContactSheetSettings) -> Augmentation:
    """The preset that settings name, with what they set by itself in its place."""
    given = {item.name: getattr(settings, _setting_name(item.name)) for item in fields(Augmentation)}
    return replace(PRESETS[settings.augment], **{name: value for name, value in given.items() if value is not None})


def _setting_name(name: str) -> str:
    return "hflip" if name == "flip" else name


class ViewTransform(Protocol):
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
class AugmentedViews:
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
            yield augment_image(working, image_size, self.augmentation, rng_for(self.seed, number, sha256))


class OversizedImage:
    """The working image itself, of which another view is made in every epoch."""

    key = "working image"
    count = 1

    def of(self, plain: np.ndarray, working: np.ndarray, sha256: str) -> np.ndarray:
        """uint8 (side, side, 3)."""
        return working


def rng_for(seed: int, number: int, sha256: str) -> np.random.Generator:
    """The draws for one image, in one view or epoch: they depend on nothing else, such as threads or order."""
    return np.random.default_rng((seed, number, int(sha256[:16], 16)))


def augment_image(
    working: np.ndarray, image_size: int, augmentation: Augmentation, random: np.random.Generator
) -> np.ndarray:
    """One random view of a working image, in a single bilinear resampling.

    working: uint8 (side, side, 3); about 15 % wider than `image_size`, so that nothing aliases
    returns: uint8 (image_size, image_size, 3); grey where a view looks past the border
    """
    place = sample_affine(len(working), image_size, augmentation, random)
    image = Image.fromarray(working).transform(
        (image_size, image_size), Image.Transform.AFFINE, place, Image.Resampling.BILINEAR, fillcolor=OUTSIDE
    )
    if colours := sample_color_matrix(augmentation, random):
        image = image.convert("RGB", colours)
    view = np.asarray(image)
    if augmentation.noise:
        view = add_noise(view, random.uniform(0, augmentation.noise), random)
    return random_erase(view, augmentation.erase, random) if augmentation.erase and random.random() < 0.5 else view


class AugmentedBatches:
    """Indexing gives one view of each image asked for: uint8 (images, image_size, image_size, 3).

    working: anything that gives uint8 (images, side, side, 3) by position, such as `KeptRows`
    sha256: of each image; with the seed and the epoch it decides every draw
    """

    def __init__(
        self,
        working: Any,
        sha256: Sequence[str],
        augmentation: Augmentation,
        image_size: int,
        seed: int,
        epoch: int = 0,
    ) -> None:
        self._parts = working, sha256, augmentation, image_size, seed
        self._epoch = epoch
        self._pool = ThreadPoolExecutor(count_workers())

    def __len__(self) -> int:
        return len(self._parts[1])

    def in_epoch(self, epoch: int) -> "AugmentedBatches":
        """The same images, as they are seen in an epoch."""
        return AugmentedBatches(*self._parts, epoch)

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        working, sha256, augmentation, image_size, seed = self._parts

        def view(row: int, picture: np.ndarray) -> np.ndarray:
            return augment_image(picture, image_size, augmentation, rng_for(seed, self._epoch, sha256[row]))

        positions = np.arange(len(self))[rows]
        return np.stack(list(self._pool.map(view, positions.tolist(), working[positions])))


FLIP_SENSITIVE = re.compile(r"(?:^|[^a-z])(left|right|links|rechts|gauche|droite|clockwise|anticlockwise)(?:[^a-z]|$)")


def flip_sensitive_class(class_names: Sequence[str]) -> str | None:
    """The first class that a mirror could turn into another, by its name: digits, letters and sides.

    >>> sided_class(["ant", "bee"]), sided_class(["turn_left", "turn_right"])
    (None, 'turn_left')
    """
    names = [name.lower() for name in class_names]
    signs = [name for name in names if len(name) == 1 and name.isalnum()]
    found = [name for name in names if FLIP_SENSITIVE.search(name)] or (signs if 2 * len(signs) > len(names) else [])
    return found[0] if found else None


def flip_note(class_names: Sequence[str], flip: bool) -> str | None:
    """What to say where there is such a class.

    flip: whether half of the views are mirrored
    """
    name = flip_sensitive_class(class_names)
    if name is None:
        return None
    looks = f"classes such as '{name}' may look different in a mirror"
    if flip:
        return f"half of the views are mirrored, and {looks}; --no-hflip keeps them as they are."
    return f"no view is mirrored, for {looks}; --hflip mirrors half of them."
