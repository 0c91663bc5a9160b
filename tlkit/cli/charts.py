"""Small charts below a summary, on a terminal that is wide enough: confusion, confidence, accuracy and loss."""

import math
from collections.abc import Mapping, Sequence
from itertools import chain, pairwise, zip_longest
from typing import TYPE_CHECKING, Any

from tlkit.cli.screen import BAD, FAINT, GOOD, WARN, Part, Screen
from tlkit.utils.text import distinct_names, pad, shorten_middle, truncate

if TYPE_CHECKING:
    from tlkit.evaluation.report import Report

MIN_WIDTH = 100  # columns of a terminal that gets charts
GAP = 3  # columns between two charts
MAX_CLASSES = 8  # of a confusion matrix
NAME_WIDTH = 12  # columns of a class name
CURVE_WIDTH, CURVE_HEIGHT = 22, 6  # characters
BAR_WIDTH = 12  # characters
BINS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of confidence
SHADES, ASCII_SHADES = " ░▒▓█", " .:+#"  # the larger the fraction, the darker
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of a braille character, row by row (Unicode 16)
VALIDATION = "color(32)"  # a blue that shows on white and on black

Line = list[Part]


def print_charts(screen: Screen, report: "Report", history: Sequence[Mapping[str, Any]] = ()) -> None:
    """Print the charts beside each other; nothing in a pipe, on a narrow or on a simple terminal.

    Args:
        report: of the images that were measured
        history: one row per epoch, with the columns of `history.csv`
    """
    if not screen.is_rich or screen.width < MIN_WIDTH:
        return
    charts = [confusion_chart(report, screen.is_unicode), confidence_chart(report, screen.is_unicode)]
    if len(history) > 1:
        charts += [curve_chart(history, name, screen.is_unicode) for name in ("accuracy", "loss")]
    charts = [chart for chart in charts if chart]
    needed = sum(map(_width, charts)) + GAP * (len(charts) - 1)
    size = len(charts) if needed <= screen.width else 2
    bands = [charts[start : start + size] for start in range(0, len(charts), size)]
    widths = [max(map(_width, column)) for column in zip_longest(*bands, fillvalue=[])]
    for band in bands:
        screen.blank()
        for parts in zip_longest(*band, fillvalue=[]):
            padded = ([*part, " " * (width - _columns(part) + GAP)] for part, width in zip(parts, widths, strict=False))
            screen.line(*chain.from_iterable(padded))


def _width(chart: list[Line]) -> int:
    return max(map(_columns, chart), default=0)


def _columns(line: Line) -> int:
    from rich.cells import cell_len

    return sum(cell_len(part if isinstance(part, str) else part[0]) for part in line)


def confusion_chart(report: "Report", is_unicode: bool) -> list[Line]:
    """Draw the confusion matrix: a row per true class, images as numbers, fractions of the row as shades."""
    confusion = report.confusion
    if len(confusion) > MAX_CLASSES:
        return []
    full_names = distinct_names(report.class_names)
    names = [shorten_middle(name, NAME_WIDTH) for name in full_names]
    cell = max(6, len(f"{confusion.max():,}") + 3)
    row_width = max(_columns([name]) for name in names)
    heads = [pad(truncate(name, cell - 1), cell) for name in full_names]
    lines: list[Line] = [[(f"{'true':<{row_width}}  {'predicted':<{cell * len(names)}}", FAINT)]]
    lines.append([" " * (row_width + 2), ("".join(heads), FAINT)])
    for true, (name, row) in enumerate(zip(names, confusion, strict=True)):
        line: Line = [pad(name, row_width + 2)]
        for predicted, count in enumerate(row):
            shade = _shade(count / max(1, row.sum()), is_unicode)
            color = (GOOD if predicted == true else BAD) if count else FAINT
            line.append(
                (f"{shade}{count:>{cell - 2},} " if count else f"{'·' if is_unicode else '.':>{cell - 1}} ", color)
            )
        lines.append(line)
    return lines


def _shade(fraction: float, is_unicode: bool) -> str:
    shades = SHADES if is_unicode else ASCII_SHADES
    return shades[math.ceil(fraction * (len(shades) - 1))]


def confidence_chart(report: "Report", is_unicode: bool) -> list[Line]:
    """Draw how many images have which confidence, correct and wrong ones apart."""
    correct_mark, wrong_mark = ("█", "▒") if is_unicode else ("#", "x")
    confidence, is_correct = report.probabilities.max(axis=1), report.predicted == report.labels
    counts = []
    for low, high in pairwise(BINS):
        inside = (confidence >= low) & ((confidence < high) | (high == 1))
        counts.append((int((inside & is_correct).sum()), int((inside & ~is_correct).sum())))
    scale = BAR_WIDTH / max(1, *map(sum, counts))
    first = next((number for number, pair in enumerate(counts) if sum(pair)), 0)
    title: Line = [
        ("confidence  ", FAINT),
        (correct_mark, GOOD),
        (" correct  ", FAINT),
        (wrong_mark, BAD),
        (" wrong", FAINT),
    ]
    lines = [title]
    for (low, high), (correct, wrong) in list(zip(pairwise(BINS), counts, strict=True))[first:]:
        label = f"{'below' if low == 0 else f'{100 * low:.0f} to'} {100 * high:.0f} %"
        bars = [math.ceil(count * scale) if count else 0 for count in (correct, wrong)]
        lines.append(
            [
                (f"{label:>11}  ", FAINT),
                (correct_mark * bars[0], GOOD),
                (wrong_mark * bars[1], BAD),
                f" {correct + wrong:,}",
            ]
        )
    return lines


def curve_chart(history: Sequence[Mapping[str, Any]], name: str, is_unicode: bool) -> list[Line]:
    """Draw accuracy or loss by epoch: validation as a line, training as dots."""
    training, validation = ([float(row[column]) for row in history] for column in (name, f"val_{name}"))
    finite = [value for value in (*training, *validation) if math.isfinite(value)]
    if not finite:
        return []
    low, high = min(finite), max(finite)
    draw = _draw_braille if is_unicode else _draw_ascii
    rows = draw(_scaled(validation, low, high), _scaled(training, low, high))
    labels = [_figure(name, high), *[""] * (CURVE_HEIGHT - 2), _figure(name, low)]
    label_width = max(map(len, labels))
    marks = ("━", "·") if is_unicode else ("*", ".")
    title: Line = [
        (f"{name}  ", FAINT),
        (marks[0], VALIDATION),
        (" validation ", FAINT),
        (marks[1], WARN),
        (" training", FAINT),
    ]
    lines = [title]
    lines += [[(f"{label:>{label_width}} ", FAINT), *row] for label, row in zip(labels, rows, strict=True)]
    last = f"epoch {len(history):,}"
    lines.append([(f"{'':>{label_width}} 1{last:>{CURVE_WIDTH - 1}}", FAINT)])
    return lines


def _figure(name: str, value: float) -> str:
    return f"{100 * value:.1f} %" if name == "accuracy" else f"{value:.2f}"


def _scaled(values: Sequence[float], low: float, high: float) -> list[float]:
    """Scale values to 0 (lowest) to 1 (highest); NaN stays."""
    return [(value - low) / (high - low or 1) for value in values]


def _heights(values: Sequence[float], width: int, height: int) -> list[int | None]:
    """Give the row of a curve at each column, 0 at the top; None where there is no value."""
    rows: list[int | None] = []
    for column in range(width):
        position = column * (len(values) - 1) / (width - 1)
        before = values[math.floor(position)]
        value = before + (position - math.floor(position)) * (values[math.ceil(position)] - before)
        rows.append(round((1 - value) * (height - 1)) if math.isfinite(value) else None)
    return rows


def _draw_braille(line: Sequence[float], dots: Sequence[float]) -> list[Line]:
    """Draw a line and a dotted line in characters of two by four dots."""
    width, height = 2 * CURVE_WIDTH, 4 * CURVE_HEIGHT
    cells, solid = [[0] * CURVE_WIDTH for _ in range(CURVE_HEIGHT)], set[tuple[int, int]]()
    previous: int | None = None
    for column, row in enumerate(_heights(line, width, height)):
        if row is not None:
            start = row if previous is None else previous
            for filled in range(min(start, row), max(start, row) + 1):
                cells[filled // 4][column // 2] |= DOTS[filled % 4][column % 2]
                solid.add((filled // 4, column // 2))
        previous = row
    for column, row in enumerate(_heights(dots, width, height)):
        if row is not None and column % 2 == 0:
            cells[row // 4][column // 2] |= DOTS[row % 4][0]
    return [
        [
            (chr(0x2800 + bits) if bits else " ", VALIDATION if (row, column) in solid else WARN)
            for column, bits in enumerate(cells_of_row)
        ]
        for row, cells_of_row in enumerate(cells)
    ]


def _draw_ascii(line: Sequence[float], dots: Sequence[float]) -> list[Line]:
    """Draw a line and a dotted line, a character for each column."""
    cells: list[list[Part]] = [[" "] * CURVE_WIDTH for _ in range(CURVE_HEIGHT)]
    for values, mark in ((dots, (".", WARN)), (line, ("*", VALIDATION))):
        for column, row in enumerate(_heights(values, CURVE_WIDTH, CURVE_HEIGHT)):
            if row is not None:
                cells[row][column] = mark
    return cells
