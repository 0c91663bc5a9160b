"""Counts of predictions: images per class, unknown and unsure ones, and inputs that failed."""

from collections import Counter
from typing import Any

from tlkit.inference.predictor import Prediction, is_unsure
from tlkit.utils.text import distinct_names, escape_control_chars

UNKNOWN = "unknown"  # status
NUM_CLASSES_COUNTED = 5  # that are named after the last row


class Counts:
    """Counts of the rows written: images per class, unsure rows and failures."""

    def __init__(self) -> None:
        self.labels = Counter[str]()
        self.num_unsure = 0
        self.num_unknown = 0
        self.num_failed = 0
        self.first_failure: tuple[str, str] | None = None  # path, reason

    @property
    def num_classified(self) -> int:
        """The number of images that were classified, as unknown or not."""
        return self.labels.total() + self.num_unknown

    @property
    def num_rows(self) -> int:
        """The number of inputs."""
        return self.num_classified + self.num_failed

    def add(self, prediction: Prediction) -> None:
        """Count one prediction."""
        if prediction.status == UNKNOWN:
            self.num_unknown += 1
        elif prediction.label is not None:
            self.labels[prediction.label] += 1
            self.num_unsure += is_unsure(prediction)
        else:
            self.num_failed += 1
            self.first_failure = self.first_failure or (prediction.path, prediction.error or "")

    def merge(self, content: dict[str, Any]) -> None:
        """Add the counts of other predictions, as `as_json` gives them."""
        self.labels.update(content["labels"])
        self.num_unsure += content["unsure"]
        self.num_unknown += content["unknown"]
        self.num_failed += content["errors"]
        if self.first_failure is None and content["first_error"]:
            self.first_failure = tuple(content["first_error"])

    def as_json(self) -> dict[str, Any]:
        """Give the counts as a JSON object."""
        return {
            "inputs": self.num_rows,
            "classified": self.num_classified,
            "labels": dict(sorted(self.labels.items())),
            "unsure": self.num_unsure,
            "unknown": self.num_unknown,
            "errors": self.num_failed,
            "first_error": list(self.first_failure) if self.first_failure else None,
        }

    def summary(self) -> str:
        """Say how many images each of the commonest classes has."""
        named = self.labels.most_common(NUM_CLASSES_COUNTED)
        shown = dict(zip(self.labels, distinct_names(list(self.labels)), strict=True))
        parts = [f"{count:,} {shown[name]}" for name, count in named]
        if rest := len(self.labels) - len(named):
            parts.append(f"{self.labels.total() - sum(count for _, count in named):,} of {rest:,} other classes")
        parts += [f"{self.num_unknown:,} {UNKNOWN}"] * bool(self.num_unknown)
        unsure = f"; {self.num_unsure:,} unsure (?)" if self.num_unsure else ""
        images = "image" if self.num_classified == 1 else "images"
        return f"{self.num_classified:,} {images}: {', '.join(parts)}{unsure}" if parts else "no image was classified"

    def failures(self) -> str:
        """Say how many inputs failed, and why the first did."""
        path, reason = map(escape_control_chars, self.first_failure or ("", ""))
        others = f"; {self.num_failed - 1:,} more" if self.num_failed > 1 else ""
        return f"{self.num_classified:,} classified, {self.num_failed:,} skipped ({path} {reason}{others})."
