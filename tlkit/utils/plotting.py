"""Plot colors, fonts that have the characters of names, and how a figure is made and saved.

Nothing here imports matplotlib until something is drawn: it is an optional package.
"""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tlkit.errors import require
from tlkit.utils.files import atomic_open, make_folder, open_new

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontEntry

INK, GRAY, BLUE, ORANGE = "#333333", "#777777", "#2166ac", "#d6604d"
DPI = 120  # pixels of a saved figure per inch
FONT = "DejaVu Sans"  # comes with matplotlib
UNUSABLE_FONTS = ("Last Resort", "STIX", "cm")  # boxes for every character, and mathematics


def require_matplotlib(what: str = "a plot") -> None:
    """Check that matplotlib is installed; ModelError if not

    Args:
        what: is to be drawn
    """
    require("matplotlib", "plots", what)


def import_matplotlib() -> None:
    """Import what draws, and read the list of fonts, in a thread that has time; ModelError where it is not installed"""
    require_matplotlib()
    for name in ("figure", "font_manager", "backends.backend_agg"):
        import_module(f"matplotlib.{name}")


def new_figure(**options: Any) -> "Figure":
    """Make an empty figure, which a notebook shows also where pyplot was never imported.

    Args:
        options: of `matplotlib.figure.Figure`

    Raises:
        ModelError: if matplotlib is not installed
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    class NotebookFigure(Figure):
        """A figure with an image for notebooks."""

        def _repr_png_(self) -> bytes:
            content = io.BytesIO()
            write_png(self, content)
            return content.getvalue()

    return NotebookFigure(**options)


@contextmanager
def fonts_for(texts: Iterable[str]) -> Iterator[set[str]]:
    """Let figures that are made in this block use installed fonts that have the characters of these texts.

    Give the characters that no font has.

    Raises:
        ModelError: if matplotlib is not installed
    """
    require_matplotlib()
    from matplotlib import rc_context
    from matplotlib.font_manager import fontManager

    missing = {ord(character) for text in texts for character in text} - _characters(fontManager.findfont(FONT), 0)
    families = [FONT]
    for font in _upright_fonts() if missing else ():
        if found := missing & _characters(font.fname, font.index):
            families.append(font.name)
            missing = missing - found
    with rc_context({"font.family": families}):
        yield {chr(code) for code in missing}


def escape_missing(text: str, missing: set[str]) -> str:
    """Escape the characters that no font has."""
    return "".join(char.encode("unicode_escape").decode() if char in missing else char for char in text)


def _upright_fonts() -> "list[FontEntry]":
    from matplotlib.font_manager import fontManager

    return [
        font
        for font in fontManager.ttflist
        if font.style == "normal" and font.weight in (400, "normal") and not font.name.startswith(UNUSABLE_FONTS)
    ]


@cache
def _characters(file: str, index: int) -> frozenset[int]:
    """List the characters of a font file; none if it cannot be drawn with."""
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(file, face_index=index).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()


def save_figure(figure: "Figure", file: Path) -> None:
    """Write a figure of a run as PNG, whole or not at all; it replaces an older one."""
    make_folder(file.parent)
    with atomic_open(file, "wb") as out:
        write_png(figure, out)


def save_new_figure(figure: "Figure", file: Path) -> None:
    """Write a figure as PNG where the user wants it, whole or not at all.

    Raises:
        OptionError: if `file` exists
    """
    with open_new(file, "wb") as out:
        write_png(figure, out)


def write_png(figure: "Figure", out: IO[bytes]) -> None:
    """Draw a figure as PNG into an open file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    figure.savefig(out, format="png", dpi=DPI, pil_kwargs={"compress_level": 4})  # twice as fast as 6, 6 % larger
