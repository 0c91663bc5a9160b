"""A comparison as files, and as lines for a terminal."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tlkit.comparison.advice import Advice
from tlkit.comparison.standing import AT_LEAST, Standing, find_best, spoken_seconds
from tlkit.evaluation.paired import Paired
from tlkit.runs import COMPARISON, Run

COLUMNS = (
    *("rung", "title", "kind", "accuracy", "ci95_low", "ci95_high", "difference_to_best", "difference_low"),
    *("difference_high", "p", "train_seconds", "features_reused", "images_per_second", "bytes"),
    *("selected_on_validation", "command"),
)
HEADER = ("rung", "accuracy", "95 % interval", "to the best", "p", "trained in", "images/s", "size")
MARK = "*"  # of what was chosen on the validation images


def write_comparison(run: Run, standings: Sequence[Standing], advice: Advice, notes: Sequence[str]) -> None:
    """`compare.json` and `compare.csv`."""
    run.write_json("compare.json", as_json(standings, advice, notes))
    run.write_rows(COMPARISON, COLUMNS, csv_rows(standings))


def as_json(standings: Sequence[Standing], advice: Advice, notes: Sequence[str]) -> dict[str, Any]:
    """Everything a comparison found."""
    facts = {"advice": asdict(advice), "notes": list(notes), "best": find_best(standings).name}
    return facts | {"rungs": [dict(zip(COLUMNS, row, strict=True)) for row in _rows(standings)]}


def csv_rows(standings: Sequence[Standing]) -> list[list[Any]]:
    """The values of `COLUMNS` of every rung, from the lowest; "" where there is none."""
    return [["" if value is None else value for value in row] for row in _rows(standings)]


def _rows(standings: Sequence[Standing]) -> list[list[Any]]:
    best = find_best(standings)
    return [_values(standing, standing.against(best)) for standing in standings]


def table_lines(standings: Sequence[Standing]) -> list[str]:
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


def legend(standings: Sequence[Standing]) -> str:
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


def _values(standing: Standing, paired: Paired | None) -> list[Any]:
    low, high = standing.interval or (None, None)
    to_best = [paired.difference, *paired.interval, paired.p] if paired else [None] * 4
    named = [standing.name, standing.title, standing.kind, standing.accuracy, low, high]
    costs = [standing.seconds, standing.reused, standing.rate, standing.size]
    return [*named, *to_best, *costs, standing.selected, standing.command]


def _cells(standing: Standing, best: Standing) -> tuple[str, ...]:
    paired = standing.against(best)
    interval = "{:.3f} to {:.3f}".format(*standing.interval) if standing.interval else ""
    difference, p = (f"{100 * paired.difference:+.1f} points", _spoken_p(paired.p)) if paired else ("", "")
    return (
        standing.title,
        f"{standing.accuracy:.3f}{MARK if standing.selected else ' '}",
        interval,
        "best" if standing is best else difference,
        p,
        spoken_seconds(standing),
        f"{standing.rate:,.0f}" if standing.rate else "",
        f"{standing.size / 1e6:.1f} MB" if standing.size else "",
    )


def _spoken_p(p: float) -> str:
    """
    >>> _spoken_p(0.034), _spoken_p(1e-9)
    ('0.034', '< 0.001')
    """
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"
