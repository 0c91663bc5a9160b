"""The cost of a training: what phases add up to, and what a forecast needs to know of the machine without Keras."""

import math
import time
from dataclasses import dataclass, replace

import numpy as np

from tlkit.training.loop.batches import steps_per_epoch
from tlkit.training.loop.plan import FitPlan

EVALUATION_COST = 1 / 3  # of the time of a training step, for as many images
YARDSTICK_SECONDS = 0.009  # that `_run_yardstick` takes on the processor where the next figures were measured
GRAPH_SECONDS = 0.03  # per layer of a trained network: to convert, fold, trace and save it
HEAD_GRAPH_SECONDS = 0.9  # until a head is traced
END_SECONDS = 3.6  # of a command outside its phases: imports of the command line; files, plots and page of a run


@dataclass(frozen=True)
class CostEstimate:
    """Time and disk space of a training.

    Attributes:
        fixed_seconds: before the first epoch of the last phase
        epoch_seconds: for one of the `epochs` of the last phase
        epochs: planned
        disk: bytes of the cache
        expected_epochs: after which early stopping ends the last phase, as a rule
        end_seconds: after the last epoch
    """

    fixed_seconds: float = 0.0
    epoch_seconds: float = 0.0
    epochs: int = 0
    disk: int = 0
    expected_epochs: int = 0
    end_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        """In all, as a rule."""
        return self.fixed_seconds + self.expected_epochs * self.epoch_seconds + self.end_seconds

    @property
    def max_seconds(self) -> float:
        """In all, where early stopping does not end the last phase."""
        return self.seconds + (self.epochs - self.expected_epochs) * self.epoch_seconds

    def with_epochs(self, epochs: int) -> "CostEstimate":
        """Plan fewer epochs of the last phase."""
        return replace(self, epochs=epochs, expected_epochs=min(epochs, self.expected_epochs))

    def epochs_within(self, seconds: float) -> int:
        """Count the planned epochs that end within a number of seconds; perhaps none.

        >>> CostEstimate(fixed_seconds=10, epoch_seconds=5, epochs=10).epochs_within(36)
        5
        """
        if seconds == math.inf:
            return self.epochs
        left = seconds - self.fixed_seconds - self.end_seconds
        return max(0, min(self.epochs, int(left // self.epoch_seconds)))

    def then(self, fixed_seconds: float, step_seconds: float, images: tuple[int, int], plan: FitPlan) -> "CostEstimate":
        """Add a phase.

        Args:
            fixed_seconds: before its first epoch
            step_seconds: of a whole batch
            images: how many there are to train on, and how many held out
        """
        train, held_out = images
        size = min(plan.batch_size, train)
        steps = steps_per_epoch(train, size) + EVALUATION_COST * held_out / size
        epoch_seconds = steps * step_seconds * size / plan.batch_size
        return CostEstimate(self.seconds + fixed_seconds, epoch_seconds, plan.epochs, self.disk, plan.expected_epochs)


def measure_slowness() -> float:
    """Measure how many times as long as the reference processor this one takes for Python code, beside its other work.

    Importing, tracing and converting networks and drawing plots are Python code for the most part.
    """
    return float(np.mean([_run_yardstick() for _ in range(8)])) / YARDSTICK_SECONDS


def _run_yardstick() -> float:
    started = time.perf_counter()
    sorted({str(number): number for number in range(60_000)})
    return time.perf_counter() - started
