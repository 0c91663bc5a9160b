"""Coverage of the 95 % intervals that tlkit computes, by simulation.

    python benchmarks/intervals.py [--draws 20000]

Accuracy: the number of correct images is binomial; the interval is Wilson's. Recall of a class: the same, of a class
that has a tenth of the images, so that its number of images is random too. Paired difference: two classifiers on the
same images; each image is correct for both, for one of them, or for none; the interval is that of `mcnemar`. The cells
of a table are percentages of draws whose interval covers the true value.
"""

import argparse
from functools import cache

import numpy as np
from measure import table

from tlkit.evaluation.metrics import mcnemar, wilson_interval

IMAGES = (20, 50, 100, 200, 500, 1000)
ACCURACIES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
CLASS_IMAGES = (5, 10, 20, 50, 100)  # on average
RECALLS = (0.5, 0.7, 0.8, 0.9, 0.95)
PAIRED_IMAGES = (50, 100, 200, 500, 1000)
ONLY_ONE = ((0.03, 0.03), (0.05, 0.02), (0.1, 0.1), (0.1, 0.05), (0.15, 0.05), (0.2, 0.2), (0.3, 0.1))
Cells = dict[tuple[str, str], float]

wilson = cache(wilson_interval)


@cache
def paired(only_first: int, only_second: int, total: int) -> tuple[float, float]:
    """Compute the interval of the difference from the counts of images that one classifier alone has right."""
    positions = np.arange(total)
    first = positions < only_first
    second = (positions >= only_first) & (positions < only_first + only_second)
    return mcnemar(first, second).interval


def covers(interval: tuple[float, float], truth: float) -> bool:
    """Tell whether an interval covers a value; bounds are rounded in the last digit."""
    return interval[0] - 1e-12 <= truth <= interval[1] + 1e-12


def accuracy_coverage(random: np.random.Generator, draws: int) -> Cells:
    """Simulate accuracies."""
    return {
        (f"{total:,} images", f"{accuracy:.0%}"): float(
            np.mean([covers(wilson(correct, total), accuracy) for correct in random.binomial(total, accuracy, draws)])
        )
        for total in IMAGES
        for accuracy in ACCURACIES
    }


def recall_coverage(random: np.random.Generator, draws: int) -> Cells:
    """Simulate recalls of a class that has a tenth of the images; a draw without an image of it does not count."""
    cells = {}
    for mean in CLASS_IMAGES:
        for recall in RECALLS:
            supports = random.binomial(10 * mean, 0.1, draws)
            supports = supports[supports > 0]
            counts = zip(random.binomial(supports, recall).tolist(), supports.tolist(), strict=True)
            covered = np.mean([covers(wilson(*count), recall) for count in counts])
            cells[f"{mean} images of the class", f"{recall:.0%}"] = float(covered)
    return cells


def paired_coverage(random: np.random.Generator, draws: int) -> Cells:
    """Simulate differences of the accuracies of two classifiers on the same images."""
    cells = {}
    for total in PAIRED_IMAGES:
        for only_first, only_second in ONLY_ONE:
            counts = random.multinomial(total, (only_first, only_second, 1 - only_first - only_second), draws)
            intervals = (paired(first, second, total) for first, second, _ in counts.tolist())
            covered = np.mean([covers(interval, only_first - only_second) for interval in intervals])
            cells[f"{total:,} images", f"{only_first:.0%}, {only_second:.0%}"] = float(covered)
    return cells


def show(title: str, cells: Cells) -> None:
    """Print a table of coverages, their mean and the worst cell."""
    rows, columns = (list(dict.fromkeys(names)) for names in zip(*cells, strict=True))
    print(f"### {title}\n")
    print(table(["", *columns], [[row, *(f"{100 * cells[row, column]:.1f}" for column in columns)] for row in rows]))
    worst = min(cells, key=lambda cell: cells[cell])
    mean = 100 * np.mean(list(cells.values()))
    print(f"\nMean {mean:.1f} %; lowest {100 * cells[worst]:.1f} % ({worst[0]}, {worst[1]}).\n")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=20_000, help="of each cell")
    draws = parser.parse_args().draws
    random = np.random.default_rng(0)
    show("Accuracy", accuracy_coverage(random, draws))
    show("Recall of a class", recall_coverage(random, draws))
    show("Paired difference, by the fractions that one classifier alone has right", paired_coverage(random, draws))


if __name__ == "__main__":
    main()
