"""Report of a classifier on labeled images."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from tlkit.evaluation.metrics import (
    ClassScore,
    class_scores,
    confusion_matrix,
    macro_f1,
    top_k_accuracy,
    wilson_interval,
    worst_confusions,
)
from tlkit.utils.html import html_bar, html_card, html_facts, html_table
from tlkit.utils.text import distinct_names, whole_percent


@dataclass(frozen=True)
class Report:
    """Metrics of a classifier on labeled images.

    Attributes:
        class_names: in label order
        labels: int32 (images,)
        probabilities: float32 (images, classes)
    """

    class_names: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray

    def __repr__(self) -> str:
        low, high = self.interval
        counts = f"{self.num_correct} of {len(self.labels)}, {len(self.class_names)} classes"
        return f"Report(accuracy={self.accuracy:.4f}, interval=({low:.4f}, {high:.4f}), {counts})"

    def _repr_html_(self) -> str:
        return html_card("Report", report_html(self))

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

    @property
    def mistakes(self) -> list[int]:
        """The positions of the misclassified images, the most confident first."""
        predicted = self.predicted
        wrong = np.flatnonzero(predicted != self.labels)
        confidence = self.probabilities[wrong, predicted[wrong]]
        return [int(index) for index in wrong[np.argsort(-confidence, kind="stable")]]

    @property
    def worst_confusions(self) -> list[tuple[str, str, int]]:
        """The most frequent mistakes: (true class, predicted class, images)."""
        return worst_confusions(self.confusion, self.class_names)

    @property
    def baseline(self) -> tuple[str, float]:
        """The commonest class of these images, and the accuracy of always predicting it.

        Of all classes one has at least the mean frequency, so this is never less than chance, 1 / number of classes.
        """
        counts = np.bincount(self.labels, minlength=len(self.class_names))
        return self.class_names[int(np.argmax(counts))], float(counts.max() / len(self.labels))

    @property
    def beats_baseline(self) -> bool:
        """True if the accuracy is significantly above the baseline: the whole 95 % interval is above it."""
        return self.interval[0] > self.baseline[1]

    def top_k(self, k: int) -> float:
        """Compute how often the true class is among the `k` most probable.

        Args:
            k: number of classes, at least 1

        Returns:
            A fraction, 0 to 1
        """
        return top_k_accuracy(self.probabilities, self.labels, k)

    def as_json(self) -> dict[str, Any]:
        """Return the metrics by the names of `metrics.json`."""
        return {
            "accuracy": self.accuracy,
            "accuracy_ci95": list(self.interval),
            "baseline_accuracy": self.baseline[1],
            "baseline_class": self.baseline[0],
            "beats_baseline": self.beats_baseline,
            "macro_f1": macro_f1(self.confusion),
            "num_images": len(self.labels),
        }


def report_html(report: Report) -> Markup:
    """Show in a notebook how accurate a classifier is, and how well it finds each class."""
    (low, high), (class_name, baseline) = report.interval, report.baseline
    facts = html_facts(
        [
            ("accuracy", f"{100 * report.accuracy:.1f} % ({report.num_correct:,} of {len(report.labels):,} images)"),
            ("interval", f"{100 * low:.1f} to {100 * high:.1f} % (95 %)"),
            ("baseline", f"{100 * baseline:.1f} %, always answering '{class_name}'"),
        ]
    )
    rows = [
        (
            name,
            html_bar(score.recall, whole_percent(score.recall)),
            whole_percent(score.precision),
            f"{score.support:,}",
        )
        for name, score in zip(distinct_names(report.class_names), report.scores, strict=True)
    ]
    return facts + html_table(("class", "recall", "precision", "images"), rows, "classes")
