"""Text for people: durations, escaped names, curves in a line."""

import math
import re
from collections.abc import Sequence

from tlkit.errors import OptionError

BLOCKS = "▁▂▃▄▅▆▇█"  # of a sparkline


def parse_duration(time_limit: str) -> float:
    """Read a length of time, in seconds; 0 for none.

    raises: OptionError

    >>> parse_duration("5m"), parse_duration("1.5h"), parse_duration("40"), parse_duration("")
    (300.0, 5400.0, 40.0, 0.0)
    """
    if not time_limit:
        return 0.0
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smh]?)", time_limit.strip())
    if not match or not float(match[1]):
        raise OptionError(f"--time-limit is '{time_limit}'; expected a duration, e.g. 5m, 90s or 1h.")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def format_duration(seconds: float) -> str:
    """Write a length of time as people say it.

    >>> format_duration(0.2), format_duration(8.4), format_duration(95), format_duration(3725)
    ('1 s', '8 s', '1 min 35 s', '1 h 2 min')
    """
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def sparkline(values: Sequence[float]) -> str:
    """Draw a curve in one line of blocks, from its smallest to its largest value, without what is no number.

    >>> sparkline([3, 2, 1, 1, 2])
    '█▅▁▁▅'
    """
    numbers = [value for value in values if not math.isnan(value)]
    if not numbers:
        return ""
    low, span = min(numbers), max(numbers) - min(numbers)
    heights = (round((number - low) / span * (len(BLOCKS) - 1)) if span else 0 for number in numbers)
    return "".join(BLOCKS[height] for height in heights)


def escape_control_chars(text: str) -> str:
    """Escape control characters and broken encodings, so that a terminal may show the text.

    >>> print(escape_control_chars("a" + chr(27) + "[31m"))
    a\\x1b[31m
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode()
        for character in text
    )


def truncate(text: str, width: int) -> str:
    """Shorten a text to at most `width` printable characters.

    >>> truncate("cardboard", 6)
    'cardb…'
    """
    text = escape_control_chars(text)
    return text if len(text) <= width else text[: width - 1] + "…"


def quote_names(names: Sequence[str]) -> str:
    """List a few names in quotes, and count the others.

    >>> quote_names(["a", "b", "c"]), quote_names(list("abcde"))
    ("'a', 'b' and 'c'", "'a', 'b', 'c' and 2 more")
    """
    quoted = [f"'{name}'" for name in names]
    if len(quoted) > 4:
        quoted = [*quoted[:3], f"{len(quoted) - 3} more"]
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]]) if len(quoted) > 1 else "".join(quoted)


def shorten_middle(text: str, width: int) -> str:
    """Shorten a text to at most `width` columns of a terminal by leaving out its middle.

    The end keeps more than the start: of a path it tells files apart.

    >>> shorten_middle("campo novembro/IMG_4292.HEIC", 20)
    'campo …IMG_4292.HEIC'
    """
    from rich.cells import cell_len

    if cell_len(text) <= width:
        return text
    end_width = (2 * (width - 1) + 2) // 3
    return _first_columns(text, width - 1 - end_width) + "…" + _first_columns(text[::-1], end_width)[::-1]


def _first_columns(text: str, width: int) -> str:
    from rich.cells import cell_len

    count = 0
    while count < len(text) and cell_len(text[: count + 1]) <= width:
        count += 1
    return text[:count]


def pad(text: str, width: int) -> str:
    """Fill a text with spaces up to a number of columns of a terminal.

    >>> pad("ant", 5), pad("花", 5)
    ('ant  ', '花   ')
    """
    from rich.cells import cell_len

    return text + " " * (width - cell_len(text))


def wrap(text: str, width: int) -> list[str]:
    """Break a text between words into lines of at most `width` columns of a terminal; longer words are broken, too.

    >>> wrap("one two three", 8)
    ['one two', 'three']
    """
    from rich.cells import cell_len, chop_cells

    lines = [""]
    for word in text.split(" "):
        line = f"{lines[-1]} {word}" if lines[-1] else word
        if cell_len(line) <= width:
            lines[-1] = line
        else:
            lines += chop_cells(word, width) or [""]
    return [line for line in lines if line]
