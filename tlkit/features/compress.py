"""Shorter feature vectors: PCA, product quantization; fitted on training images alone."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tlkit.classic.distances import nearest_neighbors
from tlkit.classic.fit import principal_components
from tlkit.errors import OptionError, require

MAX_CENTERS = 256  # of each part of a feature vector: one byte is its code
NUM_SEEDS = 2**31  # faiss keeps a seed in a C int


@dataclass(frozen=True)
class Projection:
    """Principal components (PCA).

    Attributes:
        mean: float32 (values,): of the training features, subtracted before the projection
        components: float32 (components, values), that of the largest variance first
        explained: float32 (components,): fraction of the training features' variance along each component
    """

    mean: np.ndarray
    components: np.ndarray
    explained: np.ndarray

    def transform(self, features: np.ndarray) -> np.ndarray:
        """Project float32 (images, values) to float32 (images, components)."""
        projected: np.ndarray = (features - self.mean) @ self.components.T
        return projected


@dataclass(frozen=True)
class ProductQuantizer:
    """Centers that the parts of a feature vector are rounded to (Jégou 2011).

    Attributes:
        centers: float32 (parts, centers, values of a part)
    """

    centers: np.ndarray

    def encode(self, features: np.ndarray) -> np.ndarray:
        """Encode float32 (images, values) as uint8 (images, parts): the nearest center of each part."""
        parts = zip(np.split(features, len(self.centers), axis=1), self.centers, strict=True)
        return np.stack([nearest_neighbors(part, centers) for part, centers in parts], axis=1).astype(np.uint8)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Decode uint8 (images, parts) to the float32 (images, values) of their centers."""
        return np.concatenate([centers[codes[:, part]] for part, centers in enumerate(self.centers)], axis=1)


@dataclass(frozen=True)
class Codec:
    """Fitted steps that shorten feature vectors; each is None where it was not asked for."""

    projection: Projection | None = None
    quantizer: ProductQuantizer | None = None

    def project(self, features: np.ndarray) -> np.ndarray:
        """Project features to components; without a projection they stay as they are."""
        return self.projection.transform(features) if self.projection else features

    def arrays(self) -> dict[str, np.ndarray]:
        """Collect the fitted arrays of all steps, by name."""
        return {name: array for step in (self.projection, self.quantizer) if step for name, array in vars(step).items()}


def codec_of(arrays: dict[str, np.ndarray]) -> Codec:
    """Make the codec that `Codec.arrays` was taken from.

    Raises:
        KeyError: if an array is missing
    """
    projection = (
        Projection(*(arrays[name] for name in ("mean", "components", "explained"))) if "mean" in arrays else None
    )
    return Codec(projection, ProductQuantizer(arrays["centers"]) if "centers" in arrays else None)


def fit_codec(train: np.ndarray, components: int, parts: int, seed: int) -> Codec:
    """Fit a codec on training features.

    Args:
        train: float32 (images, values)
        components: number of principal components; 0 for no projection
        parts: bytes of a code; 0 for no quantizer

    Raises:
        OptionError
        ModelError: if a package is missing
    """
    projection = _fit_projection(train, components, seed) if components else None
    projected = projection.transform(train) if projection else train
    return Codec(projection, ProductQuantizer(_fit_centers(projected, parts, seed)) if parts else None)


def require_packages_for(components: int, parts: int) -> None:
    """Check that the packages for --pca and --pq are installed.

    Raises:
        ModelError
    """
    if components:
        require("scikit-learn", "classic", "--pca")
    if parts:
        require("faiss", "search", "--pq")


def _fit_projection(train: np.ndarray, count: int, seed: int) -> Projection:
    mean = train.mean(axis=0)
    components = principal_components(train - mean, count, seed)
    variances = np.var((train - mean) @ components.T, axis=0)
    explained = variances / max(np.var(train, axis=0).sum(), 1e-12)
    return Projection(mean, components, explained.astype(np.float32))


def _fit_centers(train: np.ndarray, parts: int, seed: int) -> np.ndarray:
    """Fit centers by faiss's k-means: as many as a byte can name, or fewer where there are fewer images.

    Raises:
        OptionError
    """
    num_values = train.shape[1]
    if num_values % parts:
        divisors = [number for number in range(1, num_values + 1) if num_values % number == 0]
        nearest = min(divisors, key=lambda number: abs(number - parts))
        raise OptionError(f"--pq is {parts}; expected a divisor of the {num_values} features, e.g. {nearest}.")
    import faiss

    bits = min(len(train), MAX_CENTERS).bit_length() - 1
    quantizer: Any = faiss.ProductQuantizer(num_values, parts, bits)
    quantizer.cp.seed, quantizer.cp.min_points_per_centroid = (seed + 1) % NUM_SEEDS, 1
    quantizer.train(np.ascontiguousarray(train, np.float32))
    centers: np.ndarray = faiss.vector_to_array(quantizer.centroids).reshape(parts, 2**bits, -1)
    return centers
