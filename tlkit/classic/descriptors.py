"""The registry of handcrafted descriptors: an image in, a vector out that describes colors, shapes or textures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from PIL import Image

from tlkit.classic.gradients import SIFT_ORIENTATIONS, dense_sift, hog, orientation_maps
from tlkit.errors import ModelError, OptionError
from tlkit.utils.color import LUMA

DESCRIPTOR_VERSION = 3  # part of every cache key; raise it when any value may change
SKIMAGE = "scikit-image"
GRAY_LEVELS = 32  # that co-occurrences are counted of
SIFT_STEPS = {4: 8, 6: 12, 8: 8}  # pixels between patches, by the side of a bin: patches of 16, 24 and 32


@dataclass(frozen=True)
class Descriptor:
    """One way to describe a picture.

    describe  uint8 (height, width, 3) to float32 (values,); of a local one (patches, values + 2), each
              with the patch's centre, as shares of width and height
    image_size  height and width of the picture it is made for, in pixels
    least_size  that it can describe
    mixed     whether its values have units of their own, so that each is standardized by itself
    local     whether it describes patches, which are then encoded
    source    the paper
    package   whose version its values depend on
    """

    name: str
    describe: Callable[[np.ndarray], np.ndarray]
    image_size: int
    source: str
    mixed: bool = False
    local: bool = False
    least_size: int = 1
    package: str = "numpy"


def describe_colours(pixels: np.ndarray) -> np.ndarray:
    """Red, green and blue of the two most frequent colours, of the eight that fit the picture best: (6,), 0 to 1."""
    reduced = Image.fromarray(pixels).quantize(8)
    palette = np.reshape(reduced.getpalette() or [0] * 24, (-1, 3)).astype(np.float32) / 255
    counts = np.bincount(np.asarray(reduced).ravel(), minlength=len(palette))
    found = [place for place in np.argsort(-counts, kind="stable") if counts[place]]
    return np.concatenate([palette[found[0]], palette[found[min(1, len(found) - 1)]]])  # of one colour, twice that


def describe_histogram(pixels: np.ndarray) -> np.ndarray:
    """The shares of 8 × 4 × 4 bins of hue, saturation and value: (128,); square roots, so lengths are 1."""
    hsv = np.asarray(Image.fromarray(pixels).convert("HSV"))
    bins = (hsv // np.array([32, 64, 64], np.uint8)).reshape(-1, 3)
    places = (bins[:, 0] * 16 + bins[:, 1] * 4 + bins[:, 2]).astype(np.int64)
    return np.sqrt(np.bincount(places, minlength=128) / len(places)).astype(np.float32)


def describe_lbp(pixels: np.ndarray) -> np.ndarray:
    """Shares of uniform local binary patterns, of 8 neighbours at 1 pixel, 16 at 2 and 24 at 3: (54,)."""
    from skimage.feature import local_binary_pattern

    grey = _gray(pixels, np.uint8)
    found = []
    for points, radius in ((8, 1), (16, 2), (24, 3)):
        patterns = local_binary_pattern(grey, points, radius, "uniform").astype(np.int64)
        found.append(np.bincount(patterns.ravel(), minlength=points + 2) / patterns.size)
    rooted: np.ndarray = np.sqrt(np.concatenate(found)).astype(np.float32)
    return rooted


def describe_hog(pixels: np.ndarray) -> np.ndarray:
    """Histograms of oriented gradients: 12 directions, cells of 16 pixels, blocks of 3 × 3 cells."""
    return hog(_gray(pixels))


def describe_haralick(pixels: np.ndarray) -> np.ndarray:
    """Six properties and the entropy of co-occurring greys at 1, 2 and 4 pixels: mean and range over four angles."""
    from skimage.feature import graycomatrix, graycoprops

    grey = _gray(pixels, np.uint8) // (256 // GRAY_LEVELS)
    angles = (0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
    found = graycomatrix(grey, (1, 2, 4), angles, GRAY_LEVELS, symmetric=True, normed=True)
    names = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation", "ASM")
    entropy = -np.sum(found * np.log2(found + 1e-12), axis=(0, 1))
    values = np.stack([*(graycoprops(found, name) for name in names), entropy])  # (7, distances, angles)
    return np.concatenate([values.mean(axis=2).ravel(), np.ptp(values, axis=2).ravel()]).astype(np.float32)


def describe_sift(pixels: np.ndarray) -> np.ndarray:
    """Dense SIFT of patches of 16, 24 and 32 pixels, and where each lies: float16 (patches, 130)."""
    maps = orientation_maps(_gray(pixels), SIFT_ORIENTATIONS)
    found = [_with_places(dense_sift(maps, size, step)) for size, step in SIFT_STEPS.items()]
    return np.concatenate(found).astype(np.float16)


def _with_places(grid: np.ndarray) -> np.ndarray:
    rows, columns, length = grid.shape
    down, across = np.meshgrid((np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns, indexing="ij")
    places = np.stack([across, down], axis=-1)
    return np.concatenate([grid, places], axis=-1).reshape(-1, length + 2)


def _gray(pixels: np.ndarray, kind: type = np.float32) -> np.ndarray:
    """Brightness: float32, 0 to 1; or uint8."""
    grey = pixels.astype(np.float32) @ np.array(LUMA, np.float32)
    return np.rint(grey).astype(np.uint8) if kind is np.uint8 else grey / 255


_DESCRIPTORS = (
    Descriptor("colours", describe_colours, 64, "the course: the two most frequent colours", package="pillow"),
    Descriptor("histogram", describe_histogram, 128, "Swain and Ballard 1991, IJCV 7:11", package="pillow"),
    Descriptor("lbp", describe_lbp, 224, "Ojala, Pietikäinen and Mäenpää 2002, PAMI 24:971", package=SKIMAGE),
    Descriptor("hog", describe_hog, 96, "Dalal and Triggs 2005, CVPR", least_size=48),
    Descriptor("haralick", describe_haralick, 224, "Haralick 1973, SMC 3:610", mixed=True, package=SKIMAGE),
    Descriptor("bow", describe_sift, 224, "Csurka 2004, ECCV workshop: bags of features", local=True, least_size=32),
    Descriptor("fisher", describe_sift, 224, "Perronnin 2010, ECCV: Fisher vectors", local=True, least_size=32),
)
DESCRIPTORS = {row.name: row for row in _DESCRIPTORS}


def find_descriptors(names: str) -> list[Descriptor]:
    """The rows of descriptors joined by +, such as "hog+histogram".

    raises: OptionError
    """
    found = names.split("+")
    if "auto" in found:
        raise OptionError(f"--descriptor is '{names}'; auto chooses among several by itself: give it alone.")
    if unknown := [name for name in found if name not in DESCRIPTORS]:
        known = ", ".join(DESCRIPTORS)
        raise OptionError(
            f"--descriptor is '{names}'; there is no '{unknown[0]}': expected auto, {known}, or several with +."
        )
    if len(set(found)) < len(found):
        raise OptionError(f"--descriptor is '{names}'; expected each descriptor once.")
    return [DESCRIPTORS[name] for name in found]


def require_packages(rows: Sequence[Descriptor]) -> None:
    """raises: ModelError where a descriptor needs a package that is not installed"""
    if missing := [row.name for row in rows if row.package == SKIMAGE and not find_spec("skimage")]:
        raise ModelError(f"{missing[0]} needs scikit-image, which is not installed: pip install 'tlkit[shallow]'.")


def descriptor_sizes(rows: Sequence[Descriptor], size: int) -> tuple[int, ...]:
    """The size of the picture that each descriptor is made of: of one the size asked for, of several at most that.

    size: 0 for each one's own
    raises: OptionError where one cannot describe so small a picture
    """
    sizes = tuple(min(row.image_size, size or row.image_size) for row in rows) if len(rows) > 1 or not size else (size,)
    for row, own in zip(rows, sizes, strict=True):
        if own < row.least_size:
            raise OptionError(f"--image-size is {size}; {row.name} needs at least {row.least_size}.")
    return sizes


def resized(pixels: np.ndarray, side: int) -> np.ndarray:
    """A square picture in another size: uint8 (side, side, 3), reduced with antialiasing."""
    if len(pixels) == side:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0))
