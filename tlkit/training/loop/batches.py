"""Training samples, their order, and images mixed in pairs (MixUp, CutMix)."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from tlkit.training.hyperparameters import steps_per_epoch

Made = TypeVar("Made")


class Rows(Protocol):
    """Features by position, in memory, on disk or made as they are asked for."""

    def __getitem__(self, rows: Any) -> np.ndarray:
        """(images, …)."""


class Samples:
    """What a training learns from, or is measured on.

    features  (images, …); where they have `in_epoch`, that gives what is seen of them in an epoch
    targets   one-hot float32 (images, classes)
    weights   what each image counts, float32 (images,), mean 1; all alike where not given
    """

    def __init__(self, features: Rows, targets: np.ndarray, weights: np.ndarray | None = None) -> None:
        self.features, self.targets = features, targets
        self.weights = np.ones(len(targets), np.float32) if weights is None else weights

    def in_epoch(self, epoch: int) -> Rows:
        """The features as they are seen in an epoch."""
        seen: Rows = self.features.in_epoch(epoch) if hasattr(self.features, "in_epoch") else self.features
        return seen


def prefetch(make: Callable[[int, Any], Made], parts: Iterable[Any]) -> Iterator[Made]:
    """What is made of each part, by its number and itself; the next is made while one is in use."""
    with ThreadPoolExecutor(1) as maker:
        coming = None
        for number, part in enumerate(parts):
            made, coming = coming, maker.submit(make, number, part)
            if made:
                yield made.result()
        if coming:
            yield coming.result()


def batch_indices(num_images: int, batch_size: int, seed: int, epoch: int) -> np.ndarray:
    """The positions of the images of every step of an epoch: (steps, batch_size).

    Every image once, in an order that depends on seed and epoch; the last batch is filled up
    with the first images, so that all have one size and none is too small for a batch norm.
    """
    order = np.random.default_rng((seed, epoch)).permutation(num_images)
    filled = np.resize(order, steps_per_epoch(num_images, batch_size) * batch_size)
    return filled.reshape(-1, batch_size)


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
