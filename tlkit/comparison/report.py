"""A comparison as table, csv, json, plot and page."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tlkit.comparison.recommendation import Recommendation, describe_difference
from tlkit.comparison.results import CandidateResult, find_best, format_speed, format_training_time
from tlkit.evaluation.metrics import PairedComparison
from tlkit.report.compared import ComparedImages, ComparedModel, make_comparison_page
from tlkit.report.html import replace_page
from tlkit.runs.manifest import COMPARISON_PAGE
from tlkit.runs.run import COMPARISON, Run
from tlkit.utils.plotting import BLUE, INK, ORANGE, new_figure, save_figure
from tlkit.utils.text import format_size, truncate

COLUMNS = (
    *("model", "title", "kind", "accuracy", "ci95_low", "ci95_high", "difference_to_best", "difference_low"),
    *("difference_high", "p", "train_seconds", "features_reused", "images_per_second", "bytes"),
    *("selected_on_validation", "command", "precision_at_5", "adversarial_epsilon", "adversarial_attack"),
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
    limits = [result.precision_at_5, result.adversarial_epsilon, result.adversarial_attack]
    return [*named, *to_best, *costs, result.selected_on_validation, result.command, *limits]


def write_candidates_page(
    run: Run,
    results: Sequence[CandidateResult],
    recommendation: Recommendation,
    notes: Sequence[str],
    images: ComparedImages,
) -> None:
    """Write `compare.html`; a page that tlkit wrote before is replaced.

    Raises:
        RunError: if the run of a candidate cannot be read
        OptionError: if something else has the name
        WriteError
    """
    best = find_best(results)
    models = [
        ComparedModel(
            title=result.title,
            kind=result.kind,
            accuracy=result.accuracy,
            interval=result.interval,
            run=Run(run.path / result.name) if result.command else None,
            to_best=describe_difference(result, best),
            costs=_costs(result) if result.command else (),
        )
        for result in results
    ]
    chosen = next(result.title for result in results if result.name == recommendation.name)
    page = make_comparison_page(models, images, recommendation.reason, chosen, notes)
    replace_page(run.path / COMPARISON_PAGE, page)


def _costs(result: CandidateResult) -> tuple[tuple[str, float], ...]:
    size = result.num_bytes or 0
    return (
        (format_training_time(result), result.seconds or 0.0),
        (format_speed(result), result.images_per_second or 0.0),
        (format_size(size) if size else "", float(size)),
    )


KINDS = {"baseline": "#999999", "handcrafted": "#7a9a01", "from scratch": ORANGE, "pretrained": BLUE}
FAINT = "#e8e8e8"
COSTS = (("training", 85), ("images/s", 138), ("size", 195))  # and where they end, in points right of the axes
WIDTH = 11.0  # of the figure, in inches


def draw_comparison(results: Sequence[CandidateResult], recommendation: Recommendation, title: str, file: Path) -> None:
    """Draw a PNG with the simplest candidate below.

    Args:
        title: what was classified
    """
    height = 1.7 + 0.42 * len(results)
    figure = new_figure(figsize=(WIDTH, height))
    axes = figure.add_subplot()
    best, start = find_best(results), axis_start(results)
    axes.axvline(best.accuracy, color=FAINT, zorder=0)
    for y, result in enumerate(results):
        _draw_candidate(axes, y, result, start)
        _write_costs(axes, y, result)
    _dress(axes, results, recommendation, start)
    for text, x in COSTS:
        _write_beside(axes, x, len(results) - 0.35, text, "#777777")
    _legend(axes, results)
    figure.draw_without_rendering()  # to know how wide the names are
    names = max(label.get_window_extent().width for label in axes.get_yticklabels()) / figure.dpi
    left, right = (names + 0.25) / WIDTH, 1 - (COSTS[-1][1] / 72 + 0.25) / WIDTH
    figure.subplots_adjust(left=left, right=right, bottom=0.65 / height, top=1 - 0.85 / height)
    figure.text(
        0.2 / WIDTH, 1 - 0.3 / height, truncate(title, 90), fontsize=13, color=INK, va="center", parse_math=False
    )
    save_figure(figure, file)


def axis_start(results: Sequence[CandidateResult]) -> float:
    """Give the accuracy at which the axis starts: a multiple of 10 % with room for the figure of the lowest."""
    lowest = min(result.interval[0] if result.interval else result.accuracy for result in results)
    return max(0.0, math.floor(10 * (lowest - ROOM * (1 - lowest))) / 10)


ROOM = 0.2  # left of the lowest accuracy, as a fraction of what is on its right


def _draw_candidate(axes: Any, y: int, result: CandidateResult, start: float) -> None:
    color = KINDS[result.kind]
    low, high = result.interval or (result.accuracy, result.accuracy)
    axes.plot([low, high], [y, y], color=color, linewidth=5, alpha=0.3, solid_capstyle="round")
    axes.plot([result.accuracy], [y], "o", color=color, markersize=8)
    has_room = low - start > ROOM / 2 * (1 - start)
    axes.annotate(
        f"{100 * result.accuracy:.1f} %",
        (low if has_room else high, y),
        (-9 if has_room else 9, 0),
        textcoords="offset points",
        ha="right" if has_room else "left",
        va="center",
        fontsize=9,
        color=INK,
    )


def _write_costs(axes: Any, y: int, result: CandidateResult) -> None:
    size = format_size(result.num_bytes) if result.num_bytes else ""
    for text, (_, x) in zip((format_training_time(result), format_speed(result), size), COSTS, strict=True):
        _write_beside(axes, x, y, text, INK)


def _write_beside(axes: Any, x: float, y: float, text: str, color: str) -> None:
    """Write right of the axes, in the row of a candidate."""
    beside = {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points"}
    axes.annotate(text, (1, y), (x, 0), ha="right", va="center", fontsize=9, color=color, **beside)


def _dress(axes: Any, results: Sequence[CandidateResult], recommendation: Recommendation, start: float) -> None:
    titles = [result.title for result in results]
    axes.set_yticks(range(len(results)), titles, fontsize=10, color=INK, parse_math=False)
    for label, result in zip(axes.get_yticklabels(), results, strict=True):
        label.set_fontweight("bold" if result.name == recommendation.name else "normal")
    axes.set_xlim(start, 1 + 0.02 * (1 - start))
    axes.xaxis.set_major_formatter(lambda fraction, _: f"{100 * fraction:.4g} %")
    axes.set_ylim(-0.6, len(results) - 0.4)
    words = ["accuracy on the validation images, with its 95 % interval", "bold: recommended"]
    if start:
        words.append(f"//: the axis starts at {100 * start:.0f} %")
        axes.plot([0, 0.012], [0, 0], **BREAK_MARK, transform=axes.transAxes)
    if any(result.features_cached for result in results):
        words.append("≥: without cached feature extraction")
    axes.set_xlabel("; ".join(words), color=INK, fontsize=9)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=FAINT)
    axes.set_axisbelow(True)


BREAK_MARK: dict[str, Any] = {  # two slanted strokes across an axis that does not start at 0
    "marker": [(-0.5, -1), (0.5, 1)],
    "markersize": 11,
    "linestyle": "none",
    "color": INK,
    "markeredgewidth": 1.2,
    "clip_on": False,
}


def _legend(axes: Any, results: Sequence[CandidateResult]) -> None:
    present = {result.kind for result in results}
    for kind, color in KINDS.items():
        if kind in present:
            axes.plot([], [], "o", color=color, label=kind)
    options = {"loc": "lower left", "bbox_to_anchor": (0, 1.0), "ncols": len(KINDS)}
    axes.legend(frameon=False, fontsize=9, handletextpad=0.1, columnspacing=1.4, borderpad=0, **options)
