"""How a classifier did on labelled images: the figures, and the same as text."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tlkit.evaluation.metrics import (
    ClassScore,
    class_scores,
    confusion_matrix,
    macro_f1,
    top_k_accuracy,
    wilson_interval,
    worst_confusions,
)
from tlkit.utils.text import escape_control_chars, truncate


@dataclass(frozen=True)
class Report:
    """How a classifier did on labelled images.

    probabilities  float32 (images, classes)
    labels         int32 (images,)
    """

    class_names: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """The likeliest class of each image; of equals, the first."""
        return np.asarray(np.argmax(self.probabilities, axis=1), np.int32)

    @property
    def correct(self) -> int:
        """How many images were classified rightly."""
        return int(np.sum(self.predicted == self.labels))

    @property
    def accuracy(self) -> float:
        """The share of images classified rightly."""
        return self.correct / len(self.labels)

    @property
    def interval(self) -> tuple[float, float]:
        """The accuracy's 95 % Wilson interval."""
        return wilson_interval(self.correct, len(self.labels))

    @property
    def confusion(self) -> np.ndarray:
        """int (classes, classes), rows true, columns predicted."""
        return confusion_matrix(self.labels, self.predicted, len(self.class_names))

    @property
    def scores(self) -> list[ClassScore]:
        """One per class, in label order."""
        return class_scores(self.confusion, self.class_names)

    def share_of(self, label: int) -> float:
        """The accuracy of always answering one class."""
        return float(np.mean(self.labels == label))

    def top_k(self, k: int) -> float:
        """How often the true class is among the `k` likeliest."""
        return top_k_accuracy(self.probabilities, self.labels, k)

    def as_json(self) -> dict[str, Any]:
        """The figures under the names `metrics.json` has."""
        return {
            "accuracy": self.accuracy,
            "accuracy_ci95": list(self.interval),
            "macro_f1": macro_f1(self.confusion),
            "num_images": len(self.labels),
        }


def headline(report: Report, what: str) -> str:
    """The accuracy in one line, with what it is worth."""
    low, high = report.interval
    images = "image" if len(report.labels) == 1 else "images"
    return (
        f"accuracy {report.accuracy:.3f} on {len(report.labels)} {what} {images} "
        f"(95 % interval {low:.3f} to {high:.3f}), macro-F1 {macro_f1(report.confusion):.3f}"
    )


def class_table(report: Report) -> list[str]:
    """One line per class: precision, recall, F1 and the number of images."""
    names = [truncate(name, 30) for name in report.class_names]
    width = max(5, *map(len, names))
    lines = [f"{'class':<{width}}  precision  recall     F1  images"]
    lines += [
        f"{name:<{width}}  {score.precision:9.3f}  {score.recall:6.3f}  {score.f1:5.3f}  {score.support:6d}"
        for name, score in zip(names, report.scores, strict=True)
    ]
    return lines


def confusion_lines(report: Report) -> list[str]:
    """The commonest mistakes in words."""
    worst = worst_confusions(report.confusion, report.class_names)
    return [
        f"{times} × {escape_control_chars(true)} taken for {escape_control_chars(other)}"
        for true, other, times in worst
    ]
