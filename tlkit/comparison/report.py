"""A comparison as table, csv, json and plot."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from tlkit.comparison.recommendation import Recommendation
from tlkit.comparison.results import AT_LEAST, CandidateResult, find_best, format_training_time
from tlkit.evaluation.metrics import PairedComparison
from tlkit.runs.run import COMPARISON, Run
from tlkit.utils.plotting import BLUE, INK, ORANGE, save_figure
from tlkit.utils.text import truncate

COLUMNS = (
    *("rung", "title", "kind", "accuracy", "ci95_low", "ci95_high", "difference_to_best", "difference_low"),
    *("difference_high", "p", "train_seconds", "features_reused", "images_per_second", "bytes"),
    *("selected_on_validation", "command"),
)
HEADER = ("rung", "accuracy", "95 % interval", "to the best", "p", "trained in", "images/s", "size")
MARK = "*"  # of what was chosen on the validation images


def write_comparison(
    run: Run, standings: Sequence[CandidateResult], advice: Recommendation, notes: Sequence[str]
) -> None:
    """`compare.json` and `compare.csv`."""
    run.write_json("compare.json", comparison_json(standings, advice, notes))
    run.write_rows(COMPARISON, COLUMNS, csv_rows(standings))


def comparison_json(
    standings: Sequence[CandidateResult], advice: Recommendation, notes: Sequence[str]
) -> dict[str, Any]:
    """Everything a comparison found."""
    facts = {"advice": asdict(advice), "notes": list(notes), "best": find_best(standings).name}
    return facts | {"rungs": [dict(zip(COLUMNS, row, strict=True)) for row in _rows(standings)]}


def csv_rows(standings: Sequence[CandidateResult]) -> list[list[Any]]:
    """The values of `COLUMNS` of every rung, from the lowest; "" where there is none."""
    return [["" if value is None else value for value in row] for row in _rows(standings)]


def _rows(standings: Sequence[CandidateResult]) -> list[list[Any]]:
    best = find_best(standings)
    return [_values(standing, standing.against(best)) for standing in standings]


def table_lines(standings: Sequence[CandidateResult]) -> list[str]:
    """The ladder, one line per rung, the best marked."""
    best = find_best(standings)
    cells = [HEADER, *(_cells(standing, best) for standing in standings)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        first, *others = (
            f"{cell:<{width}}" if place == 0 else f"{cell:>{width}}"
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *others]).rstrip())
    return lines


def legend(standings: Sequence[CandidateResult]) -> str:
    """What the table's columns and signs mean, in a few lines."""
    lines = [
        "p: McNemar's exact test against the best, which",
        "looks a little better than it is, for it was chosen on them",
    ]
    if any(standing.selected for standing in standings):
        lines.append(f"{MARK} the best epoch was chosen on these images, too")
    if any(standing.reused for standing in standings):
        lines.append(
            f"{AT_LEAST}leaves out reading that was done before this comparison; no rung is taken for such a time"
        )
    return "\n".join(lines)


def _values(standing: CandidateResult, paired: PairedComparison | None) -> list[Any]:
    low, high = standing.interval or (None, None)
    to_best = [paired.difference, *paired.interval, paired.p] if paired else [None] * 4
    named = [standing.name, standing.title, standing.kind, standing.accuracy, low, high]
    costs = [standing.seconds, standing.reused, standing.rate, standing.size]
    return [*named, *to_best, *costs, standing.selected, standing.command]


def _cells(standing: CandidateResult, best: CandidateResult) -> tuple[str, ...]:
    paired = standing.against(best)
    interval = "{:.3f} to {:.3f}".format(*standing.interval) if standing.interval else ""
    difference, p = (f"{100 * paired.difference:+.1f} points", _spoken_p(paired.p)) if paired else ("", "")
    return (
        standing.title,
        f"{standing.accuracy:.3f}{MARK if standing.selected else ' '}",
        interval,
        "best" if standing is best else difference,
        p,
        format_training_time(standing),
        f"{standing.rate:,.0f}" if standing.rate else "",
        f"{standing.size / 1e6:.1f} MB" if standing.size else "",
    )


def _spoken_p(p: float) -> str:
    """
    >>> _spoken_p(0.034), _spoken_p(1e-9)
    ('0.034', '< 0.001')
    """
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


KINDS = {"baseline": "#999999", "by hand": "#7a9a01", "from scratch": ORANGE, "pretrained": BLUE}
FAINT = "#e8e8e8"
COSTS = (("trained in", 1.17), ("images/s", 1.29), ("size", 1.43))  # and where, in widths of the axes


def draw_comparison(standings: Sequence[CandidateResult], advice: Recommendation, title: str, file: Path) -> None:
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
        _draw_candidate(axes, place, standing)
        _write_costs(axes, place, standing)
    _dress(axes, standings, advice)
    for text, x in COSTS:
        axes.text(x, len(standings) - 0.35, text, transform=_beside(axes), ha="right", fontsize=9, color="#777777")
    axes.set_title(truncate(title, 90), loc="left", fontsize=13, color=INK, pad=22, parse_math=False)
    _legend(axes, standings)
    save_figure(figure, file)


def _draw_candidate(axes: Any, place: int, standing: CandidateResult) -> None:
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


def _write_costs(axes: Any, place: int, standing: CandidateResult) -> None:
    texts = (
        format_training_time(standing),
        f"{standing.rate:,.0f}" if standing.rate else "",
        f"{standing.size / 1e6:.1f} MB" if standing.size else "",
    )
    for text, (_, x) in zip(texts, COSTS, strict=True):
        axes.text(x, place, text, transform=_beside(axes), ha="right", va="center", fontsize=9, color=INK)


def _dress(axes: Any, standings: Sequence[CandidateResult], advice: Recommendation) -> None:
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


def _legend(axes: Any, standings: Sequence[CandidateResult]) -> None:
    present = {standing.kind for standing in standings}
    for kind, colour in KINDS.items():
        if kind in present:
            axes.plot([], [], "o", color=colour, label=kind)
    options = {"loc": "lower left", "bbox_to_anchor": (0, 1.0), "ncols": len(KINDS)}
    axes.legend(frameon=False, fontsize=9, handletextpad=0.1, columnspacing=1.4, borderpad=0, **options)


def _beside(axes: Any) -> Any:
    """Coordinates in widths of the axes across, in rungs up."""
    return axes.get_yaxis_transform()
