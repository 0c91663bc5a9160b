"""What all pictures have in common: their inks, and how they are written."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tlkit.files import open_atomically

INK, BLUE, ORANGE = "#333333", "#2166ac", "#d6604d"


def save_figure(figure: Figure, file: Path) -> None:
    """A figure as PNG, written whole or not at all."""
    file.parent.mkdir(exist_ok=True)
    with open_atomically(file, "wb") as out:
        FigureCanvasAgg(figure)
        figure.savefig(out, format="png", dpi=120)
