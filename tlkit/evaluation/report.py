"""Report of a classifier on labeled images: metrics, and the same as text."""

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
    """Metrics of a classifier on labeled images.

    probabilities  float32 (images, classes)
    labels         int32 (images,)
    """

    class_names: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray

    def __repr__(self) -> str:
        low, high = self.interval
        counts = f"{self.num_correct} of {len(self.labels)}, {len(self.class_names)} classes"
        return f"Report(accuracy={self.accuracy:.4f}, interval=({low:.4f}, {high:.4f}), {counts})"

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class of each image, of equals the first: int32 (images,)."""
        return np.asarray(np.argmax(self.probabilities, axis=1), np.int32)

    @property
    def num_correct(self) -> int:
        """The number of images classified correctly."""
        return int(np.sum(self.predicted == self.labels))

    @property
    def accuracy(self) -> float:
        """The fraction of images classified correctly."""
        return self.num_correct / len(self.labels)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of the accuracy."""
        return wilson_interval(self.num_correct, len(self.labels))

    @property
    def confusion(self) -> np.ndarray:
        """The confusion matrix: int (classes, classes), rows true, columns predicted."""
        return confusion_matrix(self.labels, self.predicted, len(self.class_names))

    @property
    def scores(self) -> list[ClassScore]:
        """Precision, recall and F1 of each class, in label order."""
        return class_scores(self.confusion, self.class_names)

    def class_frequency(self, label: int) -> float:
        """Compute the fraction of images of a class: the accuracy of always predicting it."""
        return float(np.mean(self.labels == label))

    def top_k(self, k: int) -> float:
        """Compute how often the true class is among the `k` most probable."""
        return top_k_accuracy(self.probabilities, self.labels, k)

    def as_json(self) -> dict[str, Any]:
        """Return the metrics by the names of `metrics.json`."""
        return {
            "accuracy": self.accuracy,
            "accuracy_ci95": list(self.interval),
            "macro_f1": macro_f1(self.confusion),
            "num_images": len(self.labels),
        }


def headline(report: Report, subset: str) -> str:
    """Write accuracy, number of images, confidence interval and macro-F1 in one line.

    subset: the images' name in the sentence, such as "validation"
    """
    low, high = report.interval
    images = "image" if len(report.labels) == 1 else "images"
    return (
        f"accuracy {report.accuracy:.3f} on {len(report.labels)} {subset} {images} "
        f"(95 % interval {low:.3f} to {high:.3f}), macro-F1 {macro_f1(report.confusion):.3f}"
    )


def class_table(report: Report) -> list[str]:
    """Write a table: precision, recall, F1 and number of images, one line per class."""
    names = [truncate(name, 30) for name in report.class_names]
    width = max(5, *map(len, names))
    lines = [f"{'class':<{width}}  precision  recall     F1  images"]
    lines += [
        f"{name:<{width}}  {score.precision:9.3f}  {score.recall:6.3f}  {score.f1:5.3f}  {score.support:6d}"
        for name, score in zip(names, report.scores, strict=True)
    ]
    return lines


def confusion_lines(report: Report) -> list[str]:
    """Write the most frequent mistakes, one per line."""
    return [
        f"{count} × {escape_control_chars(true)} taken for {escape_control_chars(predicted)}"
        for true, predicted, count in worst_confusions(report.confusion, report.class_names)
    ]
