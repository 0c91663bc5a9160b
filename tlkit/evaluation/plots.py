"""Plots of metrics: confusion matrix, mistakes, training curves, learning-rate range test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tlkit.evaluation.report import Report
from tlkit.utils.plotting import BLUE, INK, ORANGE, save_figure, save_new_figure
from tlkit.utils.text import distinct_names, shorten_middle, truncate


@dataclass(frozen=True)
class Mistake:
    """A misclassified image.

    pixels      uint8 (height, width, 3)
    confidence  the probability of the predicted class
    """

    pixels: np.ndarray
    path: str
    true: str
    predicted: str
    confidence: float


def draw_confusion(report: Report, file: Path) -> None:
    """Draw the confusion matrix: fractions of each true class as color, images as numbers."""
    confusion = report.confusion
    names = [shorten_middle(name, 20) for name in distinct_names(report.class_names)]
    totals = confusion.sum(axis=1)
    size = min(20, 2.6 + 0.55 * len(names))
    figure = Figure(figsize=(size + 0.6, size), layout="constrained")
    axes = figure.add_subplot()
    fractions = confusion / np.maximum(totals[:, None], 1)
    axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    if len(names) <= 40:
        upright = max(map(len, names)) <= 3
        turned: dict[str, Any] = {} if upright else {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
        axes.set_xticks(range(len(names)), names, parse_math=False, **turned)
        rows = [f"{name} ({total})" for name, total in zip(names, totals, strict=True)]
        axes.set_yticks(range(len(names)), rows, parse_math=False)
    if len(names) <= 25:
        for (row, column), count in np.ndenumerate(confusion):
            if count:
                ink = "white" if fractions[row, column] > 0.5 else INK
                axes.text(column, row, str(count), ha="center", va="center", fontsize=9, color=ink)
    axes.set_title(_verdict(report), fontsize=10, color=INK)
    axes.set_xlabel("predicted", color=INK)
    axes.set_ylabel("true class (images)", color=INK)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=9, colors=INK)
    save_figure(figure, file)


def _verdict(report: Report) -> str:
    low, high = report.interval
    counts = f"{report.num_correct} of {len(report.labels)} correct"
    return f"accuracy {100 * report.accuracy:.1f} %, {counts}\n95 % interval {100 * low:.1f} to {100 * high:.1f} %"


MISTAKE_COLUMNS = 4


def draw_mistakes(mistakes: Sequence[Mistake], num_mistakes: int, file: Path) -> None:
    """Draw a sheet of misclassified images, with the true and the predicted class of each.

    num_mistakes: how many there are in all
    """
    rows = -(-len(mistakes) // MISTAKE_COLUMNS)
    figure = Figure(figsize=(2.6 * MISTAKE_COLUMNS, 2.5 * rows + 0.5), layout="constrained")
    shown = "" if len(mistakes) == num_mistakes else f"; the {len(mistakes)} most confident are shown"
    figure.suptitle(f"{num_mistakes} wrong{shown}", fontsize=11, color=INK)
    for axes in np.ravel(figure.subplots(rows, MISTAKE_COLUMNS)):
        axes.set_axis_off()
    for axes, mistake in zip(figure.axes, mistakes, strict=False):
        axes.imshow(mistake.pixels)
        true, predicted = truncate(mistake.true, 24), truncate(mistake.predicted, 24)
        label = f"{true}\nas {predicted} ({100 * mistake.confidence:.0f} %)"
        axes.set_title(label, fontsize=9, color=INK, parse_math=False)
        name = truncate(mistake.path.rsplit("/", 1)[-1], 34)
        axes.text(
            0.5,
            -0.03,
            name,
            transform=axes.transAxes,
            ha="center",
            va="top",
            fontsize=7,
            color="#777777",
            parse_math=False,
        )
    save_figure(figure, file)


def draw_curves(history: Sequence[Mapping[str, Any]], best_epoch: int, file: Path) -> None:
    """Draw loss and accuracy by epoch, for training and validation, one phase after the other.

    history: one row per epoch, with the columns of `history.csv`
    best_epoch: the epoch of the last phase whose weights were kept; a dotted line shows it
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    epochs = list(range(1, len(history) + 1))
    phase_starts = [index for index in range(1, len(history)) if history[index]["phase"] != history[index - 1]["phase"]]
    last = phase_starts[-1] if phase_starts else 0
    best = next(number for number, row in enumerate(history[last:], last + 1) if row["epoch"] == best_epoch)
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        axes.axvline(best, color="#999999", linewidth=1, linestyle=":", label="epoch that was kept")
        for start in phase_starts:
            label = f"phase: {history[start]['phase']}"
            axes.axvspan(start + 0.5, len(history) + 0.5, color="#f2f2f2", linewidth=0, label=label)
        axes.plot(epochs, [row[name] for row in history], color=ORANGE, label="training")
        axes.plot(epochs, [row[f"val_{name}"] for row in history], color=BLUE, label="validation")
        axes.set_xlabel("epoch", color=INK)
        axes.set_title(name, fontsize=11, color=INK)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.get_major_locator().set_params(integer=True)
    figure.axes[0].legend(frameon=False, fontsize=9)
    save_figure(figure, file)


def draw_rates(rates: list[float], losses: list[float], suggested: float, file: Path) -> None:
    """Draw the loss at each learning rate of a range test, and the suggested rate.

    raises: OptionError where `file` exists
    """
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.semilogx(rates, losses, color=BLUE)
    axes.axvline(suggested, color=ORANGE, linewidth=1, linestyle="--")
    axes.annotate(
        f"suggested {suggested:g}", (suggested, max(losses)), (4, -4), textcoords="offset points", color=ORANGE
    )
    axes.set_xlabel("learning rate", color=INK)
    axes.set_title("loss as the learning rate grows", fontsize=11, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    save_new_figure(figure, file)
