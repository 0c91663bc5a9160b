"""A comparison as table, csv, json and plot."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from tlkit.comparison.recommendation import Recommendation
from tlkit.comparison.results import CandidateResult, find_best, format_speed, format_training_time
from tlkit.evaluation.metrics import PairedComparison
from tlkit.runs.run import COMPARISON, Run
from tlkit.utils.plotting import BLUE, INK, ORANGE, save_figure
from tlkit.utils.text import truncate

COLUMNS = (
    *("model", "title", "kind", "accuracy", "ci95_low", "ci95_high", "difference_to_best", "difference_low"),
    *("difference_high", "p", "train_seconds", "features_reused", "images_per_second", "bytes"),
    *("selected_on_validation", "command"),
)


def write_comparison(
    run: Run, results: Sequence[CandidateResult], recommendation: Recommendation, notes: Sequence[str]
) -> None:
    """Write `compare.json` and `compare.csv`."""
    run.write_json("compare.json", comparison_json(results, recommendation, notes))
    run.write_rows(COMPARISON, COLUMNS, csv_rows(results))


def comparison_json(
    results: Sequence[CandidateResult], recommendation: Recommendation, notes: Sequence[str]
) -> dict[str, Any]:
    """Give everything a comparison found."""
    content = {"advice": asdict(recommendation), "notes": list(notes), "best": find_best(results).name}
    return content | {"models": [dict(zip(COLUMNS, row, strict=True)) for row in result_rows(results)]}


def csv_rows(results: Sequence[CandidateResult]) -> list[list[Any]]:
    """Give the values of `COLUMNS` of every candidate, from the simplest; "" where there is none."""
    return [["" if value is None else value for value in row] for row in result_rows(results)]


def result_rows(results: Sequence[CandidateResult]) -> list[list[Any]]:
    """Give the values of `COLUMNS` of every candidate, from the simplest; None where there is none."""
    best = find_best(results)
    return [_values(result, result.compared_to(best)) for result in results]


def _values(result: CandidateResult, paired: PairedComparison | None) -> list[Any]:
    low, high = result.interval or (None, None)
    to_best = [paired.difference, *paired.interval, paired.p] if paired else [None] * 4
    named = [result.name, result.title, result.kind, result.accuracy, low, high]
    costs = [result.seconds, result.features_cached, result.images_per_second, result.num_bytes]
    return [*named, *to_best, *costs, result.selected_on_validation, result.command]


KINDS = {"baseline": "#999999", "handcrafted": "#7a9a01", "from scratch": ORANGE, "pretrained": BLUE}
FAINT = "#e8e8e8"
COSTS = (("training", 1.17), ("images/s", 1.29), ("size", 1.43))  # and where, in widths of the axes


def draw_comparison(results: Sequence[CandidateResult], recommendation: Recommendation, title: str, file: Path) -> None:
    """Draw a PNG with the simplest candidate below.

    title: what was classified
    """
    height = 1.7 + 0.42 * len(results)
    figure = Figure(figsize=(11, height))
    axes = figure.add_subplot()
    figure.subplots_adjust(left=0.22, right=0.74, bottom=0.65 / height, top=1 - 0.85 / height)
    best = find_best(results)
    axes.axvline(best.accuracy, color=FAINT, zorder=0)
    for y, result in enumerate(results):
        _draw_candidate(axes, y, result)
        _write_costs(axes, y, result)
    _dress(axes, results, recommendation)
    for text, x in COSTS:
        axes.text(x, len(results) - 0.35, text, transform=_beside(axes), ha="right", fontsize=9, color="#777777")
    axes.set_title(truncate(title, 90), loc="left", fontsize=13, color=INK, pad=22, parse_math=False)
    _legend(axes, results)
    save_figure(figure, file)


def _draw_candidate(axes: Any, y: int, result: CandidateResult) -> None:
    color = KINDS[result.kind]
    low, high = result.interval or (result.accuracy, result.accuracy)
    axes.plot([low, high], [y, y], color=color, linewidth=5, alpha=0.3, solid_capstyle="round")
    axes.plot([result.accuracy], [y], "o", color=color, markersize=8)
    is_low = result.accuracy < 0.12  # where there is no room on the left
    axes.annotate(
        f"{100 * result.accuracy:.1f} %",
        (high if is_low else low, y),
        (9 if is_low else -9, 0),
        textcoords="offset points",
        ha="left" if is_low else "right",
        va="center",
        fontsize=9,
        color=INK,
    )


def _write_costs(axes: Any, y: int, result: CandidateResult) -> None:
    texts = (
        format_training_time(result),
        format_speed(result),
        f"{result.num_bytes / 1e6:.1f} MB" if result.num_bytes else "",
    )
    for text, (_, x) in zip(texts, COSTS, strict=True):
        axes.text(x, y, text, transform=_beside(axes), ha="right", va="center", fontsize=9, color=INK)


def _dress(axes: Any, results: Sequence[CandidateResult], recommendation: Recommendation) -> None:
    titles = [result.title for result in results]
    axes.set_yticks(range(len(results)), titles, fontsize=10, color=INK, parse_math=False)
    for label, result in zip(axes.get_yticklabels(), results, strict=True):
        label.set_fontweight("bold" if result.name == recommendation.name else "normal")
    axes.set_xlim(0, 1.02)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylim(-0.6, len(results) - 0.4)
    bound_note = "; ≥: without cached feature extraction" if any(result.features_cached for result in results) else ""
    label_text = "accuracy on the validation images, with its 95 % interval; bold: recommended"
    axes.set_xlabel(label_text + bound_note, color=INK, fontsize=9)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=FAINT)
    axes.set_axisbelow(True)


def _legend(axes: Any, results: Sequence[CandidateResult]) -> None:
    present = {result.kind for result in results}
    for kind, color in KINDS.items():
        if kind in present:
            axes.plot([], [], "o", color=color, label=kind)
    options = {"loc": "lower left", "bbox_to_anchor": (0, 1.0), "ncols": len(KINDS)}
    axes.legend(frameon=False, fontsize=9, handletextpad=0.1, columnspacing=1.4, borderpad=0, **options)


def _beside(axes: Any) -> Any:
    """Give coordinates in widths of the axes across, in candidates up."""
    return axes.get_yaxis_transform()
