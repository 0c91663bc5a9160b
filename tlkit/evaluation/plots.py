"""Plots of metrics: confusion matrix, mistakes, training curves, learning-rate range test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tlkit.evaluation.calibration import Calibration
from tlkit.evaluation.metrics import wilson_interval
from tlkit.evaluation.report import Report
from tlkit.utils.plotting import (
    BLUE,
    DPI,
    GRAY,
    INK,
    ORANGE,
    escape_missing,
    fonts_for,
    new_figure,
    save_figure,
    save_new_figure,
)
from tlkit.utils.text import distinct_names, shorten_middle, truncate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Mistake:
    """A misclassified image.

    Attributes:
        pixels: uint8 (height, width, 3)
        label: index of its class
        predicted: index of the predicted class
        confidence: the probability of the predicted class
    """

    pixels: np.ndarray
    path: str
    label: int
    predicted: int
    confidence: float


MAX_DRAWN_CLASSES = 30  # of a confusion matrix; of more, those that are confused most are drawn
MAX_LABEL = 22  # columns of a class name
INDEX_LEGEND = "#: index of a class in per_class.csv, as no font here has its name"
CORRECT, WRONG = "#2166ac", "#c8402f"  # the colors of all images of a class


def draw_confusion(report: Report, data_name: str, file: Path) -> None:
    """Write the confusion matrix as a PNG; see `confusion_figure`."""
    save_figure(confusion_figure(report, data_name), file)


def confusion_figure(report: Report, data_name: str) -> "Figure":
    """Draw the confusion matrix: fractions of each true class as color, images as numbers.

    Args:
        data_name: of the images, for the title
    """
    drawn = confused_classes(report.confusion, MAX_DRAWN_CLASSES)
    confusion, totals = report.confusion[np.ix_(drawn, drawn)], report.confusion.sum(axis=1)[drawn]
    shown = distinct_names(report.class_names)
    with fonts_for([data_name, *(shown[label] for label in drawn)]) as missing:
        names = [_class_label(shown[label], label, missing) for label in drawn]
        side = 0.9 + max(0.36, min(0.7, 5 / len(names))) * len(names)
        figure = new_figure(figsize=(max(5.2, side + 1.4), max(3.4, side + 1.2)), layout="constrained")
        axes = figure.add_subplot()
        fractions = confusion / np.maximum(totals[:, None], 1)
        axes.imshow(_confusion_colors(fractions))
        _write_counts(axes, confusion, fractions)
        _name_classes(axes, names, totals)
        title = f"{escape_missing(truncate(data_name, 30), missing)}: {_verdict(report)}"
        figure.suptitle(title, fontsize=12, color=INK, x=0.02, ha="left", parse_math=False)
        caption = _confusion_caption(report, len(drawn), any(missing & set(shown[label]) for label in drawn))
        axes.set_title(caption, fontsize=8.5, color=GRAY, loc="left", pad=8)
    return figure


def confused_classes(confusion: np.ndarray, count: int) -> list[int]:
    """Choose classes, in label order: pair by pair those that are confused with each other most often."""
    pairs = confusion + confusion.T
    np.fill_diagonal(pairs, 0)
    first, second = np.nonzero(np.triu(pairs))
    order = np.argsort(-pairs[first, second], kind="stable")
    confused = (label for pair in order for label in (int(first[pair]), int(second[pair])))
    return sorted(list(dict.fromkeys([*confused, *range(len(confusion))]))[:count])


def _name_classes(axes: "Axes", names: Sequence[str], totals: np.ndarray) -> None:
    """Label rows and columns, and draw white lines between them."""
    upright = max(map(len, names)) <= 3
    turned: dict[str, Any] = {} if upright else {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(len(names)), names, parse_math=False, **turned)
    rows = [f"{name}  ({total:,})" for name, total in zip(names, totals, strict=True)]
    axes.set_yticks(range(len(names)), rows, parse_math=False)
    axes.set_xlabel("predicted class", color=INK)
    axes.set_ylabel("true class (images)", color=INK)
    axes.set_xticks(np.arange(len(names) - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(len(names) - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.spines[:].set_visible(False)
    axes.tick_params(which="both", length=0, labelsize=9, colors=INK)


def _confusion_colors(fractions: np.ndarray) -> np.ndarray:
    """Color fractions: blue if correct, red if wrong, the darker the larger: (classes, classes, 3), 0 to 1."""
    from matplotlib.colors import to_rgb

    full = np.tile(to_rgb(WRONG), (*fractions.shape, 1))
    full[np.diag_indices(len(fractions))] = to_rgb(CORRECT)
    strength = np.sqrt(fractions)[..., None]  # a few mistakes are visible
    return np.asarray(np.array(to_rgb("#f4f4f4")) * (1 - strength) + full * strength)


def _write_counts(axes: "Axes", confusion: np.ndarray, fractions: np.ndarray) -> None:
    size = 9 if len(confusion) <= 15 else 7
    for (row, column), count in np.ndenumerate(confusion):
        if count:
            ink = "white" if fractions[row, column] > 0.3 else INK
            axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize=size, color=ink)


def _verdict(report: Report) -> str:
    return f"{100 * report.accuracy:.1f} % correct ({report.num_correct:,} of {len(report.labels):,} images)"


def _confusion_caption(report: Report, num_drawn: int, has_index: bool) -> str:
    low, high = report.interval
    lines = [f"95 % interval {100 * low:.1f} to {100 * high:.1f} %; color: fraction of the true class"]
    if num_drawn < len(report.class_names):
        lines.append(f"the {num_drawn} most confused of {len(report.class_names):,} classes")
    if has_index:
        lines.append(INDEX_LEGEND)
    return "\n".join(lines)


def _class_label(name: str, label: int, missing: set[str]) -> str:
    """Shorten a name; give the index of a class if no font has its name."""
    return f"#{label}" if missing & set(name) else shorten_middle(name, MAX_LABEL)


MISTAKE_COLUMNS, MISTAKE_CELL = 4, (2.6, 2.5)  # inches of a mistake with its titles
MISTAKE_BOX = (296, 222)  # pixels that its image fills one way


def draw_mistakes(mistakes: Sequence[Mistake], report: Report, file: Path) -> None:
    """Draw a sheet of misclassified images, with the true and the predicted class of each."""
    rows, num_mistakes = -(-len(mistakes) // MISTAKE_COLUMNS), len(report.mistakes)
    names = distinct_names(report.class_names)
    files = [truncate(mistake.path.rsplit("/", 1)[-1], 34) for mistake in mistakes]
    drawn = {label for mistake in mistakes for label in (mistake.label, mistake.predicted)}
    with fonts_for([*files, *(names[label] for label in drawn)]) as missing:
        labels = {label: _class_label(names[label], label, missing) for label in drawn}
        width, height = MISTAKE_COLUMNS * MISTAKE_CELL[0], rows * MISTAKE_CELL[1] + 0.6
        figure = new_figure(figsize=(width, height))
        title = f"{num_mistakes:,} of {len(report.labels):,} images wrong"
        title += f"; the {len(mistakes)} most confident are shown" * (len(mistakes) < num_mistakes)
        title += f"\n{INDEX_LEGEND}" * any(missing & set(names[label]) for label in drawn)
        figure.suptitle(title, fontsize=11, color=INK, y=1 - 0.1 / height, va="top")
        for number, (mistake, name) in enumerate(zip(mistakes, files, strict=True)):
            row, column = divmod(number, MISTAKE_COLUMNS)
            x, y = (column + 0.5) * MISTAKE_CELL[0], height - 0.9 - row * MISTAKE_CELL[1]
            top, bottom = _put_image(figure, mistake.pixels, (round(x * DPI), round(y * DPI)))
            words = f"{labels[mistake.label]}\nas {labels[mistake.predicted]} ({100 * mistake.confidence:.0f} %)"
            text: dict[str, Any] = {"ha": "center", "parse_math": False}
            figure.text(x / width, (top / DPI + 0.06) / height, words, fontsize=9, color=INK, va="bottom", **text)
            below = (bottom / DPI - 0.05) / height
            figure.text(x / width, below, escape_missing(name, missing), fontsize=7, color=GRAY, va="top", **text)
        save_figure(figure, file)


def _put_image(figure: "Figure", pixels: np.ndarray, spot: tuple[int, int]) -> tuple[int, int]:
    """Put an image into its box, pixel by pixel: 24 axes take three times as long as all else on the sheet.

    Args:
        spot: x of the middle and y of the top of the box

    Returns:
        y of its upper and lower edge
    """
    height, width = pixels.shape[:2]
    factor = min(MISTAKE_BOX[0] / width, MISTAKE_BOX[1] / height)
    method = Image.Resampling.NEAREST if factor > 1 else Image.Resampling.BILINEAR
    size = max(1, round(factor * width)), max(1, round(factor * height))
    x, bottom = spot[0] - size[0] // 2, spot[1] - (MISTAKE_BOX[1] + size[1]) // 2
    figure.figimage(np.asarray(Image.fromarray(pixels).resize(size, method)), x, bottom)
    return bottom + size[1], bottom


PHASES = {"head": "head", "blocks": "top blocks", "whole": "all layers"}  # what is trained, as people read it


def draw_curves(history: Sequence[Mapping[str, Any]], best_epoch: int, file: Path) -> None:
    """Draw loss and accuracy by epoch, for training and validation, one phase after the other.

    Args:
        history: one row per epoch, with the columns of `history.csv`
        best_epoch: the epoch of the last phase whose weights were kept; a dotted line shows it
    """
    figure = new_figure(figsize=(9.6, 4), layout="constrained")
    epochs = list(range(1, len(history) + 1))
    phases = [row["phase"] for row in history]
    starts = [index for index, phase in enumerate(phases) if index == 0 or phase != phases[index - 1]]
    last = starts[-1]
    best = next(number for number, row in enumerate(history[last:], last + 1) if row["epoch"] == best_epoch)
    marker = "o" if len(history) == 1 else ""
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for column, color, label in ((name, ORANGE, "training"), (f"val_{name}", BLUE, "validation")):
            axes.plot(epochs, [row[column] for row in history], color=color, label=label, linewidth=1.8, marker=marker)
        axes.set_xlim(0.5, len(history) + 0.5)
        axes.set_xlabel("epoch", color=INK)
        axes.set_title(name, fontsize=11, color=INK, pad=8 if len(starts) == 1 else 22)
        _draw_frame(axes)
        axes.xaxis.get_major_locator().set_params(integer=True)
        _mark_phases(axes, phases, starts)
        _mark_best(axes, best, len(history), 0.95 if name == "loss" else 0.02)
    figure.axes[1].yaxis.set_major_formatter(lambda fraction, _: f"{100 * fraction:.4g} %")
    lines, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(lines, labels, frameon=False, fontsize=9, loc="outside lower center", ncols=2)
    save_figure(figure, file)


def _mark_phases(axes: "Axes", phases: Sequence[str], starts: Sequence[int]) -> None:
    """Write above the axes what is trained in each phase, and shade every second one."""
    if len(starts) < 2:
        return
    for number, (start, end) in enumerate(pairwise([*starts, len(phases)])):
        if number % 2:
            axes.axvspan(start + 0.5, end + 0.5, color="#eeeeee", linewidth=0, zorder=0)
        axes.annotate(
            PHASES.get(phases[start], phases[start]),
            ((start + end + 1) / 2, 1),
            (0, 4),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            ha="center",
            fontsize=8.5,
            color=GRAY,
        )


def _mark_best(axes: "Axes", best: int, num_epochs: int, height: float) -> None:
    """Draw a dotted line at the epoch whose weights were kept, and say so beside it.

    Args:
        height: of the text, as a fraction of the axes, where curves rarely are
    """
    axes.axvline(best, color=GRAY, linewidth=1.2, linestyle=":", zorder=1)
    left = best <= (num_epochs + 1) / 2
    axes.annotate(
        f"best epoch: {best}",
        (best, height),
        (5 if left else -5, 0),
        xycoords=axes.get_xaxis_transform(),
        textcoords="offset points",
        ha="left" if left else "right",
        fontsize=8.5,
        color=GRAY,
    )


def draw_rates(rates: list[float], losses: list[float], suggested: float, file: Path) -> None:
    """Draw the loss at each learning rate of a range test, and the suggested rate.

    Raises:
        OptionError: if `file` exists
    """
    figure = new_figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.semilogx(rates, losses, color=BLUE)
    axes.axvline(suggested, color=ORANGE, linewidth=1, linestyle="--")
    axes.annotate(
        f"suggested {suggested:g}\nsteepest descent",
        (suggested, max(losses)),
        (4, -16),
        textcoords="offset points",
        color=ORANGE,
    )
    axes.set_xlabel("learning rate", color=INK)
    axes.set_ylabel("training loss (moving average)", color=INK)
    axes.set_title("Learning-rate range test: the loss as the learning rate grows", fontsize=11, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    save_new_figure(figure, file)


def draw_reliability(calibration: Calibration, file: Path) -> None:
    """Draw the accuracy of images of similar confidence against that confidence.

    Args:
        calibration: judged, with bins
    """
    figure = new_figure(figsize=(5, 4.6), layout="constrained")
    axes, bins = figure.add_subplot(), calibration.bins
    confidence, accuracy = ([getattr(item, name) for item in bins] for name in ("confidence", "accuracy"))
    intervals = np.array([wilson_interval(round(item.accuracy * item.count), item.count) for item in bins])
    lowest = max(0, min(0.5, *confidence, *intervals[:, 0]) - 0.02)
    axes.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=1.2, linestyle="--", label="perfectly calibrated", zorder=1)
    errors = np.maximum(0, np.abs(intervals.T - accuracy))
    axes.errorbar(confidence, accuracy, errors, color=BLUE, fmt="o-", capsize=3, label="accuracy, 95 % interval")
    axes.set(xlim=(lowest, 1.01), ylim=(lowest, 1.01))
    axes.set_xlabel("confidence", color=INK)
    axes.set_ylabel("accuracy", color=INK)
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    _draw_frame(axes)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda fraction, _: f"{100 * fraction:.4g} %")
    ece, before = 100 * (calibration.ece or 0), 100 * (calibration.ece_before or 0)
    per_bin = f"{min(item.count for item in bins)} or more to a point"
    figure.suptitle(f"Confidence and accuracy differ by {ece:.1f} %", fontsize=12, color=INK, x=0.02, ha="left")
    caption = f"{calibration.num_images:,} held-out images, {per_bin}; before calibration {before:.1f} %"
    axes.set_title(caption, fontsize=8.5, color=GRAY, loc="left", pad=8)
    save_figure(figure, file)


def _draw_frame(axes: "Axes") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#bbbbbb")
    axes.tick_params(colors=INK, labelsize=9)
