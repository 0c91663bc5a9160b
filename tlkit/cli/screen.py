"""Lines and tables that fit the terminal, with colors that are never the only sign."""

import locale
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from typing import IO, Any

from tlkit.utils.text import escape_control_chars, shorten_middle

MIN_WIDTH, MAX_WIDTH = 20, 120  # columns; a longer line is hard to read
LABEL_WIDTH = 12  # of what introduces a line, such as "check"
NARROW = 40  # columns below which a command has no room for so wide a label
GAP = 2  # spaces between the columns of a table
MIN_FIRST = 20  # columns of the first one, for which others are dropped
GLUE = "\ue000"  # stands for a space at which no line may break
GOOD, WARN, BAD = "color(28)", "color(166)", "color(160)"  # green, orange and red that show on white and on black
STRONG, FAINT = "bold", "dim"

Part = str | tuple[str, str]  # a text, or a text and its style


def terminal_width(max_width: int = MAX_WIDTH) -> int:
    """Give the columns of the terminal, or 80 where there is none."""
    return min(max_width, max(MIN_WIDTH, shutil.get_terminal_size().columns))


def percent(fraction: float) -> str:
    """Write a fraction as a percentage, with a space that does not break.

    >>> percent(0.9456).replace(GLUE, " "), percent(1.0).replace(GLUE, " ")
    ('94.6 %', '100.0 %')
    """
    return f"{100 * fraction:.1f}{GLUE}%"


class Screen:
    """Lines on a stream, wrapped between words at the width of the terminal.

    Control characters in texts are escaped. `NO_COLOR`, `TERM=dumb` and pipes get no escape sequences.
    """

    def __init__(self, stream: IO[str] | None = None, max_width: int = MAX_WIDTH) -> None:
        from rich.console import Console

        self.width = terminal_width(max_width)
        self._console = Console(
            file=stream or sys.stdout,
            width=self.width,
            color_system=None if os.environ.get("NO_COLOR") else "auto",
            highlight=False,
            markup=False,
            emoji=False,
        )
        self._console.on_broken_pipe = _raise_again  # type: ignore[method-assign]  # rich would end with exit code 1

    @property
    def is_rich(self) -> bool:
        """True on a terminal that can do more than print lines."""
        return self._console.is_terminal and os.environ.get("TERM") not in ("dumb", "unknown")

    @property
    def is_unicode(self) -> bool:
        """True where the locale has all characters of Unicode."""
        return locale.getencoding().lower().startswith("utf")

    def blank(self) -> None:
        """Print an empty line."""
        self._print("")

    def line(self, *parts: Part, indent: int = 0) -> None:
        """Print one sentence; further lines of it are indented as the first."""
        self._hang(" " * indent, "", parts)

    def entry(self, label: str, *parts: Part, style: str = "") -> None:
        """Print a label and a sentence; its further lines are indented to the first."""
        self._hang(f"{label:<{LABEL_WIDTH}}", style, parts)

    def command(self, label: str, command: str, purpose: str = "") -> None:
        """Print a command that can be pasted; a long one is broken by backslashes, as a shell reads it."""
        indent = LABEL_WIDTH if self.width >= NARROW else len(label) + 1
        lines = break_command(command, self.width - indent)
        comment = f"  # {purpose}"
        fits = len(lines) == 1 and indent + len(lines[0]) + len(comment) <= self.width
        if purpose and not fits:
            self.entry(label, (comment.strip(), FAINT))
            label, comment = "", ""
        lead = f"{label:<{indent}}"
        for line in lines:
            self._print(self._text(lead, (line, STRONG), (comment if purpose else "", FAINT)))
            lead = " " * indent if line.endswith(" \\") else ""  # a broken word continues at the first column

    def table(
        self,
        header: Sequence[Part],
        rows: Sequence[Sequence[Part]],
        left: Sequence[int] = (0,),
        dropped: Sequence[int] = (),
    ) -> None:
        """Print rows below a dim header; the first column is shortened in the middle where the table is too wide.

        Args:
            left: columns that are aligned to the left
            dropped: columns that a narrow terminal does not get, the first of them first
        """
        from rich.cells import cell_len

        cells = [[_plain(cell) for cell in row] for row in (header, *rows)]
        widths = [max(cell_len(cell) for cell in column) for column in zip(*cells, strict=True)]
        columns = self._columns_that_fit(widths, dropped)
        rest = sum(widths[column] + GAP for column in columns[1:])
        widths[0] = max(min(widths[0], 8), min(widths[0], self.width - rest))
        for number, row in enumerate((header, *rows)):
            line = self._text()
            for column in columns:
                cell, width = row[column], widths[column]
                text = shorten_middle(_plain(cell), width) if column == 0 else _plain(cell)
                padding = " " * (width - cell_len(text))
                line.append(" " * GAP * bool(column) + (text + padding if column in left else padding + text))
                style = FAINT if number == 0 else cell[1] if isinstance(cell, tuple) else ""
                line.stylize(style or "none", len(line.plain) - len(text + padding))
            line.rstrip()
            for part in line.wrap(self._console, self.width):
                self._print(part)

    def _columns_that_fit(self, widths: Sequence[int], dropped: Sequence[int]) -> list[int]:
        """Leave out columns, in the order of `dropped`, until the others fit beside a short first one."""
        columns = list(range(len(widths)))
        for column in dropped:
            needed = min(widths[0], MIN_FIRST) + sum(widths[other] + GAP for other in columns[1:])
            if needed > self.width:
                columns.remove(column)
        return columns

    def _hang(self, lead: str, style: str, parts: Sequence[Part]) -> None:
        from rich.text import Text

        wrapped = self._text(*parts).wrap(self._console, max(8, self.width - len(lead)))
        for number, row in enumerate(wrapped or [Text("")]):
            row.rstrip()
            first = Text(lead, style) if number == 0 else Text(" " * len(lead))
            self._print(first + row)

    def _text(self, *parts: Part) -> Any:
        from rich.text import Text

        pairs = [part if isinstance(part, tuple) else (part, "") for part in parts]
        return Text.assemble(*((escape_glued(text), style or "none") for text, style in pairs))

    def _print(self, text: Any) -> None:
        if not isinstance(text, str):
            text.plain = text.plain.replace(GLUE, " ").rstrip()
        self._console.print(text, soft_wrap=True)


def _raise_again() -> None:
    raise  # noqa: PLE0704 - rich calls it where it handles a BrokenPipeError


def escape_glued(text: str) -> str:
    """Escape control characters, but leave `GLUE` as it is."""
    return GLUE.join(escape_control_chars(part) for part in text.split(GLUE))


def break_command(command: str, width: int) -> list[str]:
    r"""Break a command into lines of at most `width` columns that a shell joins again.

    A line ends with a backslash: after a space between words, or inside a word that is too long for a line.

    >>> break_command("tlkit predict runs/finetune-001 FOLDER", 30)
    ['tlkit predict \\', 'runs/finetune-001 FOLDER']
    """
    lines, current = list[str](), ""
    for word in map(shlex.quote, shlex.split(command)):
        if current and len(current) + 1 + len(word) + 2 > width:
            lines.append(f"{current} \\")
            current = ""
        current = escape_control_chars(f"{current} {word}" if current else word)
        while len(current) > width and not current.startswith("'"):
            lines.append(current[: width - 1] + "\\")
            current = current[width - 1 :]
    return [*lines, current]


def _plain(cell: Part) -> str:
    return escape_glued(cell if isinstance(cell, str) else cell[0]).replace(GLUE, " ")
