"""Reasons of classic classifiers: gradients and templates of linear ones, and parts of descriptors."""

from collections.abc import Sequence

import numpy as np

from tlkit.classic.descriptors import DESCRIPTORS, resize_square
from tlkit.classic.gradients import HOG_BLOCK, HOG_CELL, HOG_ORIENTATIONS
from tlkit.classic.pipeline import ClassicPipeline, DescriptorPipeline
from tlkit.explain.occlusion import Window, slide_window
from tlkit.models.map_grid import MapGrid

WEIGHTS = "weights"  # of linear classifiers: (classes, values)


def linear_gradient(pipeline: ClassicPipeline, label: int) -> np.ndarray:
    """Compute the derivatives of a linear classifier's score of one class, by each feature or value of a descriptor.

    Returns:
        float32 (values,), before scaling and projection
    """
    scaler, gradient = pipeline.classifier.scaler, pipeline.classifier.arrays[WEIGHTS][label]
    if scaler.components is not None:
        gradient = gradient @ scaler.components
    return np.asarray(gradient * scaler.factor, np.float32)


class ClassicGradient:
    """The gradient of a linear classifier on a network's features, for Grad-CAM."""

    def __init__(self, pipeline: ClassicPipeline) -> None:
        self._pipeline = pipeline

    @staticmethod
    def fits(pipeline: ClassicPipeline) -> bool:
        """Tell whether a pipeline is linear on a network's features."""
        return pipeline.descriptors is None and WEIGHTS in pipeline.classifier.arrays

    def __call__(self, features: np.ndarray, label: int) -> np.ndarray:
        """Compute the derivatives for some images: float32 (images, features)."""
        return np.repeat(linear_gradient(self._pipeline, label)[None], len(features), axis=0)


class PixelTemplate:
    """The template of a linear classifier on pixels, times the image: what each pixel adds to the score of the class.

    Attributes:
        name, grid: see `HeatMethod`
    """

    name = "template"
    grid: MapGrid | None = None

    def __init__(self, pipeline: ClassicPipeline) -> None:
        self._pipeline = pipeline

    @staticmethod
    def fits(pipeline: ClassicPipeline) -> bool:
        """Tell whether a pipeline is linear on pixels."""
        is_pixels = pipeline.descriptors is not None and pipeline.descriptors.descriptors == ("pixels",)
        return is_pixels and WEIGHTS in pipeline.classifier.arrays

    def heat(self, pixels: np.ndarray, label: int) -> np.ndarray:
        """Compute the positive contributions: float32 (side, side) of the descriptor's image."""
        descriptors = self._pipeline.descriptors
        assert descriptors is not None
        (side,) = descriptors.sizes
        values = DESCRIPTORS["pixels"].compute(resize_square(pixels, side)) - self._pipeline.classifier.scaler.mean
        contributions = (values * linear_gradient(self._pipeline, label)).reshape(side, side, 3).sum(axis=-1)
        return np.asarray(np.maximum(contributions, 0), np.float32)


class DescriptorParts:
    """The loss of probability without the parts of the descriptors that lie in a window: HOG blocks, local patches.

    Unlike a cover on the pixels it adds no edges, and the descriptors are computed once.

    Attributes:
        name, grid: see `HeatMethod`
    """

    name = "parts"
    grid: MapGrid | None = None

    def __init__(self, pipeline: ClassicPipeline) -> None:
        self._pipeline = pipeline

    @staticmethod
    def fits(pipeline: ClassicPipeline) -> bool:
        """Tell whether every part of every descriptor lies somewhere in the image."""
        descriptors = pipeline.descriptors
        return descriptors is not None and all(
            name == "hog" or DESCRIPTORS[name].is_local for name in descriptors.descriptors
        )

    def heat(self, pixels: np.ndarray, label: int) -> np.ndarray:
        """Compute the heat map: float32 (steps, steps)."""
        descriptors = self._pipeline.descriptors
        assert descriptors is not None
        rows = list(zip(descriptors.descriptors, descriptors.sizes, strict=True))
        computed = [DESCRIPTORS[name].compute(resize_square(pixels, size)) for name, size in rows]
        centers = [_centers(name, size, values) for (name, size), values in zip(rows, computed, strict=True)]

        def probability_of(windows: Sequence[Window]) -> np.ndarray:
            """Leave parts out, and classify."""
            vectors = np.stack([_without(descriptors, computed, centers, window) for window in windows])
            return self._pipeline.classify(self._pipeline.scale(vectors))[:, label]

        return slide_window(probability_of)


def _centers(name: str, size: int, values: np.ndarray) -> np.ndarray:
    """Find the centers of a descriptor's parts: (parts, 2), across and down, as fractions of the sides."""
    if DESCRIPTORS[name].is_local:
        return values[:, -2:].astype(np.float64)
    side = size // HOG_CELL - HOG_BLOCK + 1  # blocks are one cell apart
    centers = (np.arange(side) + HOG_BLOCK / 2) * HOG_CELL / size
    down, across = np.meshgrid(centers, centers, indexing="ij")
    return np.stack([across.ravel(), down.ravel()], axis=1)


def _without(
    descriptors: DescriptorPipeline, computed: Sequence[np.ndarray], centers: Sequence[np.ndarray], window: Window
) -> np.ndarray:
    """Compute the vector of an image without the parts in a window: a flat HOG block is zero, a patch is left out."""
    left = list[np.ndarray]()
    for name, values, points in zip(descriptors.descriptors, computed, centers, strict=True):
        is_hidden = window.contains(points[:, 0], points[:, 1])
        if DESCRIPTORS[name].is_local:
            left.append(values if is_hidden.all() else values[~is_hidden])
        else:
            blocks = values.reshape(len(points), HOG_BLOCK**2 * HOG_ORIENTATIONS)
            left.append(np.where(is_hidden[:, None], 0, blocks).ravel())
    return descriptors.concatenate(left)
