"""Read this first: what a training is made of, and what it results in."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tlkit.data.split import Split
from tlkit.evaluation.report import Report
from tlkit.runs.run import Run

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class TrainingResult:
    """A finished run and what it showed.

    report   on the validation images, on which the best epoch was chosen
    test     on the test images, which nothing was chosen on; None without a test side
    metrics  what `metrics.json` holds
    history  one row per epoch, phase after phase
    """

    run: Run
    split: Split
    report: Report
    test: Report | None
    metrics: dict[str, Any]
    history: list[dict[str, Any]]
