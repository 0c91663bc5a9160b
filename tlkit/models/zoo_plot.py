"""Draws networks as bubbles: how often they are right on ImageNet against what an image costs them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tlkit.drawing import INK, save_new_figure
from tlkit.models.zoo import SOURCES, Figures

FAMILIES = {  # the beginning of a name: colour; the first that fits
    "mobilenet": "#4daf4a",
    "efficientnet_v2": "#b2182b",
    "efficientnet": "#e7695e",
    "convnext": "#7b3294",
    "densenet": "#a6761d",
    "nasnet": "#888888",
    "inception": "#f0a12e",
    "googlenet": "#f0a12e",
    "xception": "#f0a12e",
    "resnet": "#2166ac",
    "plain": "#92c5de",
    "vgg": "#01665e",
    "alexnet": "#333333",
}
BUBBLE, SMALLEST = 4.0, 8.0  # points² per million parameters, and beside them


def draw_zoo(rows: Sequence[Figures], file: Path) -> None:
    """A PNG of the networks whose accuracy is published.

    Full bubbles are networks that come with weights, rings those trained from scratch; labels that
    would cover another are left out, those of the best for their cost last.

    raises: OptionError where `file` is there already
    """
    shown = [row for row in rows if row.top1]
    figure = Figure(figsize=(11, 7), layout="constrained")
    axes = figure.add_subplot()
    for row in sorted(shown, key=lambda row: -row.parameters):
        _bubble(axes, row)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("billion multiply-adds per image", color=INK)
    axes.set_ylabel("published top-1 accuracy on ImageNet, %", color=INK)
    axes.set_title("What networks get right, and what it costs them", color=INK, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#eeeeee")
    axes.set_axisbelow(True)
    _legend(axes)
    _label(figure, axes, shown)
    save_new_figure(figure, file)


def _bubble(axes: Any, row: Figures) -> None:
    ring, colour = row.command == "train", _colour(row)
    axes.scatter(
        *(row.multiply_adds / 1e9, row.top1, _area(row.parameters / 1e6)),
        facecolor="none" if ring else colour,
        edgecolor=colour if ring else "white",
        alpha=0.8,
        linewidth=1.2,
    )


def _area(millions: float) -> float:
    return SMALLEST + BUBBLE * millions


def _colour(row: Figures) -> str:
    return next((colour for family, colour in FAMILIES.items() if row.name.startswith(family)), INK)


def _legend(axes: Any) -> None:
    """How large a bubble is, what a ring is, and whose figures these are."""
    for millions in (5, 25, 100):
        axes.scatter([], [], _area(millions), color="#bbbbbb", label=f"{millions} million parameters")
    axes.scatter([], [], 60, facecolor="none", edgecolor="#888888", label="from scratch: tlkit train")
    axes.legend(loc="lower right", frameon=False, labelspacing=1.6, borderpad=1.2)
    axes.figure.supxlabel(f"accuracies: {SOURCES['keras']} and the sources in `tlkit models --json`", fontsize=8)


def _label(figure: Any, axes: Any, shown: Sequence[Figures]) -> None:
    """Names beside the bubbles, where they do not cover one another."""
    renderer: Any = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    figure.draw_without_rendering()
    taken = list[Any]()
    for row in sorted(shown, key=lambda row: _dominators(row, shown)):
        text = axes.annotate(
            row.name, (row.multiply_adds / 1e9, row.top1), (6, 5), textcoords="offset points", fontsize=8, color=INK
        )
        box = text.get_window_extent(renderer)
        if any(box.overlaps(other) for other in taken):
            text.remove()
        else:
            taken.append(box)


def _dominators(row: Figures, others: Sequence[Figures]) -> int:
    """How many are at least as often right at no more cost."""
    return sum((other.top1 or 0) >= (row.top1 or 0) and other.multiply_adds <= row.multiply_adds for other in others)
