"""Positions of what charts draw; the templates draw them as SVG."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from tlkit.evaluation.calibration import Calibration
from tlkit.evaluation.metrics import wilson_interval

WIDTH, HEIGHT, SIDE = 460, 250, 320  # of charts, in units of their viewBox
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 14, 34  # margins
NUM_TICKS = 5
MAX_DRAWN = 1e100
MIN_RANGE = 1e-6  # of values, relative to them: labels have twelve digits at most
MAP_MARGIN = 12


@dataclass(frozen=True)
class Scale:
    """A linear scale from values to positions.

    Attributes:
        ticks: positions with their labels
    """

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[tuple[float, str], ...] = ()

    def __call__(self, value: float) -> float:
        """Give the position of a value, to a tenth."""
        fraction = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return round(self.start + fraction * (self.end - self.start), 1)


def make_scale(values: Sequence[float], start: float, end: float, unit: str = "", whole: bool = False) -> Scale:
    """Make a scale that holds values, with round numbers as ticks.

    Args:
        unit: "%" where values are fractions
        whole: whether only whole numbers are ticks
    """
    drawn = [value for value in values if abs(value) <= MAX_DRAWN] or [0.0]  # neither NaN nor infinite
    low, high = min(drawn), max(drawn)
    size = max(abs(low), abs(high))
    if high - low <= MIN_RANGE * size:
        margin = max(0.5, 0.001 * size)
        low, high = low - margin, high + margin
    marks = round_marks(low, high, whole)
    if whole:  # positions between epochs mean nothing
        marks = [mark for mark in marks if low <= mark <= high]
    elif unit == "%":
        marks = [mark for mark in marks if mark <= 1.0001]
    low, high = min(low, *marks), max(high, *marks)
    bare = Scale(low, high, start, end)
    step = marks[1] - marks[0] if len(marks) > 1 else 1
    ticks = tuple((bare(mark), _tick_label(mark, step, unit)) for mark in marks)
    return Scale(low, high, start, end, ticks)


def round_marks(low: float, high: float, whole: bool = False) -> list[float]:
    """Choose round numbers that cover a range: multiples of 1, 2 or 5 times a power of ten, `NUM_TICKS` steps at most.

    Args:
        whole: whether only whole numbers are chosen

    >>> round_marks(0.61, 0.97)
    [0.6, 0.7, 0.8, 0.9, 1.0]
    >>> round_marks(1, 30, whole=True)
    [0.0, 10.0, 20.0, 30.0]
    """
    unit = 10.0 ** math.floor(math.log10((high - low) / NUM_TICKS))
    steps = [max(factor * unit, 1.0 if whole else 0.0) for factor in (1, 2, 5, 10, 20)]
    covered = [(math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9), step) for step in steps]
    first, last, step = next(found for found in covered if found[1] - found[0] <= NUM_TICKS)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def _tick_label(mark: float, step: float, unit: str) -> str:
    if unit == "%":
        return f"{100 * mark:.{0 if step >= 0.0099 else 1}f} %"
    return f"{mark:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"


@dataclass(frozen=True)
class Curve:
    """A line of a chart.

    Attributes:
        kind: "training" or "validation"
        line: its points, as SVG has them; parts are apart where a value is missing
        dots: x, y and the words of each point
    """

    kind: str
    lines: tuple[str, ...]
    dots: tuple[tuple[float, float, str], ...] = field(repr=False)


@dataclass(frozen=True)
class CurveChart:
    """Loss or accuracy by epoch.

    Attributes:
        phases: start and end of every phase after the first, with its name
        kept: position of the epoch whose weights were kept; None where it is not known
    """

    title: str
    x: Scale
    y: Scale
    curves: tuple[Curve, ...]
    phases: tuple[tuple[float, float, str], ...]
    kept: float | None


def curve_charts(history: Sequence[Mapping[str, Any]], best_epoch: int) -> list[CurveChart]:
    """Lay out the charts of accuracy and loss; none where there are no epochs.

    Args:
        best_epoch: of the last phase
    """
    if not history:
        return []
    epochs = range(1, len(history) + 1)
    x = make_scale([1, len(history)], LEFT + 6, WIDTH - RIGHT - 6, whole=True)
    phases, start = list[tuple[float, float, str]](), 0
    for name, rows in groupby(history, lambda row: str(row["phase"])):
        count = len(list(rows))
        phases.append((x(start + 0.5) if start else LEFT, x(start + count), name))
        last_start, start = start, start + count
    kept = x(last_start + best_epoch) if last_start + best_epoch else None
    charts = []
    for title, unit in (("accuracy", "%"), ("loss", "")):
        values = {"training": [row[title] for row in history], "validation": [row[f"val_{title}"] for row in history]}
        y = make_scale([value for kind in values.values() for value in kind], HEIGHT - BOTTOM, TOP, unit)
        curves = tuple(_curve(kind, epochs, numbers, x, y, unit) for kind, numbers in values.items())
        charts.append(CurveChart(title, x, y, curves, tuple(phases), kept))
    return charts


def _curve(kind: str, epochs: Sequence[int], values: Sequence[float], x: Scale, y: Scale, unit: str) -> Curve:
    parts: list[list[str]] = [[]]
    dots = []
    for epoch, value in zip(epochs, values, strict=True):
        if math.isfinite(value):
            parts[-1].append(f"{x(epoch)},{y(value)}")
            shown = f"{100 * value:.1f} %" if unit else f"{value:.3f}"
            dots.append((x(epoch), y(value), f"epoch {epoch}, {kind}: {shown}"))
        elif parts[-1]:
            parts.append([])
    return Curve(kind, tuple(" ".join(part) for part in parts if part), tuple(dots))


@dataclass(frozen=True)
class ReliabilityChart:
    """Accuracy against confidence.

    Attributes:
        dots: x, y, ends of the whisker of the 95 % interval, and words, of each bin
    """

    x: Scale
    y: Scale
    dots: tuple[tuple[float, float, float, float, str], ...]


def reliability_chart(calibration: Calibration) -> ReliabilityChart | None:
    """Lay out the reliability diagram; None where there are too few images for one."""
    if not calibration.bins:
        return None
    lowest = min(min(item.confidence, item.accuracy) for item in calibration.bins)
    x = make_scale([lowest, 1], LEFT, SIDE - RIGHT, "%")
    y = make_scale([lowest, 1], SIDE - BOTTOM, TOP, "%")
    dots = []
    for item in calibration.bins:
        bounds = wilson_interval(round(item.accuracy * item.count), item.count)
        bottom, top = (y(max(y.low, bound)) for bound in bounds)
        confidence, accuracy = f"{100 * item.confidence:.0f} %", f"{100 * item.accuracy:.0f} %"
        words = f"{item.count} images with a confidence of {confidence}: {accuracy} correct"
        dots.append((x(item.confidence), y(item.accuracy), bottom, top, words))
    return ReliabilityChart(x, y, tuple(dots))


def scatter_positions(points: Sequence[tuple[float, float]], width: float, height: float) -> list[tuple[float, float]]:
    """Scale the points of a map to a chart; each axis fills it, as its unit means nothing."""
    columns = list(zip(*points, strict=True))
    x = Scale(min(columns[0]), max(columns[0]), MAP_MARGIN, width - MAP_MARGIN)
    y = Scale(min(columns[1]), max(columns[1]), height - MAP_MARGIN, MAP_MARGIN)
    return [(x(first), y(second)) for first, second in points]
