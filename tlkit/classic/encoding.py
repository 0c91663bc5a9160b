"""Local descriptors of an image as one vector: bag of visual words, Fisher vector, spatial pyramid."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from tlkit.classic.base import Arrays, fit_quietly, softmax

VISUAL_WORDS, NUM_GAUSSIANS = 512, 32  # of the vocabularies
PCA_COMPONENTS = 64  # a descriptor is projected to before the mixture of Gaussians
MAX_PATCHES = 60_000  # a vocabulary is fitted on
MIN_PATCHES = 2  # textured ones, for a vocabulary of textured patches only
POSITION_COLUMNS = 2  # at the end of a descriptor: its patch's center as fractions of width and height

VOCABULARY_SHAPES = {
    "bow": {"centers": "f words patch_values"},
    "fisher": {
        "mean": "f patch_values",
        "components": "f components patch_values",
        "weights": "f gaussians",
        "means": "f gaussians components",
        "variances": "f gaussians components",
    },
}

PoolCell = Callable[[np.ndarray], np.ndarray]  # mask of a cell's patches, bool (patches,), to the cell's vector


def sample_patches(image_patches: Iterable[np.ndarray], num_images: int, seed: int) -> np.ndarray:
    """Draw patches for a vocabulary, as many of each image: (patches, values).

    Args:
        image_patches: of one image after the other, so that they need not be in memory together
    """
    rng, per_image = np.random.default_rng(seed), max(1, -(-MAX_PATCHES // num_images))
    return np.concatenate([patches[np.sort(rng.permutation(len(patches))[:per_image])] for patches in image_patches])


def fit_vocabulary(kind: str, patches: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Fit what local descriptors are encoded with: k-means for "bow", a mixture of Gaussians for "fisher".

    Args:
        patches: (patches, values + 2), of training images only

    Returns:
        Arrays by name
    """
    rng = np.random.default_rng(seed)
    sample = np.sort(rng.permutation(len(patches))[:MAX_PATCHES])
    values = patches[sample, :-POSITION_COLUMNS].astype(np.float32)
    textured = values[values.any(axis=1)]  # flat patches carry no information; they serve only where all are flat
    values = textured if len(textured) >= MIN_PATCHES else values
    return {"bow": _fit_visual_words, "fisher": _fit_gaussians}[kind](values, seed)


def _fit_visual_words(values: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    from sklearn.cluster import MiniBatchKMeans

    num_words = min(VISUAL_WORDS, len(values))
    fitted = fit_quietly(MiniBatchKMeans(num_words, random_state=seed, batch_size=4096, n_init=1, max_iter=30), values)
    return {"centers": fitted.cluster_centers_.astype(np.float32)}


def _fit_gaussians(values: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    from sklearn.decomposition import PCA
    from sklearn.mixture import GaussianMixture

    pca = fit_quietly(PCA(min(PCA_COMPONENTS, *values.shape), random_state=seed), values)
    options: dict[str, Any] = {"covariance_type": "diag", "random_state": seed, "max_iter": 30, "reg_covar": 1e-5}
    mixture = GaussianMixture(min(NUM_GAUSSIANS, len(values)), tol=1e-2, **options)
    mixture = fit_quietly(mixture, pca.transform(values))
    vocabulary = {
        "mean": pca.mean_,
        "components": pca.components_,
        "weights": mixture.weights_,
        "means": mixture.means_,
        "variances": mixture.covariances_,
    }
    return {name: array.astype(np.float32) for name, array in vocabulary.items()}


def encode(vocabulary: Arrays, patches: np.ndarray, levels: int) -> np.ndarray:
    """Encode the local descriptors of an image as one vector: float32, of length 1.

    Args:
        vocabulary: as fitted
        patches: (patches, values + 2)
        levels: of the spatial pyramid (Lazebnik 2006): 1 for the whole image, 2 with its quarters
    """
    values = patches[:, :-POSITION_COLUMNS].astype(np.float32)
    positions = patches[:, -POSITION_COLUMNS:].astype(np.float32)
    pool = _bag_of_words(vocabulary, values) if "centers" in vocabulary else _fisher_vector(vocabulary, values)
    pooled = [pool(cell) for cell in pyramid_cells(positions, levels)]
    # square roots keep frequent patches from dominating (Perronnin 2010)
    cells = [_unit_length(np.sign(vector) * np.sqrt(np.abs(vector))) for vector in pooled]
    return _unit_length(np.concatenate(cells)).astype(np.float32)


def _bag_of_words(vocabulary: Arrays, values: np.ndarray) -> PoolCell:
    """Count the descriptors nearest to each center: (words,)."""
    centers = vocabulary["centers"]
    nearest = np.argmax(values @ centers.T - 0.5 * np.sum(centers**2, axis=1), axis=1)
    return lambda cell: np.bincount(nearest[cell], minlength=len(centers)).astype(np.float32)


def _fisher_vector(vocabulary: Arrays, values: np.ndarray) -> PoolCell:
    """Compute gradients of the log-likelihood by means and deviations (Perronnin 2010): (2 × Gaussians × values,)."""
    projected = (values - vocabulary["mean"]) @ vocabulary["components"].T
    weights, means, variances = (vocabulary[name] for name in ("weights", "means", "variances"))
    log_constants = np.log(weights) - 0.5 * np.sum(np.log(variances) + means**2 / variances, axis=1)
    responsibilities = softmax(  # (patches, Gaussians)
        log_constants + projected @ (means / variances).T - 0.5 * projected**2 @ (1 / variances).T
    )
    deviations, weight_roots = np.sqrt(variances), np.sqrt(weights)[:, None]

    def pool(cell: np.ndarray) -> np.ndarray:
        """Encode the descriptors of one cell."""
        descriptors, gamma = projected[cell], responsibilities[cell].T
        counts, first, second = gamma.sum(axis=1)[:, None], gamma @ descriptors, gamma @ descriptors**2
        by_means = (first - counts * means) / (deviations * weight_roots)
        squared = second - 2 * means * first + counts * (means**2 - variances)
        by_deviations = squared / (variances * weight_roots * np.sqrt(2))
        return np.concatenate([by_means.ravel(), by_deviations.ravel()]) / len(values)

    return pool


def pyramid_cells(positions: np.ndarray, levels: int) -> Iterator[np.ndarray]:
    """Mask the patches of each cell of a spatial pyramid, level after level: bool (patches,)."""
    for side in (2**level for level in range(levels)):
        cell = np.minimum((positions * side).astype(np.int64), side - 1)
        for index in range(side**2):
            yield cell[:, 1] * side + cell[:, 0] == index


def _unit_length(vector: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vector)
    return vector / length if length > 0 else vector
