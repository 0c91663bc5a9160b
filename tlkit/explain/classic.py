"""Reasons of classic classifiers: gradients of linear ones, and their templates on pixels."""

import numpy as np

from tlkit.classic.descriptors import DESCRIPTORS, resize_square
from tlkit.classic.pipeline import ClassicPipeline
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
