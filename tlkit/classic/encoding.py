"""Many local descriptors of a picture as one vector: bags of features, Fisher vectors, spatial pyramids."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from tlkit.classic.base import Arrays, fit_quietly

Sums = Callable[[np.ndarray], np.ndarray]  # from the patches of a cell to what they add up to
WORDS, GAUSSIANS, PROJECTED = 512, 32, 64  # of the vocabularies; numbers a descriptor is projected to before Gaussians
MAX_PATCHES = 60_000  # that a vocabulary is learnt from
MIN_PATCHES = 2  # with a gradient, that there is something to compare
PLACES = 2  # numbers after a descriptor: where its patch lies, as shares of width and height


def sample_patches(each: Iterable[np.ndarray], pictures: int, seed: int) -> np.ndarray:
    """Patches of many pictures for a vocabulary, as many of each: (patches, values).

    each: of every picture, one after the other, so that they need not be in memory together
    pictures: how many there are
    """
    random, most = np.random.default_rng(seed), max(1, -(-MAX_PATCHES // pictures))
    return np.concatenate([patches[np.sort(random.permutation(len(patches))[:most])] for patches in each])


def fit_vocabulary(kind: str, patches: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """What local descriptors are compared with: centres for "bow", a mixture of Gaussians for "fisher".

    patches: (patches, values + 2), of training images only
    """
    random = np.random.default_rng(seed)
    chosen = np.sort(random.permutation(len(patches))[:MAX_PATCHES])
    values = patches[chosen, :-PLACES].astype(np.float32)
    textured = values[values.any(axis=1)]  # flat patches say nothing, but with nothing else there are words, too
    values = textured if len(textured) >= MIN_PATCHES else values
    return _fit_words(values, seed) if kind == "bow" else _fit_gaussians(values, seed)


def encode(vocabulary: Arrays, patches: np.ndarray, levels: int) -> np.ndarray:
    """One vector for a picture: float32, of length 1.

    vocabulary: as learnt
    levels: of the spatial pyramid (Lazebnik 2006): 1 for the whole picture, 2 for its quarters besides
    """
    values, places = patches[:, :-PLACES].astype(np.float32), patches[:, -PLACES:].astype(np.float32)
    sums = _bag(vocabulary, values) if "centres" in vocabulary else _fisher(vocabulary, values)
    return _unit(np.concatenate([_signed_sqrt(sums(cell)) for cell in _cells(places, levels)])).astype(np.float32)


def _fit_words(values: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    from sklearn.cluster import MiniBatchKMeans

    words = min(WORDS, len(values))
    fitted = fit_quietly(MiniBatchKMeans(words, random_state=seed, batch_size=4096, n_init=1, max_iter=30), values)
    return {"centres": fitted.cluster_centers_.astype(np.float32)}


def _fit_gaussians(values: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    from sklearn.decomposition import PCA
    from sklearn.mixture import GaussianMixture

    projection = fit_quietly(PCA(min(PROJECTED, *values.shape), random_state=seed), values)
    count = min(GAUSSIANS, len(values))
    options: dict[str, Any] = {"covariance_type": "diag", "random_state": seed, "max_iter": 30, "reg_covar": 1e-5}
    mixture = fit_quietly(GaussianMixture(count, tol=1e-2, **options), projection.transform(values))
    found = {
        "mean": projection.mean_,
        "components": projection.components_,
        "weights": mixture.weights_,
        "means": mixture.means_,
        "variances": mixture.covariances_,
    }
    return {name: array.astype(np.float32) for name, array in found.items()}


def _bag(vocabulary: Arrays, values: np.ndarray) -> Sums:
    """How many descriptors of a cell are nearest to each centre: (words,)."""
    centres = vocabulary["centres"]
    nearest = np.argmax(values @ centres.T - 0.5 * np.sum(centres**2, axis=1), axis=1)
    return lambda cell: np.bincount(nearest[cell], minlength=len(centres)).astype(np.float32)


def _fisher(vocabulary: Arrays, values: np.ndarray) -> Sums:
    """How the descriptors of a cell would move means and deviations (Perronnin 2010): (2 × Gaussians × values,)."""
    projected = (values - vocabulary["mean"]) @ vocabulary["components"].T
    weights, means, variances = (vocabulary[name] for name in ("weights", "means", "variances"))
    shares = _responsibilities(projected, weights, means, variances)
    deviations, roots = np.sqrt(variances), np.sqrt(weights)[:, None]

    def sums(cell: np.ndarray) -> np.ndarray:
        inside, share = projected[cell], shares[cell].T
        counts, first, second = share.sum(axis=1)[:, None], share @ inside, share @ inside**2
        to_means = (first - counts * means) / (deviations * roots)
        squared = second - 2 * means * first + counts * (means**2 - variances)
        to_deviations = squared / (variances * roots * np.sqrt(2))
        return np.concatenate([to_means.ravel(), to_deviations.ravel()]) / len(values)

    return sums


def _responsibilities(values: np.ndarray, weights: np.ndarray, means: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """How far each Gaussian accounts for each descriptor: (patches, Gaussians), rows sum to 1."""
    constant = np.log(weights) - 0.5 * np.sum(np.log(variances) + means**2 / variances, axis=1)
    logs = constant + values @ (means / variances).T - 0.5 * values**2 @ (1 / variances).T
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _cells(places: np.ndarray, levels: int) -> Iterator[np.ndarray]:
    """Which patches lie in each cell of a pyramid, level after level."""
    for sides in (2**level for level in range(levels)):
        cell = np.minimum((places * sides).astype(np.int64), sides - 1)
        for number in range(sides**2):
            yield cell[:, 1] * sides + cell[:, 0] == number


def _signed_sqrt(values: np.ndarray) -> np.ndarray:
    """Signed square roots, which keep frequent patches from drowning the rest, of length 1."""
    return _unit(np.sign(values) * np.sqrt(np.abs(values)))


def _unit(values: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(values)
    return values / length if length > 0 else values
