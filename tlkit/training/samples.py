"""What a training learns from, and in which order."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import numpy as np

from tlkit.training.recipe import steps_per_epoch

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


def one_ahead(make: Callable[[int, Any], Made], parts: Iterable[Any]) -> Iterator[Made]:
    """What is made of each part, by its number and itself; the next is made while one is in use."""
    with ThreadPoolExecutor(1) as maker:
        coming = None
        for number, part in enumerate(parts):
            made, coming = coming, maker.submit(make, number, part)
            if made:
                yield made.result()
        if coming:
            yield coming.result()


def batches(num_images: int, batch_size: int, seed: int, epoch: int) -> np.ndarray:
    """The positions of the images of every step of an epoch: (steps, batch_size).

    Every image once, in an order that depends on seed and epoch; the last batch is filled up
    with the first images, so that all have one size and none is too small for a batch norm.
    """
    order = np.random.default_rng((seed, epoch)).permutation(num_images)
    filled = np.resize(order, steps_per_epoch(num_images, batch_size) * batch_size)
    return filled.reshape(-1, batch_size)
