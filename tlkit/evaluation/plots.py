"""Plots of metrics: confusion matrix, training curves, learning-rate range test."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tlkit.evaluation.report import Report
from tlkit.utils.plotting import BLUE, INK, ORANGE, save_figure, save_new_figure
from tlkit.utils.text import truncate


def draw_confusion(report: Report, file: Path) -> None:
    """Draw the confusion matrix: fractions of each true class as color, images as numbers."""
    confusion, names = report.confusion, [truncate(name, 20) for name in report.class_names]
    size = min(20, 2.6 + 0.55 * len(names))
    figure = Figure(figsize=(size + 0.6, size), layout="constrained")
    axes = figure.add_subplot()
    fractions = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    if len(names) <= 40:
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor", parse_math=False)
        axes.set_yticks(range(len(names)), names, parse_math=False)
    if len(names) <= 25:
        for (row, column), count in np.ndenumerate(confusion):
            if count:
                ink = "white" if fractions[row, column] > 0.5 else INK
                axes.text(column, row, str(count), ha="center", va="center", fontsize=9, color=ink)
    low, high = report.interval
    axes.set_title(f"accuracy {report.accuracy:.3f}  ({low:.3f} to {high:.3f})", fontsize=11, color=INK)
    axes.set_xlabel("predicted", color=INK)
    axes.set_ylabel("true", color=INK)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=9, colors=INK)
    save_figure(figure, file)


def draw_curves(history: Sequence[Mapping[str, Any]], best_epoch: int, file: Path) -> None:
    """Draw loss and accuracy by epoch, for training and validation, one phase after the other.

    history: one row per epoch, with the columns of `history.csv`
    best_epoch: the epoch of the last phase whose weights were kept; a dotted line shows it
    """
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    epochs = list(range(1, len(history) + 1))
    phase_starts = [index for index in range(1, len(history)) if history[index]["phase"] != history[index - 1]["phase"]]
    last = phase_starts[-1] if phase_starts else 0
    best = next(number for number, row in enumerate(history[last:], last + 1) if row["epoch"] == best_epoch)
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        axes.axvline(best, color="#bbbbbb", linewidth=1, linestyle=":")
        for start in phase_starts:
            axes.axvspan(start + 0.5, len(history) + 0.5, color="#f2f2f2", linewidth=0)
        axes.plot(epochs, [row[name] for row in history], color=ORANGE, label="training")
        axes.plot(epochs, [row[f"val_{name}"] for row in history], color=BLUE, label="validation")
        axes.set_xlabel("epoch", color=INK)
        axes.set_title(name, fontsize=11, color=INK)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.get_major_locator().set_params(integer=True)
    figure.axes[0].legend(frameon=False)
    save_figure(figure, file)


def draw_rates(rates: list[float], losses: list[float], suggested: float, file: Path) -> None:
    """Draw the loss at each learning rate of a range test, and the suggested rate.

    raises: OptionError where `file` exists
    """
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.semilogx(rates, losses, color=BLUE)
    axes.axvline(suggested, color=ORANGE, linewidth=1, linestyle="--")
    axes.annotate(f"{suggested:g}", (suggested, max(losses)), (4, -4), textcoords="offset points", color=ORANGE)
    axes.set_xlabel("learning rate", color=INK)
    axes.set_title("loss while the rate grows", fontsize=11, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    save_new_figure(figure, file)
