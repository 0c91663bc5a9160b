"""Training samples, their order, and images mixed in pairs (MixUp, CutMix)."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

Made = TypeVar("Made")


class Indexable(Protocol):
    """Features by position, in memory, on disk or made as they are asked for."""

    def __getitem__(self, indices: Any) -> np.ndarray:
        """Give (images, …)."""


class BatchAttack(Protocol):
    """Changes images of a batch so that the network errs, as it is at that step.

    Attributes:
        seconds: that attacks have taken
    """

    seconds: float

    def aim_at(self, top: Any) -> None:
        """Attack this network from now on, which is the one that is trained."""

    def attack(self, batch: np.ndarray, positions: np.ndarray, epoch: int) -> np.ndarray:
        """Put attacked images in the place of some of a batch; `positions` are those of its images in the samples."""


class Samples:
    """Images to train on, or to evaluate.

    Attributes:
        features: (images, …); where they have `in_epoch`, that gives them as an epoch sees them; where they have
            `shuffled`, that gives their order, too
        targets: float32 (images, classes), one-hot
        weights: in the loss, float32 (images,), mean 1; all equal by default
        adversary: attacks them while they are trained on; None for none
    """

    def __init__(
        self,
        features: Indexable,
        targets: "np.ndarray | OneHot",
        weights: np.ndarray | None = None,
        adversary: BatchAttack | None = None,
    ) -> None:
        self.features, self.targets, self.adversary = features, targets, adversary
        self.weights = np.ones(len(targets), np.float32) if weights is None else weights

    def in_epoch(self, epoch: int) -> Indexable:
        """Give the features as an epoch sees them."""
        features: Indexable = self.features.in_epoch(epoch) if hasattr(self.features, "in_epoch") else self.features
        return features

    def shuffled(self, seed: int, epoch: int) -> tuple[Indexable, np.ndarray]:
        """Give the features as an epoch sees them, and the positions of all images in the order it takes them."""
        if hasattr(self.features, "shuffled"):
            ordered: tuple[Indexable, np.ndarray] = self.features.shuffled(seed, epoch)
            return ordered
        return self.in_epoch(epoch), np.random.default_rng((seed, epoch)).permutation(len(self.targets))


class OneHot:
    """One-hot targets of labels, made when they are asked for, because all would take 4 bytes per image and class."""

    def __init__(self, labels: np.ndarray, num_classes: int) -> None:
        self._labels, self.shape = labels, (len(labels), num_classes)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, indices: Any) -> np.ndarray:
        labels = self._labels[indices]
        targets = np.zeros((len(labels), self.shape[1]), np.float32)
        targets[np.arange(len(labels)), labels] = 1
        return targets


def prefetch(make: Callable[[int, Any], Made], parts: Iterable[Any]) -> Iterator[Made]:
    """Make something of each part, by its number and itself; the next is made while one is in use."""
    with ThreadPoolExecutor(1) as maker:
        pending = None
        for number, part in enumerate(parts):
            ready, pending = pending, maker.submit(make, number, part)
            if ready:
                yield ready.result()
        if pending:
            yield pending.result()


def steps_per_epoch(num_images: int, batch_size: int) -> int:
    """Count the batches of one pass, the last one perhaps smaller."""
    return -(-num_images // batch_size)


def batch_indices(num_images: int, batch_size: int, seed: int, epoch: int) -> np.ndarray:
    """Draw the positions of the images of every step of an epoch: (steps, batch_size).

    Every image once, in an order that depends on seed and epoch; the last batch is filled up
    with the first images, so that all have one size and none is too small for a batch norm.
    """
    return np.stack(list(in_batches(np.random.default_rng((seed, epoch)).permutation(num_images), batch_size)))


def in_batches(order: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Give the positions of the images of every step, the last batch filled up with the first images."""
    for start in range(0, len(order), batch_size):
        yield order.take(np.arange(start, start + batch_size), mode="wrap")


@dataclass(frozen=True)
class Mixing:
    """Options for mixing images above the cut: MixUp (Zhang 2017), CutMix (Yun 2019).

    What lies below the cut is computed once, so images cannot be mixed before it; mixed inside a
    network they serve as well (manifold mixup: Verma 2018). Where both are given, each batch is mixed
    the one way or the other.

    Attributes:
        mixup, cutmix: alpha of the Beta distribution that the mixing ratio is drawn from; 0 for none
    """

    mixup: float = 0.0
    cutmix: float = 0.0


Batch = tuple[np.ndarray, np.ndarray, np.ndarray]  # features (images, …), targets, weights


def mix(batch: Batch, mixing: Mixing, random: np.random.Generator) -> Batch:
    """Mix each image of a batch with another one of it, and its target in the same proportion.

    CutMix needs feature maps (images, height, width, channels); vectors stay as they are.
    """
    features, targets, weights = batch
    cutmix = mixing.cutmix if features.ndim == 4 else 0.0
    if not (mixing.mixup or cutmix):
        return batch
    cut = bool(cutmix) and (not mixing.mixup or random.random() < 0.5)
    ratio = random.beta(cutmix, cutmix) if cut else random.beta(mixing.mixup, mixing.mixup)
    other = random.permutation(len(features))
    mixed, ratio = _cut_and_paste(features, other, ratio, random) if cut else (_blend(features, other, ratio), ratio)
    return mixed, _blend(targets, other, ratio), _blend(weights, other, ratio)


def _blend(values: np.ndarray, other: np.ndarray, ratio: float) -> np.ndarray:
    blended: np.ndarray = (ratio * values + (1 - ratio) * values[other]).astype(values.dtype)
    return blended


def _cut_and_paste(
    features: np.ndarray, other: np.ndarray, ratio: float, random: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Replace a rectangle of each map by that of another one; give also the fraction that is left of its own."""
    height, width = features.shape[1:3]
    tall, wide = (round(length * np.sqrt(1 - ratio)) for length in (height, width))
    top, left = random.integers(0, height - tall + 1), random.integers(0, width - wide + 1)
    mixed = features.copy()
    mixed[:, top : top + tall, left : left + wide] = features[other, top : top + tall, left : left + wide]
    return mixed, 1 - tall * wide / (height * width)
