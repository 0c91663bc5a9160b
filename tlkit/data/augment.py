"""Augmented views: presets, one affine resampling, then colors, noise and erasing; batches of them."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import asdict, dataclass, replace
from itertools import repeat
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from PIL import Image

from tlkit.data.degradation import DEGRADATION_VERSION, degrade_image
from tlkit.data.transforms import AffineLimits, ImageDraws, add_noise, random_erase, sample_affine, sample_color_matrix
from tlkit.utils.parallel import count_workers

AUGMENT_VERSION = 3  # part of every cache key; raise it when any pixel of a view may change
DEGRADED_STEPS = {"every second": 2, "all": 1}  # from one degraded view to the next
THREADED_SIZE = 96  # pixels; smaller views take less time than handing each to another thread
OUTSIDE = (128, 128, 128)  # where a view looks past the border
FLIP_SENSITIVE = re.compile(r"(?:^|[^a-z])(left|right|links|rechts|gauche|droite|clockwise|anticlockwise)(?:[^a-z]|$)")


@dataclass(frozen=True)
class Augmentation(AffineLimits):
    """Limits of how far views differ from the image; each draw is uniform within its limits, 0 leaves it out.

    Attributes:
        brightness: fraction, either way; likewise contrast, about middle gray, and saturation
        noise: maximum standard deviation of Gaussian noise, as a fraction of white
        erase: maximum fraction of the area that a gray rectangle hides in half of the views (Zhong 2020)
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    noise: float = 0.0
    erase: float = 0.0

    @staticmethod
    def from_options(preset: str, amounts: Mapping[str, float | None]) -> "Augmentation":
        """Take a preset, and replace single amounts where they are given.

        Args:
            preset: a key of `PRESETS`
            amounts: by field name; None leaves the preset's
        """
        given = {name: amount for name, amount in amounts.items() if amount is not None}
        return replace(PRESETS[preset], **given)  # type: ignore[arg-type]


NO_AUGMENTATION = Augmentation()
PRESETS = {
    "none": NO_AUGMENTATION,
    "light": Augmentation(hflip=True, rotation=10, crop=0.4),
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


class ViewTransform(Protocol):
    """A function from a decoded image to the pixels that are cached."""

    @property
    def count(self) -> int:
        """Views per image."""

    @property
    def key(self) -> str:
        """Part of a cache key."""

    def __call__(self, plain: np.ndarray, oversized: np.ndarray, sha256: str) -> np.ndarray:
        """Transform one image.

        Args:
            plain: uint8 (image_size, image_size, 3)
            oversized: uint8 (side, side, 3)
            sha256: of the file's bytes, hexadecimal

        Returns:
            uint8
        """


@dataclass(frozen=True)
class AugmentedViews:
    """Several views of each image, the first of them plain.

    Attributes:
        count: views per image
        seed: decides every draw, together with the view's number and the image's bytes
        augmentation: how far the views differ
        degraded: the views that are degraded: "none"; "every second", beginning with the first after the plain one; or
            "all" but the plain one
    """

    count: int
    seed: int
    augmentation: Augmentation = PRESETS["light"]
    degraded: Literal["none", "every second", "all"] = "none"

    @property
    def key(self) -> str:
        """Part of a cache key: everything the views depend on but the image."""
        key = f"{self.count} views, seed {self.seed}, version {AUGMENT_VERSION}, {asdict(self.augmentation)}"
        return key if self.degraded == "none" else f"{key}, {self.degraded} degraded, version {DEGRADATION_VERSION}"

    @property
    def num_degraded(self) -> int:
        """Views that are degraded."""
        return len(range(1, self.count, DEGRADED_STEPS[self.degraded])) if self.degraded != "none" else 0

    def __call__(self, plain: np.ndarray, oversized: np.ndarray, sha256: str) -> np.ndarray:
        """Make all views of one image: uint8 (count, image_size, image_size, 3), the plain one first."""
        keys = [ViewKey(self.seed, number, sha256) for number in range(1, self.count)]
        if self.augmentation == NO_AUGMENTATION:
            views = [plain for _ in keys]
        else:
            views = augment_images(repeat(oversized), len(oversized), len(plain), self.augmentation, keys)
        if self.degraded != "none":
            step = DEGRADED_STEPS[self.degraded]
            pairs = zip(views[::step], keys[::step], strict=True)
            views[::step] = [degrade_image(view, key.generator()) for view, key in pairs]
        return np.stack([plain, *views])


class OversizedImage:
    """The oversized image itself, from which every epoch makes another view."""

    key = "oversized image"
    count = 1

    def __call__(self, plain: np.ndarray, oversized: np.ndarray, sha256: str) -> np.ndarray:
        """Return `oversized`: uint8 (side, side, 3)."""
        return oversized


class ViewKey(NamedTuple):
    """Everything that the draws of one view depend on; nothing else, such as threads, decides any.

    Attributes:
        number: of the view or epoch
        sha256: of the image's file, hexadecimal
    """

    seed: int
    number: int
    sha256: str

    def generator(self) -> np.random.Generator:
        """Make the generator of what is drawn pixel by pixel."""
        return np.random.default_rng((self.seed, self.number, int(self.sha256[:16], 16)))


def augment_images(
    oversized: Iterable[np.ndarray],
    side: int,
    image_size: int,
    augmentation: Augmentation,
    keys: Sequence[ViewKey],
    map_images: Callable[..., Iterable[np.ndarray]] = map,
) -> list[np.ndarray]:
    """Make one random view of each oversized image, in a single bilinear resampling.

    Args:
        oversized: uint8 (side, side, 3); about 15 % wider than `image_size`, so that nothing aliases
        keys: one per image
        map_images: `map`, or one that uses threads

    Returns:
        uint8 (image_size, image_size, 3); gray where a view looks past the border
    """
    draws = ImageDraws([f"{key.seed} {key.number} {key.sha256}" for key in keys])
    affines = sample_affine(side, image_size, augmentation, draws).tolist()
    colors = sample_color_matrix(augmentation.brightness, augmentation.contrast, augmentation.saturation, draws)
    matrices = repeat(None) if colors is None else colors.tolist()

    def make_view(image: np.ndarray, affine: list[float], matrix: list[float] | None, key: ViewKey) -> np.ndarray:
        """Augment one image."""
        view = Image.fromarray(image).transform(
            (image_size, image_size), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR, fillcolor=OUTSIDE
        )
        pixels = np.asarray(view.convert("RGB", matrix) if matrix else view)
        if not (augmentation.noise or augmentation.erase):
            return pixels
        random = key.generator()
        if augmentation.noise:
            pixels = add_noise(pixels, random.uniform(0, augmentation.noise), random)
        is_erased = augmentation.erase and random.random() < 0.5
        return random_erase(pixels, augmentation.erase, random) if is_erased else pixels

    return list(map_images(make_view, oversized, affines, matrices, keys))


class AugmentedBatches:
    """Images with new augmentation in every epoch: indexing gives uint8 (images, image_size, image_size, 3).

    Attributes:
        oversized: indexed by positions, gives uint8 (images, side, side, 3), as an array or `StoredFeatures` do
        sha256: of each image; with the seed and the epoch it decides every draw
        degraded: whether half of the images are degraded, each of them in every second epoch
    """

    def __init__(
        self,
        oversized: Any,
        sha256: Sequence[str],
        augmentation: Augmentation,
        image_size: int,
        seed: int,
        degraded: bool = False,
    ) -> None:
        self._arguments = oversized, sha256, augmentation, image_size, seed
        self._degraded, self._epoch = degraded, 0
        self._pool = ThreadPoolExecutor(count_workers())

    def __len__(self) -> int:
        return len(self._arguments[1])

    def in_epoch(self, epoch: int) -> "AugmentedBatches":
        """Take the same images as an epoch sees them."""
        batches = copy(self)
        batches._epoch = epoch
        return batches

    def __getitem__(self, indices: np.ndarray | slice) -> np.ndarray:
        oversized, sha256, augmentation, image_size, seed = self._arguments
        positions = np.arange(len(self))[indices]
        images = oversized[positions]
        keys = [ViewKey(seed, self._epoch, sha256[position]) for position in positions.tolist()]
        map_images = self._pool.map if image_size >= THREADED_SIZE else map
        views = augment_images(images, images.shape[1], image_size, augmentation, keys, map_images)
        if self._degraded:
            odd = ((positions + self._epoch) % 2).tolist()
            views = list(map_images(_degrade_odd, views, keys, odd))
        return np.stack(views)


def _degrade_odd(view: np.ndarray, key: ViewKey, is_odd: int) -> np.ndarray:
    return degrade_image(view, key.generator()) if is_odd else view


def flip_sensitive_class(class_names: Sequence[str]) -> str | None:
    """Find the first class that a mirror could turn into another, by its name: digits, letters, left and right.

    >>> flip_sensitive_class(["ant", "bee"]), flip_sensitive_class(["turn_left", "turn_right"])
    (None, 'turn_left')
    """
    names = [name.lower() for name in class_names]
    if with_direction := [name for name in names if FLIP_SENSITIVE.search(name)]:
        return with_direction[0]
    signs = [name for name in names if len(name) == 1 and name.isalnum()]
    return signs[0] if 2 * len(signs) > len(names) else None


def flip_note(class_names: Sequence[str], hflip: bool) -> str | None:
    """Say what mirroring may do to a class that depends on left and right; None where there is no such class.

    Args:
        hflip: whether half of the views are mirrored
    """
    name = flip_sensitive_class(class_names)
    if name is None:
        return None
    looks = f"a mirrored '{name}' could be another class"
    if hflip:
        return f"half of the views are mirrored, but {looks}; --no-hflip turns this off."
    return f"images are not mirrored: {looks}. --hflip allows it."
