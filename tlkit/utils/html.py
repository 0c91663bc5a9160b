"""Short HTML with which objects show themselves in a notebook: escaped, in the colors of the notebook."""

from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup, escape

from tlkit.utils.text import escape_control_chars

MAX_ROWS_SHOWN = 20  # of a table; the others are counted
FAINT = "opacity:.65"
CELL = "text-align:left;padding:.15em .8em .15em 0;border:0;background:none;vertical-align:top"
BAR = "display:inline-block;height:.6em;border-radius:.3em;background:#4a86c5"


def html_text(value: Any) -> Markup:
    """Escape a value for a page; HTML that was made here stays as it is."""
    return value if isinstance(value, Markup) else escape(escape_control_chars(str(value)))


def html_bar(fraction: float, words: str = "") -> Markup:
    """Draw a bar of at most 8 em, with words to its right.

    >>> "width:4.00em" in html_bar(0.5)
    True
    """
    bar = Markup('<span style="{};width:{:.2f}em"></span> {}')
    return bar.format(Markup(BAR), 8 * min(1.0, max(0.0, fraction)), html_text(words))


def html_table(header: Sequence[str], rows: Sequence[Sequence[Any]], more: str = "rows") -> Markup:
    """Make a table of at most `MAX_ROWS_SHOWN` rows.

    Args:
        more: what rows are, to count those that are left out
    """
    head = _html_row([Markup('<span style="{}">{}</span>').format(Markup(FAINT), html_text(name)) for name in header])
    body = Markup("").join(map(_html_row, rows[:MAX_ROWS_SHOWN]))
    table = Markup('<table style="border:0;margin:.3em 0">{}{}</table>').format(head if any(header) else "", body)
    left_out = len(rows) - MAX_ROWS_SHOWN
    return table + (html_faint(f"and {left_out:,} more {more}") if left_out > 0 else Markup(""))


def html_faint(words: str) -> Markup:
    """Write a paragraph in a weaker color."""
    return Markup('<div style="{}">{}</div>').format(Markup(FAINT), html_text(words))


def html_card(title: str, *parts: Markup | str) -> str:
    """Put parts below a title.

    Args:
        parts: HTML, or text
    """
    body = Markup("").join(html_text(part) for part in parts)
    return str(Markup("<div><b>{}</b>{}</div>").format(html_text(title), body))


def html_facts(facts: Iterable[tuple[str, Any]]) -> Markup:
    """Make a table of names and values; a value that is empty is left out."""
    return html_table((), [(_html_name(name), value) for name, value in facts if value not in ("", None)])


def _html_name(name: str) -> Markup:
    return Markup('<span style="{}">{}</span>').format(Markup(FAINT), html_text(name))


def _html_row(cells: Sequence[Any]) -> Markup:
    cell = Markup('<td style="{}">{}</td>')
    return Markup("<tr>{}</tr>").format(Markup("").join(cell.format(Markup(CELL), html_text(item)) for item in cells))
