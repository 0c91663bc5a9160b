"""The plot of peers.py: test accuracy against seconds."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

STYLES = {  # color of each tool (Okabe and Ito: distinct to color-blind people too), and its marker
    "tlkit": ("#0072B2", "o"),
    "scikit-learn on Keras features": ("#009E73", "^"),
    "Keras guide": ("#D55E00", "s"),
    "timm": ("#A64D79", "D"),
    "fastai": ("#000000", "v"),
}
TICKS = (5, 10, 20, 30, 60, 120, 300, 600, 1200)  # seconds
Model = tuple[str, str, Sequence[Any]]  # tool, name, points of all seeds


def draw(models: Sequence[Model], title: str, limit: float, file: Path) -> None:
    """Draw the median of each model's seeds, with a line from the least accurate seed to the most accurate."""
    mpl.rcParams["font.size"] = 11
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for tool, (color, marker) in STYLES.items():
        chains = {points[0].arm if tool != "tlkit" else "" for name, _, points in models if name == tool}
        for chain in sorted(chains):
            own = [points for name, _, points in models if name == tool and chain in ("", points[0].arm)]
            middles = [tuple(statistics.median(values) for values in _coordinates(points)) for points in own]
            axes.plot(*zip(*middles, strict=True), color=color, marker=marker, markersize=7, label=tool)
            for points, (seconds, _) in zip(own, middles, strict=True):
                _, accuracies = _coordinates(points)
                axes.plot([seconds] * 2, [min(accuracies), max(accuracies)], color=color, linewidth=1)
    _draw_frame(axes, [point.seconds for *_, points in models for point in points], limit)
    axes.set_title(title, loc="left")
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))  # one of each tool
    axes.legend(handles.values(), handles.keys(), loc="lower right", frameon=True, fontsize=10)
    figure.savefig(file, dpi=100)


def _draw_frame(axes: Any, seconds: Sequence[float], limit: float) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(TICKS))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    axes.set_xlim(min(seconds) / 1.3, max(*seconds, limit) * 1.3)
    axes.axvline(limit, color="#888888", linestyle=":", linewidth=1)
    place = {"xycoords": ("data", "axes fraction"), "ha": "right", "va": "top"}
    axes.annotate(f"{limit / 60:.0f} minutes ", (limit, 0.99), fontsize=9, color="#555555", **place)
    axes.set_xlabel("seconds from the start of the process (logarithmic)")
    axes.set_ylabel("test accuracy (%)")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _coordinates(points: Sequence[Any]) -> tuple[list[float], list[float]]:
    return [point.seconds for point in points], [100 * point.accuracy for point in points]
