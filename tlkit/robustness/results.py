"""The answers of a run to damaged copies, and the figures that follow from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from tlkit.data.listing import FileEntry
from tlkit.evaluation.calibration import calibration_error
from tlkit.evaluation.metrics import PairedComparison, compare_scores, mcnemar, mean_interval, wilson_interval

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class CopyAnswers:
    """The answers to one copy of each image.

    Attributes:
        predicted: int32 (images,), the most probable class
        confidence: float32 (images,), its calibrated probability
        original_class: float32 (images,), the probability of the class that the undamaged image is answered with
        is_unknown: bool (images,); None where the run has no threshold
    """

    predicted: np.ndarray
    confidence: np.ndarray
    original_class: np.ndarray
    is_unknown: np.ndarray | None


@dataclass(frozen=True)
class CorruptionFigures:
    """The figures of a run on one corruption at one severity.

    Attributes:
        corruption: a key of `CORRUPTIONS`; "none" for the undamaged images
        severity: 1 to 5; 0 for the undamaged images
        num_correct, num_images: images
        ece, ece_ci95: expected calibration error, 0 to 1
        unknown_rate: fraction of the images that get the answer unknown; None where the run has no threshold
        change: of the accuracy, against the undamaged images
    """

    corruption: str
    severity: int
    num_correct: int
    num_images: int
    ece: float
    ece_ci95: tuple[float, float]
    unknown_rate: float | None
    change: PairedComparison

    @property
    def accuracy(self) -> float:
        """The fraction of correct answers, whether or not the run would say unknown."""
        return self.num_correct / self.num_images

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy."""
        return wilson_interval(self.num_correct, self.num_images)

    def as_json(self) -> dict[str, Any]:
        """Give the row of --json."""
        return {
            "corruption": self.corruption,
            "severity": self.severity,
            "accuracy": self.accuracy,
            "accuracy_ci95": list(self.interval),
            "num_correct": self.num_correct,
            "num_images": self.num_images,
            "ece": self.ece,
            "ece_ci95": list(self.ece_ci95),
            "unknown_share": self.unknown_rate,
            "change": self.change.difference,
            "change_ci95": list(self.change.interval),
            "p": self.change.p,
        }


@dataclass(frozen=True)
class ConsistencyFigures:
    """Differences between the answers to copies of images and to the images.

    Attributes:
        copy: a key of `consistency.COPIES`
        num_changed, num_images: images whose most probable class is another one, and all
        confidence_change: mean absolute change of the probability of the class that was answered, 0 to 1
        accuracy: on the copies
    """

    copy: str
    num_changed: int
    num_images: int
    confidence_change: float
    accuracy: float

    def as_json(self) -> dict[str, Any]:
        """Give the row of --json."""
        return {
            "copy": self.copy,
            "changed": self.num_changed / self.num_images,
            "changed_ci95": list(wilson_interval(self.num_changed, self.num_images)),
            "num_changed": self.num_changed,
            "num_images": self.num_images,
            "confidence_change": self.confidence_change,
            "accuracy": self.accuracy,
        }


@dataclass(frozen=True)
class WeakestCorruption:
    """The corruption with the lowest accuracy, averaged over its severities.

    Each image counts once, by the fraction of its severities that are answered correctly. The p-values are multiplied
    by the number of comparisons (Bonferroni), because the corruption was chosen among several.

    Attributes:
        name: a key of `CORRUPTIONS`
        accuracy, interval: mean over the severities, and its 95 % interval
        change: of the accuracy against the undamaged images; p for as many comparisons as there are corruptions
        others: the change against each other corruption, the nearest first; p for as many comparisons as there are
    """

    name: str
    accuracy: float
    interval: tuple[float, float]
    change: PairedComparison
    others: Mapping[str, PairedComparison]

    @property
    def ties(self) -> list[str]:
        """Corruptions that are not significantly different from it."""
        return [name for name, comparison in self.others.items() if comparison.p >= SIGNIFICANT]

    def as_json(self) -> dict[str, Any]:
        """Give the entry of --json."""
        return {
            "corruption": self.name,
            "accuracy": self.accuracy,
            "accuracy_ci95": list(self.interval),
            "change": self.change.difference,
            "change_ci95": list(self.change.interval),
            "p": self.change.p,
            "not_significantly_different": self.ties,
        }


@dataclass(frozen=True)
class Robustness:
    """The figures of a run on damaged copies of images.

    Attributes:
        labels: int32 (images,), the class of each
        class_names: in label order
        counted: what the images are for the run: "new" or "validation"; of its own images their subset
        num_available: images from which these were drawn
        undamaged: the answers to the images themselves
        corrupted: the answers by corruption and severity
        copies: the answers to mirrored, shifted and newly encoded images
        skipped: files that do not count, each with its reason
    """

    labels: np.ndarray = field(repr=False)
    class_names: tuple[str, ...]
    counted: str
    num_available: int
    undamaged: CopyAnswers = field(repr=False)
    corrupted: Mapping[tuple[str, int], CopyAnswers] = field(repr=False)
    copies: Mapping[str, CopyAnswers] = field(repr=False)
    skipped: tuple[FileEntry, ...] = field(repr=False)

    @property
    def corruptions(self) -> list[str]:
        """The corruptions that were measured, in their order."""
        return list(dict.fromkeys(name for name, _ in self.corrupted))

    @property
    def severities(self) -> list[int]:
        """The severities that were measured, in their order."""
        return list(dict.fromkeys(severity for _, severity in self.corrupted))

    @cached_property
    def clean(self) -> CorruptionFigures:
        """The figures of the undamaged images."""
        return self._figures("none", 0, self.undamaged)

    @cached_property
    def rows(self) -> list[CorruptionFigures]:
        """The figures of each corruption and severity."""
        return [self._figures(*key, answers) for key, answers in self.corrupted.items()]

    @cached_property
    def means(self) -> dict[str, float]:
        """The accuracy by corruption, averaged over its severities, the lowest first."""
        means = {name: float(self._scores(name).mean()) for name in self.corruptions}
        return dict(sorted(means.items(), key=lambda item: item[1]))

    @property
    def corruption_mean(self) -> float:
        """The mean of the accuracy over all corruptions, each averaged over its severities."""
        return float(np.mean(list(self.means.values())))

    @property
    def corruption_mean_interval(self) -> tuple[float, float]:
        """The 95 % interval of the corruption mean; its unit is the image."""
        return mean_interval(np.mean([self._scores(name) for name in self.corruptions], axis=0))

    @cached_property
    def weakest(self) -> WeakestCorruption:
        """The corruption with the lowest mean accuracy, compared with the others on the same images."""
        name, *others = self.means
        scores, clean = self._scores(name), (self.undamaged.predicted == self.labels).astype(float)
        return WeakestCorruption(
            name,
            self.means[name],
            mean_interval(scores),
            _corrected(compare_scores(scores, clean), len(self.means)),
            {other: _corrected(compare_scores(scores, self._scores(other)), len(others)) for other in others},
        )

    @cached_property
    def consistency(self) -> list[ConsistencyFigures]:
        """The differences between the answers to copies and to the images."""
        return [
            ConsistencyFigures(
                name,
                int((answers.predicted != self.undamaged.predicted).sum()),
                len(self.labels),
                float(np.abs(answers.original_class - self.undamaged.confidence).mean()),
                float((answers.predicted == self.labels).mean()),
            )
            for name, answers in self.copies.items()
        ]

    def as_json(self) -> dict[str, Any]:
        """Give what --json prints."""
        return {
            "num_images": len(self.labels),
            "num_available": self.num_available,
            "counted": self.counted,
            "clean": self.clean.as_json(),
            "rows": [row.as_json() for row in self.rows],
            "corruptions": self.means,
            "corruption_mean": self.corruption_mean,
            "corruption_mean_ci95": list(self.corruption_mean_interval),
            "weakest": self.weakest.as_json(),
            "consistency": [row.as_json() for row in self.consistency],
        }

    def _figures(self, name: str, severity: int, answers: CopyAnswers) -> CorruptionFigures:
        correct = answers.predicted == self.labels
        ece, interval = calibration_error(answers.confidence, correct)
        return CorruptionFigures(
            name,
            severity,
            int(correct.sum()),
            len(correct),
            ece,
            interval,
            None if answers.is_unknown is None else float(answers.is_unknown.mean()),
            mcnemar(correct, self.undamaged.predicted == self.labels),
        )

    def _scores(self, name: str) -> np.ndarray:
        """Give the fraction of severities at which each image is answered correctly: (images,)."""
        answers = [answers for (other, _), answers in self.corrupted.items() if other == name]
        scores: np.ndarray = np.mean([item.predicted == self.labels for item in answers], axis=0)
        return scores


def _corrected(comparison: PairedComparison, count: int) -> PairedComparison:
    """Multiply the p-value by the number of comparisons that were made."""
    return PairedComparison(comparison.difference, comparison.interval, min(1.0, count * comparison.p))


def stack_answers(rows: Sequence["CopyAnswers"], has_threshold: bool) -> list[CopyAnswers]:
    """Turn answers by image, each over copies, into answers by copy, each over images.

    Args:
        rows: one per image, of arrays (copies,)
    """
    predicted, confidence, original, unknown = (
        np.stack([getattr(row, name) for row in rows], axis=1)
        for name in ("predicted", "confidence", "original_class", "is_unknown")
    )
    return [
        CopyAnswers(predicted[copy], confidence[copy], original[copy], unknown[copy] if has_threshold else None)
        for copy in range(len(predicted))
    ]
