"""Augmented views: presets, one affine resampling, then colors, noise and erasing; batches of them."""

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
from PIL import Image

from tlkit.data.degradation import DEGRADATION_VERSION, degrade_image
from tlkit.data.transforms import AffineLimits, add_noise, random_erase, sample_affine, sample_color_matrix
from tlkit.utils.parallel import count_workers

AUGMENT_VERSION = 2  # part of every cache key; raise it when any pixel of a view may change
DEGRADED_STEPS = {"every second": 2, "all": 1}  # from one degraded view to the next
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
        randoms = [rng_for(self.seed, number, sha256) for number in range(1, self.count)]
        if self.augmentation == NO_AUGMENTATION:
            views = [plain for _ in randoms]
        else:
            views = [augment_image(oversized, len(plain), self.augmentation, random) for random in randoms]
        if self.degraded != "none":
            step = DEGRADED_STEPS[self.degraded]
            views[::step] = [degrade_image(*pair) for pair in zip(views[::step], randoms[::step], strict=True)]
        return np.stack([plain, *views])


class OversizedImage:
    """The oversized image itself, from which every epoch makes another view."""

    key = "oversized image"
    count = 1

    def __call__(self, plain: np.ndarray, oversized: np.ndarray, sha256: str) -> np.ndarray:
        """Return `oversized`: uint8 (side, side, 3)."""
        return oversized


def rng_for(seed: int, number: int, sha256: str) -> np.random.Generator:
    """Make the generator for one image in one view or epoch; its draws depend on nothing else, such as threads."""
    return np.random.default_rng((seed, number, int(sha256[:16], 16)))


def augment_image(
    oversized: np.ndarray, image_size: int, augmentation: Augmentation, random: np.random.Generator
) -> np.ndarray:
    """Make one random view of an oversized image, in a single bilinear resampling.

    Args:
        oversized: uint8 (side, side, 3); about 15 % wider than `image_size`, so that nothing aliases

    Returns:
        uint8 (image_size, image_size, 3); gray where a view looks past the border
    """
    affine = sample_affine(len(oversized), image_size, augmentation, random)
    image = Image.fromarray(oversized).transform(
        (image_size, image_size), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR, fillcolor=OUTSIDE
    )
    limits = augmentation.brightness, augmentation.contrast, augmentation.saturation
    if colors := sample_color_matrix(*limits, random):
        image = image.convert("RGB", colors)
    view = np.asarray(image)
    if augmentation.noise:
        view = add_noise(view, random.uniform(0, augmentation.noise), random)
    return random_erase(view, augmentation.erase, random) if augmentation.erase and random.random() < 0.5 else view


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

        def make_view(position: int, image: np.ndarray) -> np.ndarray:
            """Augment the image at a position."""
            random = rng_for(seed, self._epoch, sha256[position])
            view = augment_image(image, image_size, augmentation, random)
            return degrade_image(view, random) if self._degraded and (position + self._epoch) % 2 else view

        positions = np.arange(len(self))[indices]
        return np.stack(list(self._pool.map(make_view, positions.tolist(), oversized[positions])))


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
