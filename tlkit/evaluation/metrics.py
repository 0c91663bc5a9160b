"""Numbers from labels and probabilities, in NumPy: accuracy, intervals, F1, McNemar's test."""

import math
from dataclasses import dataclass

import numpy as np

Z95 = 1.959963984540054  # the 97.5 % point of the standard normal distribution


@dataclass(frozen=True)
class ClassScore:
    """How one class fares: precision, recall and F1 from 0 to 1, and how many images it has."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson 1927; Brown, Cai & DasGupta 2001).

    >>> [round(bound, 2) for bound in wilson_interval(9, 10)]
    [0.6, 0.98]
    """
    if total == 0:
        return 0.0, 1.0
    share, z2 = correct / total, Z95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z95 / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    return (centre - half if correct else 0.0), (centre + half if correct < total else 1.0)


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """int (classes, classes): rows true, columns predicted.

    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    cells = np.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes)


def class_scores(confusion: np.ndarray, class_names: tuple[str, ...]) -> list[ClassScore]:
    """Precision, recall, F1 and support of every class, in label order; 0 where a share has no whole."""
    right = np.diag(confusion)
    predicted, support = confusion.sum(axis=0), confusion.sum(axis=1)
    precision, recall, f1 = _share(right, predicted), _share(right, support), _share(2 * right, predicted + support)
    return [
        ClassScore(name, float(precision[k]), float(recall[k]), float(f1[k]), int(support[k]))
        for k, name in enumerate(class_names)
    ]


def macro_f1(confusion: np.ndarray) -> float:
    """The mean F1 of the classes that occur, as truth or as prediction."""
    right = np.diag(confusion)
    occurrences = confusion.sum(axis=0) + confusion.sum(axis=1)
    return float(np.mean(_share(2 * right, occurrences)[occurrences > 0])) if occurrences.any() else 0.0


def top_k_accuracy(probabilities: np.ndarray, labels: np.ndarray, k: int) -> float:
    """How often the true class is among the `k` likeliest; ties count in label order."""
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return float(np.mean((order == labels[:, None]).any(axis=1)))


def worst_confusions(confusion: np.ndarray, class_names: tuple[str, ...], most: int = 3) -> list[tuple[str, str, int]]:
    """(true class, predicted class, times), the commonest mistakes first."""
    mistakes = confusion - np.diag(np.diag(confusion))
    order = np.argsort(-mistakes, axis=None, kind="stable")[:most]
    cells = (divmod(int(cell), len(class_names)) for cell in order)
    return [(class_names[i], class_names[j], int(mistakes[i, j])) for i, j in cells if mistakes[i, j]]


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    shares: np.ndarray = np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
    return shares


@dataclass(frozen=True)
class PairedComparison:
    """How one classifier stands to another.

    difference  of the accuracies, first minus second
    interval    of it, 95 %
    p           how likely at least as uneven a result is where both are equally good
    """

    difference: float
    interval: tuple[float, float]
    p: float


def mcnemar(first: np.ndarray, second: np.ndarray) -> PairedComparison:
    """From which images each got right: bool (images,) both.

    Only images that exactly one got right tell them apart (McNemar 1947): the test is exact. The
    interval is Wald's with half an image more of each kind (Agresti and Min 2005, Stat. Med. 24:729).

    >>> compare_paired(np.array([True] * 6), np.array([True] * 2 + [False] * 4)).p
    0.125
    """
    only_first, only_second = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    total = len(first)
    low, high = _interval(only_first + 0.5, only_second + 0.5, total + 2)
    return PairedComparison((only_first - only_second) / total, (low, high), sign_test(only_first, only_second))


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
