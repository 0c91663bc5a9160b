"""The ladder as a picture: each rung's accuracy with its interval, and what it costs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from tlkit.comparison.advice import Advice
from tlkit.comparison.standing import Standing, find_best, spoken_seconds
from tlkit.drawing import BLUE, INK, ORANGE, save_figure
from tlkit.evaluation.wording import shortened

KINDS = {"baseline": "#999999", "by hand": "#7a9a01", "from scratch": ORANGE, "pretrained": BLUE}
FAINT = "#e8e8e8"
COSTS = (("trained in", 1.17), ("images/s", 1.29), ("size", 1.43))  # and where, in widths of the axes


def draw_ladder(standings: Sequence[Standing], advice: Advice, title: str, file: Path) -> None:
    """A PNG with the lowest rung below.

    title: what was classified
    """
    height = 1.7 + 0.42 * len(standings)
    figure = Figure(figsize=(11, height))
    axes = figure.add_subplot()
    figure.subplots_adjust(left=0.22, right=0.74, bottom=0.65 / height, top=1 - 0.85 / height)
    best = find_best(standings)
    axes.axvline(best.accuracy, color=FAINT, zorder=0)
    for place, standing in enumerate(standings):
        _draw_rung(axes, place, standing)
        _write_costs(axes, place, standing)
    _dress(axes, standings, advice)
    for text, x in COSTS:
        axes.text(x, len(standings) - 0.35, text, transform=_beside(axes), ha="right", fontsize=9, color="#777777")
    axes.set_title(shortened(title, 90), loc="left", fontsize=13, color=INK, pad=22, parse_math=False)
    _legend(axes, standings)
    save_figure(figure, file)


def _draw_rung(axes: Any, place: int, standing: Standing) -> None:
    colour = KINDS[standing.kind]
    low, high = standing.interval or (standing.accuracy, standing.accuracy)
    axes.plot([low, high], [place, place], color=colour, linewidth=5, alpha=0.3, solid_capstyle="round")
    axes.plot([standing.accuracy], [place], "o", color=colour, markersize=8)
    right = standing.accuracy < 0.12  # where there is no room on the left
    axes.annotate(
        f"{standing.accuracy:.3f}",
        (high if right else low, place),
        (9 if right else -9, 0),
        textcoords="offset points",
        ha="left" if right else "right",
        va="center",
        fontsize=9,
        color=INK,
    )


def _write_costs(axes: Any, place: int, standing: Standing) -> None:
    texts = (
        spoken_seconds(standing),
        f"{standing.rate:,.0f}" if standing.rate else "",
        f"{standing.size / 1e6:.1f} MB" if standing.size else "",
    )
    for text, (_, x) in zip(texts, COSTS, strict=True):
        axes.text(x, place, text, transform=_beside(axes), ha="right", va="center", fontsize=9, color=INK)


def _dress(axes: Any, standings: Sequence[Standing], advice: Advice) -> None:
    titles = [standing.title for standing in standings]
    axes.set_yticks(range(len(standings)), titles, fontsize=10, color=INK, parse_math=False)
    for label, standing in zip(axes.get_yticklabels(), standings, strict=True):
        label.set_fontweight("bold" if standing.name == advice.name else "normal")
    axes.set_xlim(0, 1.02)
    axes.set_ylim(-0.6, len(standings) - 0.4)
    read = "; ≥: without reading, done before" if any(standing.reused for standing in standings) else ""
    what = "accuracy on the validation images, with its 95 % interval; bold: advised"
    axes.set_xlabel(what + read, color=INK, fontsize=9)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=FAINT)
    axes.set_axisbelow(True)


def _legend(axes: Any, standings: Sequence[Standing]) -> None:
    present = {standing.kind for standing in standings}
    for kind, colour in KINDS.items():
        if kind in present:
            axes.plot([], [], "o", color=colour, label=kind)
    options = {"loc": "lower left", "bbox_to_anchor": (0, 1.0), "ncols": len(KINDS)}
    axes.legend(frameon=False, fontsize=9, handletextpad=0.1, columnspacing=1.4, borderpad=0, **options)


def _beside(axes: Any) -> Any:
    """Coordinates in widths of the axes across, in rungs up."""
    return axes.get_yaxis_transform()
