"""Shorter feature vectors: PCA, product quantization; fitted on training images alone."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from tlkit.classic.distances import nearest_neighbors
from tlkit.classic.fit import principal_components
from tlkit.errors import ModelError, OptionError

MAX_CENTERS = 256  # of each part of a row: a byte says which
SEEDS = 2**31  # faiss keeps one in a C int


@dataclass(frozen=True)
class Projection:
    """Principal components.

    mean        float32 (values,): what is taken from features before they are projected
    components  float32 (components, values), the foremost first
    explained   float32 (components,): the share of the training rows' variance along each
    """

    mean: np.ndarray
    components: np.ndarray
    explained: np.ndarray

    def apply(self, values: np.ndarray) -> np.ndarray:
        """float32 (images, values) to float32 (images, components)."""
        projected: np.ndarray = (values - self.mean) @ self.components.T
        return projected


@dataclass(frozen=True)
class ProductQuantizer:
    """Centres that parts of a row are rounded to (Jégou 2011).

    centres  float32 (parts, centres, values of a part)
    """

    centres: np.ndarray

    def encode(self, rows: np.ndarray) -> np.ndarray:
        """float32 (images, values) to uint8 (images, parts): the nearest centre of each part."""
        parts = zip(np.split(rows, len(self.centres), axis=1), self.centres, strict=True)
        return np.stack([nearest_neighbors(part, own) for part, own in parts], axis=1).astype(np.uint8)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """uint8 (images, parts) to the float32 (images, values) they stand for."""
        return np.concatenate([own[codes[:, place]] for place, own in enumerate(self.centres)], axis=1)


@dataclass(frozen=True)
class Codec:
    """What turns features into shorter rows; nothing in it where nothing was asked for."""

    projection: Projection | None = None
    quantizer: ProductQuantizer | None = None

    def project(self, values: np.ndarray) -> np.ndarray:
        """Features to components, or as they are."""
        return self.projection.apply(values) if self.projection else values

    def arrays(self) -> dict[str, np.ndarray]:
        """What has been learnt, by name."""
        return {name: array for step in (self.projection, self.quantizer) if step for name, array in vars(step).items()}


def fit_codec(train: np.ndarray, components: int, parts: int, seed: int) -> Codec:
    """A codec learnt from training rows: float32 (images, values).

    components: principal components; 0 for none
    parts: bytes of a code; 0 for none
    raises: OptionError, ModelError where a package is missing
    """
    projection = _principal(train, components, seed) if components else None
    rows = projection.apply(train) if projection else train
    return Codec(projection, ProductQuantizer(_fit_centers(rows, parts, seed)) if parts else None)


def require_packages_for(components: int, parts: int) -> None:
    """raises: ModelError where what is asked for needs a package that is not installed"""
    if components and not find_spec("sklearn"):
        raise ModelError("--pca needs scikit-learn, which is not installed: pip install 'tlkit[shallow]'.")
    if parts and not find_spec("faiss"):
        raise ModelError("--pq needs faiss, which is not installed: pip install 'tlkit[search]'.")


def _principal(train: np.ndarray, count: int, seed: int) -> Projection:
    mean = train.mean(axis=0)
    components = principal_components(train - mean, count, seed)
    along = np.var((train - mean) @ components.T, axis=0)
    return Projection(mean, components, (along / max(np.var(train, axis=0).sum(), 1e-12)).astype(np.float32))


def _fit_centers(rows: np.ndarray, parts: int, seed: int) -> np.ndarray:
    """By faiss's k-means; as many centres as a byte can name, or fewer where there are fewer rows.

    raises: OptionError
    """
    if rows.shape[1] % parts:
        fitting = [number for number in range(1, rows.shape[1] + 1) if rows.shape[1] % number == 0]
        near = min(fitting, key=lambda number: abs(number - parts))
        raise OptionError(f"--pq is {parts}; {rows.shape[1]} values cannot be parted into so many: try {near}.")
    import faiss

    bits = min(len(rows), MAX_CENTERS).bit_length() - 1
    quantizer: Any = faiss.ProductQuantizer(rows.shape[1], parts, bits)
    quantizer.cp.seed, quantizer.cp.min_points_per_centroid = (seed + 1) % SEEDS, 1
    quantizer.train(np.ascontiguousarray(rows, np.float32))
    centres: np.ndarray = faiss.vector_to_array(quantizer.centroids).reshape(parts, 2**bits, -1)
    return centres
