"""Images mixed in pairs above the cut: MixUp (Zhang 2017) and CutMix (Yun 2019), on features instead of pixels.

What lies below the cut is computed once, so pictures cannot be mixed before it; mixed inside a
network they serve as well (manifold mixup: Verma 2018).
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Mixing:
    """How images are mixed: alphas of the Beta distribution their shares are drawn from; 0 for not.

    Where both are given, each batch is mixed the one way or the other.
    """

    mixup: float = 0.0
    cutmix: float = 0.0


Batch = tuple[np.ndarray, np.ndarray, np.ndarray]  # features (images, …), targets, weights


def mix(batch: Batch, mixing: Mixing, random: np.random.Generator) -> Batch:
    """A batch in which each image is mixed with another one of it, and its target in the same proportion.

    CutMix needs feature maps (images, height, width, channels); vectors stay as they are.
    """
    cutmix = mixing.cutmix if batch[0].ndim == 4 else 0.0
    if not (mixing.mixup or cutmix):
        return batch
    by_pieces = bool(cutmix) and (not mixing.mixup or random.random() < 0.5)
    share = random.beta(cutmix, cutmix) if by_pieces else random.beta(mixing.mixup, mixing.mixup)
    other = random.permutation(len(batch[0]))
    features, share = _pieced(batch[0], other, share, random) if by_pieces else (_blend(batch[0], other, share), share)
    return features, _blend(batch[1], other, share), _blend(batch[2], other, share)


def _blend(values: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    blended: np.ndarray = (share * values + (1 - share) * values[other]).astype(values.dtype)
    return blended


def _pieced(
    features: np.ndarray, other: np.ndarray, share: float, random: np.random.Generator
) -> tuple[np.ndarray, float]:
    """A rectangle of each map replaced by that of another one, and the share that is left of its own."""
    height, width = features.shape[1:3]
    tall, wide = (round(length * np.sqrt(1 - share)) for length in (height, width))
    top, left = random.integers(0, height - tall + 1), random.integers(0, width - wide + 1)
    pieced = features.copy()
    pieced[:, top : top + tall, left : left + wide] = features[other, top : top + tall, left : left + wide]
    return pieced, 1 - tall * wide / (height * width)
