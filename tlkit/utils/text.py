"""Text for people: durations, escaped names, curves in a line."""

import math
import re
from collections.abc import Sequence

from tlkit.errors import OptionError


def parse_duration(time_limit: str) -> float:
    """A length of time in seconds; 0 for none.

    raises: OptionError

    >>> seconds_of("5m"), seconds_of("1.5h"), seconds_of("40"), seconds_of("")
    (300.0, 5400.0, 40.0, 0.0)
    """
    if not time_limit:
        return 0.0
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smh]?)", time_limit.strip())
    if not found or not float(found[1]):
        raise OptionError(f"--time-limit is '{time_limit}'; expected a length of time such as 5m, 90s or 1h.")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


def format_duration(seconds: float) -> str:
    """A length of time as people say it.

    >>> spoken(0.2), spoken(8.4), spoken(95), spoken(3725)
    ('1 s', '8 s', '1 min 35 s', '1 h 2 min')
    """
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float]) -> str:
    """A curve in one line of blocks, from its least to its greatest value; nothing where a value is no number.

    >>> sparkline([3, 2, 1, 1, 2])
    '█▅▁▁▅'
    """
    numbers = [value for value in values if not math.isnan(value)]
    if not numbers:
        return ""
    low, span = min(numbers), max(numbers) - min(numbers)
    places = (round((value - low) / span * (len(BLOCKS) - 1)) if span else 0 for value in numbers)
    return "".join(BLOCKS[place] for place in places)


def escape_control_chars(text: str) -> str:
    """A name as a terminal may show it: control characters and broken encodings escaped.

    >>> print(printable("a" + chr(27) + "[31m"))
    a\\x1b[31m
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode()
        for character in text
    )


def truncate(text: str, width: int) -> str:
    """A printable name of at most `width` characters.

    >>> shortened("cardboard", 6)
    'cardb…'
    """
    text = escape_control_chars(text)
    return text if len(text) <= width else text[: width - 1] + "…"
