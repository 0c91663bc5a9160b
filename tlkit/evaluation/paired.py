"""Two classifiers on the same images: by how much one is better, and whether that can be chance."""

import math
from dataclasses import dataclass

import numpy as np

from tlkit.evaluation.metrics import Z95


@dataclass(frozen=True)
class Paired:
    """How one classifier stands to another.

    difference  of the accuracies, first minus second
    interval    of it, 95 %
    p           how likely at least as uneven a result is where both are equally good
    """

    difference: float
    interval: tuple[float, float]
    p: float


def compare_paired(first: np.ndarray, second: np.ndarray) -> Paired:
    """From which images each got right: bool (images,) both.

    Only images that exactly one got right tell them apart (McNemar 1947): the test is exact. The
    interval is Wald's with half an image more of each kind (Agresti and Min 2005, Stat. Med. 24:729).

    >>> compare_paired(np.array([True] * 6), np.array([True] * 2 + [False] * 4)).p
    0.125
    """
    only_first, only_second = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    total = len(first)
    low, high = _interval(only_first + 0.5, only_second + 0.5, total + 2)
    return Paired((only_first - only_second) / total, (low, high), sign_test(only_first, only_second))


def sign_test(wins: int, losses: int) -> float:
    """The two-sided chance of a split at least as uneven by throwing a coin."""
    tosses, fewer = wins + losses, min(wins, losses)
    ways = tail = 1  # to lose not once
    for count in range(fewer):
        ways = ways * (tosses - count) // (count + 1)
        tail += ways
    return float(min(1.0, 2 * tail / 2**tosses))


def _interval(only_first: float, only_second: float, total: float) -> tuple[float, float]:
    share = (only_first - only_second) / total
    deviation = math.sqrt(only_first + only_second - (only_first - only_second) ** 2 / total) / total
    return max(-1.0, share - Z95 * deviation), min(1.0, share + Z95 * deviation)
