"""A check for shortcuts: traits that predict the class although they are not what the images show."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from tlkit.evaluation.metrics import wilson_interval
from tlkit.quality.base import CheckedData, Issue, Severity

NUM_NEIGHBORS = 9  # that vote
MIN_IMAGES, MAX_IMAGES = 20, 5000  # that the traits are judged by
FILE_GAIN = 0.3  # of what could be gained over the commonest class: files should tell nothing
COLOR_GAIN = 0.8  # colors and sharpness may be what the classes are about, so only nearly perfect ones count
SURE_GAIN = 0.8
BLOCK = 512


@dataclass(frozen=True)
class Shortcuts:
    """Format, size, border or color that alone predict the class; one issue for each."""

    name: str = "shortcuts"

    def find(self, data: CheckedData) -> list[Issue]:
        """Classify each image by such a trait of the others, and list the traits that tell too much."""
        sample = np.linspace(0, len(data.folder) - 1, min(len(data.folder), MAX_IMAGES)).astype(np.int64)
        labels, looks = data.folder.labels[sample], data.appearances[sample]
        counts = np.bincount(labels, minlength=data.folder.num_classes)
        if len(labels) < MIN_IMAGES or np.count_nonzero(counts) < 2:
            return []
        chance = counts.max() / len(labels)
        sizes = [*zip(looks["width"].tolist(), looks["height"].tolist(), strict=True)]
        border = np.column_stack([looks["border"], looks["border_deviation"]])
        fineness = np.column_stack([looks["sharpness"], np.log1p(looks["num_bytes"] / np.maximum(_area(looks), 1))])
        traits = [
            ("the file format", vote_among_equal(looks["format"].tolist(), labels), FILE_GAIN, "error"),
            ("the size in pixels", vote_among_equal(sizes, labels), FILE_GAIN, "error"),
            ("sharpness and compression", vote_among_nearest(fineness, labels), COLOR_GAIN, "warning"),
            ("the border", vote_among_nearest(border, labels), COLOR_GAIN, "warning"),
            ("the mean color", vote_among_nearest(looks["color"], labels), COLOR_GAIN, "info"),
        ]
        issues = []
        for words, predicted, threshold, severity in traits:
            correct = int((predicted == labels).sum())
            low, high = wilson_interval(correct, len(labels))
            gain = (low - chance) / (1 - chance)
            if gain >= threshold:
                shown = f"{100 * correct / len(labels):.1f} % ({100 * low:.1f} to {100 * high:.1f} %)"
                message = (
                    f"the class can be predicted from {words} alone: {shown} correct; "
                    f"the commonest class is {100 * chance:.1f} %."
                )
                issues.append(
                    Issue(self.name, _severity(severity, gain), _examples(data), gain, message, _remedy(words))
                )
        return sorted(issues, key=lambda issue: -issue.score)


def _severity(usual: str, gain: float) -> Severity:
    return "error" if usual == "error" and gain >= SURE_GAIN else "warning" if usual != "info" else "info"


def _remedy(words: str) -> str:
    if "color" in words or "border" in words:
        return (
            "If the classes are not about that, take images of all classes before the same ground, in the same light."
        )
    return "Make the files of all classes in the same way: a network can learn this instead of what they show."


def _examples(data: CheckedData) -> tuple[str, ...]:
    """Take the first image of every class."""
    first = {int(label): position for position, label in reversed([*enumerate(data.folder.labels)])}
    return tuple(data.path(first[label]) for label in sorted(first))


def _area(looks: np.ndarray) -> np.ndarray:
    area: np.ndarray = looks["width"].astype(np.float64) * looks["height"]
    return area


def vote_among_equal(traits: Sequence[Hashable], labels: np.ndarray) -> np.ndarray:
    """Give each image the commonest class of the others with the same trait; of all others where there are none."""
    by_trait: dict[Hashable, Counter[int]] = {}
    for trait, label in zip(traits, labels.tolist(), strict=True):
        by_trait.setdefault(trait, Counter())[label] += 1
    everywhere = Counter(labels.tolist())
    predicted = np.empty(len(labels), np.int64)
    for position, (trait, label) in enumerate(zip(traits, labels.tolist(), strict=True)):
        others = by_trait[trait] if by_trait[trait].total() > 1 else everywhere
        predicted[position] = _commonest_without(others, label)
    return predicted


def _commonest_without(counts: Counter[int], label: int) -> int:
    remaining = {other: count - (other == label) for other, count in counts.items()}
    return max(sorted(remaining), key=lambda other: remaining[other])


def vote_among_nearest(traits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Give each image the class most of its nearest neighbors have; columns count by their ranks.

    Args:
        traits: (images, values)
    """
    ranks = np.stack([_ranks(column) for column in traits.T])
    num_classes, predicted = int(labels.max()) + 1, np.empty(len(labels), np.int64)
    count = min(NUM_NEIGHBORS, len(labels) - 1)
    for start in range(0, len(labels), BLOCK):
        images = np.arange(start, min(start + BLOCK, len(labels)))
        distances = np.zeros((len(images), len(labels)), np.float32)
        for column in ranks:
            distances += (column[images, np.newaxis] - column) ** 2
        distances[images - start, images] = np.inf
        near = np.argpartition(distances, count - 1, axis=1)[:, :count]
        votes = (labels[near][:, :, None] == np.arange(num_classes)).sum(axis=1)
        predicted[start : start + BLOCK] = votes.argmax(axis=1)
    return predicted


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0 to 1; equal values have one rank."""
    unique, inverse = np.unique(values, return_inverse=True)
    positions = np.cumsum(np.bincount(inverse)) - 1
    ranks: np.ndarray = positions[inverse].astype(np.float32) / max(len(values) - 1, 1)
    return ranks
