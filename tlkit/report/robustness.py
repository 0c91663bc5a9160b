"""The answers of runs to damaged and attacked images, for the page that compares them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tlkit.data.degradation import TRAINED_KINDS
from tlkit.evaluation.report import Report
from tlkit.report.content import RunContent
from tlkit.robustness.attack import attack
from tlkit.robustness.measure import measure_robustness
from tlkit.robustness.results import Robustness
from tlkit.utils.progress import Progress
from tlkit.utils.storage import Location
from tlkit.utils.text import format_duration

MAX_DAMAGED, MAX_ATTACKED = 200, 100  # images
SEVERITIES = "1,3,5"
EPSILON = 1  # gray level


@dataclass(frozen=True)
class MeasuredRun:
    """A run, measured on damaged and on attacked images.

    Attributes:
        attacked: the answers to images that were attacked
        method: of the attack
    """

    name: str
    content: RunContent
    robustness: Robustness
    attacked: Report
    method: str

    def as_row(self) -> dict[str, Any]:
        """Describe it as the template reads it."""
        robustness, attacked = self.robustness, self.attacked
        others = [mean for name, mean in robustness.means.items() if name not in TRAINED_KINDS]
        return {
            "name": self.name,
            "hardened": self._hardened(),
            "clean": robustness.clean,
            "mean": robustness.corruption_mean,
            "interval": robustness.corruption_mean_interval,
            "others": float(np.mean(others)),
            "attacked": attacked.accuracy,
            "attacked_interval": attacked.interval,
            "method": self.method,
            "seconds": self.content.seconds.get("total", 0.0),
            "duration": format_duration(self.content.seconds.get("total", 0.0)),
        }

    def _hardened(self) -> str:
        """Say how it was hardened; "" for a run that was not."""
        kind = str(self.content.changed.get("harden", ""))
        attacks = f"attacks, ε {self.content.options.get('harden_epsilon')}"
        return {"noise": "noise", "adversarial": attacks, "both": f"noise and {attacks}"}.get(kind, "")


def measure_runs(
    runs: Sequence[tuple[str, RunContent]], images: Location | None, progress: Progress
) -> list[MeasuredRun]:
    """Measure runs, by name, on some of their validation images.

    Args:
        images: a folder of images; those of each run where it is None

    Raises:
        DataError
        RunError
        ModelError
        OptionError
    """
    measured = []
    for name, content in runs:
        options: dict[str, Any] = {"max_images": MAX_DAMAGED, "severities": SEVERITIES}
        robustness = measure_robustness(content.run, images, progress=progress, **options)
        attacked = attack(content.run, images, progress=progress, epsilon=str(EPSILON), max_images=MAX_ATTACKED)
        measured.append(MeasuredRun(name, content, robustness, attacked.adversarial(), attacked.method))
    return measured


def describe_robustness(measured: Sequence[MeasuredRun]) -> dict[str, Any]:
    """Give what the template reads of runs that were measured."""
    names = list(measured[0].robustness.means) if measured else []
    return {
        "rows": [run.as_row() for run in measured],
        "corruptions": [
            {
                "name": name,
                "is_trained": name in TRAINED_KINDS,
                "means": [run.robustness.means[name] for run in measured],
            }
            for name in names
        ],
        "num_damaged": len(measured[0].robustness.labels) if measured else 0,
        "num_attacked": len(measured[0].attacked.labels) if measured else 0,
        "severities": SEVERITIES.replace(",", ", "),
        "epsilon": EPSILON,
    }
