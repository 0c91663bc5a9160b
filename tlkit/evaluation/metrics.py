"""Metrics from labels and probabilities, in NumPy: accuracy, intervals, F1, McNemar's test."""

import math
from dataclasses import dataclass

import numpy as np

Z95 = 1.959963984540054  # the 97.5 % point of the standard normal distribution
NUM_PERMUTATIONS = 99_999  # random signs that a permutation test draws


@dataclass(frozen=True)
class ClassScore:
    """Precision, recall and F1 of one class, from 0 to 1, and its number of images."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """Compute the 95 % score interval of a proportion (Wilson 1927; Brown, Cai & DasGupta 2001).

    >>> [round(bound, 2) for bound in wilson_interval(9, 10)]
    [0.6, 0.98]
    """
    if total == 0:
        return 0.0, 1.0
    proportion, z2 = correct / total, Z95**2
    center = (proportion + z2 / (2 * total)) / (1 + z2 / total)
    half = Z95 / (1 + z2 / total) * math.sqrt(proportion * (1 - proportion) / total + z2 / (4 * total**2))
    return (center - half if correct else 0.0), (center + half if correct < total else 1.0)


def difference_interval(first: tuple[int, int], second: tuple[int, int]) -> tuple[float, float]:
    """Compute the 95 % interval of the difference of two independent proportions, first minus second.

    Newcombe's hybrid score interval, from the Wilson intervals of both (Newcombe 1998, Stat. Med. 17:873, method 10).

    Args:
        first, second: each the correct and all images

    >>> [round(bound, 4) for bound in difference_interval((56, 70), (48, 80))]
    [0.0524, 0.3339]
    """
    (first_low, first_high), (second_low, second_high) = wilson_interval(*first), wilson_interval(*second)
    first_proportion, second_proportion = first[0] / first[1], second[0] / second[1]
    difference = first_proportion - second_proportion
    below = math.hypot(first_proportion - first_low, second_high - second_proportion)
    above = math.hypot(first_high - first_proportion, second_proportion - second_low)
    return difference - below, difference + above


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Count images by true class (rows) and predicted class (columns): int (classes, classes).

    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    counts = np.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def class_scores(confusion: np.ndarray, class_names: tuple[str, ...]) -> list[ClassScore]:
    """Compute precision, recall, F1 and support of every class, in label order; 0 where a denominator is 0."""
    correct = np.diag(confusion)
    predicted, support = confusion.sum(axis=0), confusion.sum(axis=1)
    precision, recall = _safe_divide(correct, predicted), _safe_divide(correct, support)
    f1 = _safe_divide(2 * correct, predicted + support)
    return [
        ClassScore(name, float(precision[label]), float(recall[label]), float(f1[label]), int(support[label]))
        for label, name in enumerate(class_names)
    ]


def macro_f1(confusion: np.ndarray) -> float:
    """Average the F1 of the classes that occur, as true or as predicted class."""
    occurrences = confusion.sum(axis=0) + confusion.sum(axis=1)
    f1 = _safe_divide(2 * np.diag(confusion), occurrences)
    return float(np.mean(f1[occurrences > 0])) if occurrences.any() else 0.0


def _safe_divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    quotient: np.ndarray = np.divide(numerator, denominator, out=np.zeros(len(numerator)), where=denominator > 0)
    return quotient


def top_k_accuracy(probabilities: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Compute how often the true class is among the `k` most probable; ties count in label order."""
    top_k = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return float(np.mean((top_k == labels[:, None]).any(axis=1)))


def worst_confusions(
    confusion: np.ndarray, class_names: tuple[str, ...], max_confusions: int = 3
) -> list[tuple[str, str, int]]:
    """List the most frequent mistakes: (true class, predicted class, images), the most frequent first."""
    mistakes = confusion - np.diag(np.diag(confusion))
    cells = np.argsort(-mistakes, axis=None, kind="stable")[:max_confusions]
    pairs = (divmod(int(cell), len(class_names)) for cell in cells)
    return [
        (class_names[true], class_names[predicted], int(mistakes[true, predicted]))
        for true, predicted in pairs
        if mistakes[true, predicted]
    ]


@dataclass(frozen=True)
class PairedComparison:
    """Two classifiers compared on the same images.

    Attributes:
        difference: of the accuracies, first minus second
        interval: 95 % confidence interval of the difference
        p: two-sided p-value of McNemar's exact test
    """

    difference: float
    interval: tuple[float, float]
    p: float


def mcnemar(first: np.ndarray, second: np.ndarray) -> PairedComparison:
    """Compare two classifiers by the images that exactly one of them classifies correctly (McNemar 1947).

    The test is exact. The interval is Wald's with half an image added to each count (Agresti and Min 2005,
    Stat. Med. 24:729).

    Args:
        first, second: bool (images,), whether each classifier is correct

    >>> mcnemar(np.array([True] * 6), np.array([True] * 2 + [False] * 4)).p
    0.125
    """
    only_first, only_second = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    total = len(first)
    interval = _agresti_min_interval(only_first + 0.5, only_second + 0.5, total + 2)
    return PairedComparison((only_first - only_second) / total, interval, sign_test(only_first, only_second))


def compare_scores(first: np.ndarray, second: np.ndarray) -> PairedComparison:
    """Compare the mean scores of the same images under two conditions; of scores 0 and 1 it is `mcnemar`.

    The test is a permutation test: if the conditions are alike, each image's difference is as probable with the other
    sign. The sum under random signs is drawn, for each size of a difference by a binomial count. The interval is that
    of `mcnemar`, with the squared differences in place of the counts.

    Args:
        first, second: (images,), 0 to 1, such as the fraction of an image's copies that are answered correctly

    >>> compare_scores(np.array([1.0, 0.5, 1.0, 0.5]), np.array([0.0, 0.5, 0.5, 0.5])).difference
    0.375
    """
    differences = np.round(np.asarray(first, float) - second, 9)
    total, observed = len(differences), abs(differences.sum())
    rng, sums = np.random.default_rng(0), np.zeros(NUM_PERMUTATIONS)
    for size, count in zip(*np.unique(np.abs(differences[differences != 0]), return_counts=True), strict=True):
        sums += size * (2 * rng.binomial(count, 0.5, NUM_PERMUTATIONS) - count)
    p = (1 + np.sum(np.abs(sums) >= observed - 1e-6)) / (1 + NUM_PERMUTATIONS)
    center = differences.sum() / (total + 2)
    deviation = math.sqrt(((differences**2).sum() + 1) / (total + 2) - center**2) / math.sqrt(total + 2)
    interval = float(max(-1.0, center - Z95 * deviation)), float(min(1.0, center + Z95 * deviation))
    return PairedComparison(float(differences.mean()), interval, float(p))


def mean_interval(scores: np.ndarray) -> tuple[float, float]:
    """Compute the 95 % interval of a mean of scores from 0 to 1; of scores 0 and 1 it is that of Agresti and Coull.

    Args:
        scores: (images,)

    >>> [round(bound, 2) for bound in mean_interval(np.array([1.0] * 9 + [0.0]))]
    [0.57, 1.0]
    """
    padded = np.concatenate([scores, (0.0, 0.0, 1.0, 1.0)])
    half = Z95 * padded.std() / math.sqrt(len(padded))
    return float(max(0.0, padded.mean() - half)), float(min(1.0, padded.mean() + half))


def _agresti_min_interval(only_first: float, only_second: float, total: float) -> tuple[float, float]:
    difference = (only_first - only_second) / total
    deviation = math.sqrt(only_first + only_second - (only_first - only_second) ** 2 / total) / total
    return max(-1.0, difference - Z95 * deviation), min(1.0, difference + Z95 * deviation)


def sign_test(wins: int, losses: int) -> float:
    """Compute the two-sided p-value of a split into wins and losses, by the binomial distribution with p = 0.5."""
    trials, fewer = wins + losses, min(wins, losses)
    combinations = tail = 1  # of no loss
    for count in range(fewer):
        combinations = combinations * (trials - count) // (count + 1)
        tail += combinations
    return float(min(1.0, 2 * tail / 2**trials))
