"""The registry of handcrafted descriptors: an image to a vector of its pixels, colors, shapes or textures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from tlkit.classic.gradients import SIFT_ORIENTATIONS, dense_sift, hog, orientation_maps
from tlkit.classic.patterns import count_patterns
from tlkit.errors import OptionError, require
from tlkit.utils.color import LUMA

DESCRIPTOR_VERSION = 4  # part of every cache key; raise it when any value may change
SKIMAGE = "scikit-image"
GRAY_LEVELS = 32  # of the co-occurrence matrix
SIFT_STEPS = {4: 8, 6: 12, 8: 8}  # side of a bin to step between patches, in pixels: patches of 16, 24 and 32


@dataclass(frozen=True)
class Descriptor:
    """One kind of handcrafted features.

    Attributes:
        key: part of the cache key that names the computation: equal for descriptors that differ only in how patches are
            encoded, and never changed with a function's name
        compute: uint8 (height, width, 3) to float32 (values,); a local one gives float16 (patches, values + 2), the
            last two the patch's center as fractions of width and height
        image_size: default height and width of the image it is computed on, in pixels
        min_size: the smallest height and width that it accepts
        source: the paper
        standardize_columns: whether its values have different units, so that each column is standardized by itself
        is_local: whether it describes patches, which are then encoded as one vector
        package: the package whose version its values depend on
    """

    name: str
    key: str
    compute: Callable[[np.ndarray], np.ndarray]
    image_size: int
    source: str
    standardize_columns: bool = False
    is_local: bool = False
    min_size: int = 1
    package: str = "numpy"


def compute_pixels(pixels: np.ndarray) -> np.ndarray:
    """Return red, green and blue of every pixel, row by row: (height × width × 3,), 0 to 1."""
    return pixels.reshape(-1).astype(np.float32) / 255


def compute_colors(pixels: np.ndarray) -> np.ndarray:
    """Compute red, green and blue of the two most frequent colors of a palette of eight: (6,), 0 to 1.

    An image of one color gives it twice.
    """
    quantized = Image.fromarray(pixels).quantize(8)
    palette = np.reshape(quantized.getpalette() or [0] * 24, (-1, 3)).astype(np.float32) / 255
    counts = np.bincount(np.asarray(quantized).ravel(), minlength=len(palette))
    by_frequency = [index for index in np.argsort(-counts, kind="stable") if counts[index]]
    return np.concatenate([palette[by_frequency[0]], palette[by_frequency[min(1, len(by_frequency) - 1)]]])


def compute_histogram(pixels: np.ndarray) -> np.ndarray:
    """Compute a histogram of 8 × 4 × 4 bins of hue, saturation and value: (128,), square roots of fractions."""
    hsv = np.asarray(Image.fromarray(pixels).convert("HSV"))
    bins = (hsv // np.array([32, 64, 64], np.uint8)).reshape(-1, 3)
    indices = (bins[:, 0] * 16 + bins[:, 1] * 4 + bins[:, 2]).astype(np.int64)
    return np.sqrt(np.bincount(indices, minlength=128) / len(indices)).astype(np.float32)


def compute_lbp(pixels: np.ndarray) -> np.ndarray:
    """Compute histograms of uniform local binary patterns: (54,), square roots of fractions.

    8 neighbors at a radius of 1 pixel, 16 at 2 and 24 at 3.
    """
    gray = _gray_levels(pixels)
    counts = [count_patterns(gray, neighbors, radius) for neighbors, radius in ((8, 1), (16, 2), (24, 3))]
    rooted: np.ndarray = np.sqrt(np.concatenate(counts) / gray.size).astype(np.float32)
    return rooted


def compute_hog(pixels: np.ndarray) -> np.ndarray:
    """Compute histograms of oriented gradients: 12 orientations, cells of 16 pixels, blocks of 3 × 3 cells."""
    return hog(_brightness(pixels))


def compute_haralick(pixels: np.ndarray) -> np.ndarray:
    """Compute Haralick features of gray-level co-occurrence at 1, 2 and 4 pixels: (42,).

    Six properties and the entropy: first the mean over four angles of each, then the range.
    """
    from skimage.feature import graycomatrix, graycoprops

    gray = _gray_levels(pixels) // (256 // GRAY_LEVELS)
    angles = (0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
    matrices = graycomatrix(gray, (1, 2, 4), angles, GRAY_LEVELS, symmetric=True, normed=True)
    names = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation", "ASM")
    entropy = -np.sum(matrices * np.log2(matrices + 1e-12), axis=(0, 1))
    properties = np.stack([*(graycoprops(matrices, name) for name in names), entropy])  # (7, distances, angles)
    return np.concatenate([properties.mean(axis=2).ravel(), np.ptp(properties, axis=2).ravel()]).astype(np.float32)


def compute_sift(pixels: np.ndarray) -> np.ndarray:
    """Compute dense SIFT of patches of 16, 24 and 32 pixels, with the center of each: float16 (patches, 130)."""
    maps = orientation_maps(_brightness(pixels), SIFT_ORIENTATIONS)
    grids = [dense_sift(maps, bin_size, step) for bin_size, step in SIFT_STEPS.items()]
    return np.concatenate([append_positions(grid.astype(np.float16)) for grid in grids], dtype=np.float16)


def append_positions(grid: np.ndarray) -> np.ndarray:
    """Append the position of each patch in its grid: (rows, columns, values) to (patches, values + 2)."""
    rows, columns, length = grid.shape
    down, across = np.meshgrid((np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns, indexing="ij")
    positions = np.stack([across, down], axis=-1).astype(np.result_type(grid, np.float16))
    return np.concatenate([grid, positions], axis=-1).reshape(-1, length + 2)


def _brightness(pixels: np.ndarray) -> np.ndarray:
    """Compute the brightness: float32 (height, width), 0 to 1."""
    return pixels.astype(np.float32) @ np.array(LUMA, np.float32) / 255


def _gray_levels(pixels: np.ndarray) -> np.ndarray:
    """Reduce to levels of gray: uint8 (height, width)."""
    return np.rint(pixels.astype(np.float32) @ np.array(LUMA, np.float32)).astype(np.uint8)


# The option's help is in settings/training.py; what --descriptor auto compares is in training/classic.py.
DESCRIPTORS = {
    descriptor.name: descriptor
    for descriptor in (
        Descriptor(
            name="pixels",
            key="pixels",
            compute=compute_pixels,
            image_size=16,  # with 32, an SVM is 3 points worse on sign_digits
            source="Turk and Pentland 1991, JCN 3:71: nearest neighbors and PCA on pixels",
        ),
        Descriptor(
            name="colors",
            key="describe_colours",
            compute=compute_colors,
            image_size=64,
            source="Ponti 2018: the two most frequent colors",
            package="pillow",
        ),
        Descriptor(
            name="histogram",
            key="describe_histogram",
            compute=compute_histogram,
            image_size=128,
            source="Swain and Ballard 1991, IJCV 7:11",
            package="pillow",
        ),
        Descriptor(
            name="lbp",
            key="describe_lbp",
            compute=compute_lbp,
            image_size=224,
            source="Ojala, Pietikäinen and Mäenpää 2002, PAMI 24:971",
        ),
        Descriptor(
            name="hog",
            key="describe_hog",
            compute=compute_hog,
            image_size=96,
            source="Dalal and Triggs 2005, CVPR",
            min_size=48,
        ),
        Descriptor(
            name="haralick",
            key="describe_haralick",
            compute=compute_haralick,
            image_size=224,
            source="Haralick 1973, SMC 3:610",
            standardize_columns=True,
            package=SKIMAGE,
        ),
        Descriptor(
            name="bow",
            key="describe_sift",
            compute=compute_sift,
            image_size=224,
            source="Csurka 2004, ECCV workshop: bags of features",
            is_local=True,
            min_size=32,
        ),
        Descriptor(
            name="fisher",
            key="describe_sift",
            compute=compute_sift,
            image_size=224,
            source="Perronnin 2010, ECCV: Fisher vectors",
            is_local=True,
            min_size=32,
        ),
    )
}


def find_descriptors(names: str) -> list[Descriptor]:
    """Look up descriptors whose names are joined by +, such as "hog+histogram".

    Raises:
        OptionError
    """
    parts = names.split("+")
    if "auto" in parts:
        raise OptionError(f"--descriptor is '{names}'; auto cannot be combined with other descriptors.")
    if unknown := [name for name in parts if name not in DESCRIPTORS]:
        known = ", ".join(DESCRIPTORS)
        raise OptionError(
            f"--descriptor is '{names}'; '{unknown[0]}' is unknown: expected auto, {known}, or several joined by +."
        )
    if len(set(parts)) < len(parts):
        raise OptionError(f"--descriptor is '{names}'; expected each descriptor once.")
    return [DESCRIPTORS[name] for name in parts]


def require_packages(descriptors: Sequence[Descriptor]) -> None:
    """Check that the packages of some descriptors are installed.

    Raises:
        ModelError
    """
    for descriptor in descriptors:
        if descriptor.package == SKIMAGE:
            require(SKIMAGE, "classic", descriptor.name)


def descriptor_sizes(descriptors: Sequence[Descriptor], size: int) -> tuple[int, ...]:
    """Choose the size of the image that each descriptor is computed on.

    A single descriptor gets the size asked for; of several, each gets at most its own.

    Args:
        size: height and width asked for, in pixels; 0 for each descriptor's own

    Raises:
        OptionError: if a descriptor does not accept so small an image
    """
    sizes: tuple[int, ...]
    if size and len(descriptors) == 1:
        sizes = (size,)
    else:
        sizes = tuple(min(row.image_size, size or row.image_size) for row in descriptors)
    for descriptor, chosen in zip(descriptors, sizes, strict=True):
        if chosen < descriptor.min_size:
            raise OptionError(f"--image-size is {size}; {descriptor.name} needs at least {descriptor.min_size}.")
    return sizes


def resize_square(pixels: np.ndarray, side: int) -> np.ndarray:
    """Resize a square image with antialiasing: uint8 (side, side, 3)."""
    if len(pixels) == side:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0))
