"""Plot colors, and how a figure is saved."""

from pathlib import Path
from typing import IO

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tlkit.utils.files import atomic_open, open_new

INK, BLUE, ORANGE = "#333333", "#2166ac", "#d6604d"


def save_figure(figure: Figure, file: Path) -> None:
    """A figure of a run as PNG, written whole or not at all, in place of an older one."""
    file.parent.mkdir(exist_ok=True)
    with atomic_open(file, "wb") as out:
        _draw(figure, out)


def save_new_figure(figure: Figure, file: Path) -> None:
    """A figure as PNG where the user wants it, written whole or not at all.

    raises: OptionError where anything is there
    """
    with open_new(file, "wb") as out:
        _draw(figure, out)


def _draw(figure: Figure, out: IO[bytes]) -> None:
    FigureCanvasAgg(figure)
    figure.savefig(out, format="png", dpi=120)
