"""The files of `tlkit robustness -o`: tables, and a heat map."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tlkit.robustness.results import CorruptionFigures, Robustness
from tlkit.utils.files import new_folder, open_new
from tlkit.utils.plotting import GRAY, INK, escape_missing, fonts_for, new_figure, save_new_figure
from tlkit.utils.tables import table_writer
from tlkit.utils.text import truncate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW_COLUMNS = (
    *("corruption", "severity", "accuracy", "accuracy_low", "accuracy_high", "num_correct", "num_images"),
    *("ece", "ece_low", "ece_high", "unknown_share", "change", "change_low", "change_high", "p"),
)
COPY_COLUMNS = (
    *("copy", "changed", "changed_low", "changed_high", "num_changed", "num_images", "confidence_change", "accuracy"),
)


def write_robustness(measured: Robustness, name: str, folder: Path, dialect: str = "plain") -> None:
    """Write robustness.csv, consistency.csv and robustness.png to a new folder, whole or not at all.

    Args:
        name: of the run, for the title of the heat map
        dialect: of the csv files, as `table_writer` takes it

    Raises:
        OptionError: if the folder exists
        ModelError: if matplotlib is not installed
        WriteError
    """
    with new_folder(folder) as root:
        rows = [row.as_json() for row in (measured.clean, *measured.rows)]
        _write_table(root / "robustness.csv", ROW_COLUMNS, rows, dialect)
        _write_table(root / "consistency.csv", COPY_COLUMNS, [row.as_json() for row in measured.consistency], dialect)
        save_new_figure(robustness_figure(measured, name), root / "robustness.png")


def _write_table(file: Path, columns: Sequence[str], rows: Sequence[dict[str, Any]], dialect: str) -> None:
    """Write rows of --json; an interval becomes two columns."""
    with open_new(file) as opened:
        writer = table_writer(opened, dialect)
        writer.writerow(columns)
        for row in rows:
            bounds = {
                f"{name.removesuffix('_ci95')}_{end}": bound
                for name, value in row.items()
                if name.endswith("_ci95")
                for end, bound in zip(("low", "high"), value, strict=True)
            }
            writer.writerow([(row | bounds)[column] for column in columns])


def robustness_figure(measured: Robustness, name: str) -> "Figure":
    """Draw heat maps of accuracy, calibration error and unknown answers: a row per corruption, a column per severity.

    Args:
        name: of the run, for the title
    """
    panels: list[tuple[str, Callable[[CorruptionFigures], float | None], str]] = [
        ("accuracy in %", lambda row: row.accuracy, "Blues"),
        ("calibration error in %", lambda row: row.ece, "Oranges"),
    ]
    if measured.clean.unknown_rate is not None:
        panels.append(("answered unknown, in %", lambda row: row.unknown_rate, "Purples"))
    names, columns = list(measured.means), [0, *measured.severities]
    size = (2.0 + len(panels) * (0.5 + 0.52 * len(columns)), 1.5 + 0.36 * len(names))
    with fonts_for([name]) as missing:
        figure = new_figure(figsize=size, layout="constrained")
        title = f"{escape_missing(truncate(name, 40), missing)}: damaged copies of {len(measured.labels):,} images"
        figure.suptitle(title, fontsize=12, color=INK, x=0.02, ha="left", parse_math=False)
        for axes, (caption, value, colors) in zip(
            np.ravel(figure.subplots(1, len(panels), sharey=True)), panels, strict=True
        ):
            values = {(row.corruption, row.severity): value(row) or 0.0 for row in measured.rows}
            clean = value(measured.clean) or 0.0
            cells = [[clean, *(values[corruption, severity] for severity in columns[1:])] for corruption in names]
            _draw_panel(axes, 100 * np.array(cells), caption, colors)
            axes.set_xticks(range(len(columns)), ["none", *map(str, columns[1:])])
            axes.set_yticks(range(len(names)), names)
            axes.set_xlabel("severity", color=INK, fontsize=9)
    return figure


def _draw_panel(axes: "Axes", percents: np.ndarray, caption: str, colors: str) -> None:
    """Draw one heat map with its numbers; the color of 0 is the brightest, that of 100 the darkest."""
    axes.imshow(percents, cmap=colors, vmin=0, vmax=100, aspect="auto")
    for (row, column), value in np.ndenumerate(percents):
        ink = "white" if value > 55 else INK
        axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=8.5, color=ink)
    axes.set_title(caption, fontsize=9.5, color=GRAY, loc="left", pad=6)
    axes.set_xticks(np.arange(percents.shape[1] - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(percents.shape[0] - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.spines[:].set_visible(False)
    axes.tick_params(which="both", length=0, labelsize=9, colors=INK)
