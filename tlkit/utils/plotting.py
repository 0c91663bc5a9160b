"""Plot colors, and how a figure is saved."""

from pathlib import Path
from typing import IO

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tlkit.utils.files import atomic_open, open_new

INK, BLUE, ORANGE = "#333333", "#2166ac", "#d6604d"


def save_figure(figure: Figure, file: Path) -> None:
    """Write a figure of a run as PNG, whole or not at all; it replaces an older one."""
    file.parent.mkdir(exist_ok=True)
    with atomic_open(file, "wb") as out:
        _draw(figure, out)


def save_new_figure(figure: Figure, file: Path) -> None:
    """Write a figure as PNG where the user wants it, whole or not at all.

    raises: OptionError where `file` exists
    """
    with open_new(file, "wb") as out:
        _draw(figure, out)


def _draw(figure: Figure, out: IO[bytes]) -> None:
    FigureCanvasAgg(figure)
    figure.savefig(out, format="png", dpi=120)
