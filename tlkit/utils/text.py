"""Text for people: durations, percentages, escaped names, curves in a line."""

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence

from tlkit.errors import OptionError

BLOCKS = "▁▂▃▄▅▆▇█"  # of a sparkline
JOINERS = "\u200c\u200d"  # they have no width; emoji, Persian and Indic words are written with them


def parse_duration(time_limit: str) -> float:
    """Read a length of time, in seconds; 0 for none.

    Raises:
        OptionError

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


def format_rate(per_second: float) -> str:
    """Write how many a second, never 0: whole numbers from 10 on, one digit that counts below 1.

    >>> format_rate(1767.2), format_rate(9.96), format_rate(2.04), format_rate(0.52), format_rate(0.0042)
    ('1,767', '10', '2.0', '0.5', '0.004')
    """
    if per_second >= 9.95:
        return f"{per_second:,.0f}"
    return f"{per_second:.1f}" if per_second >= 0.95 else f"{per_second:.1g}"


def format_size(num_bytes: float) -> str:
    """Write a size on disk or in memory; 0 only where it is exact.

    >>> format_size(23_200_000), format_size(1_234_000_000), format_size(51_200), format_size(12), format_size(0)
    ('23.2 MB', '1,234.0 MB', '51 kB', '1 kB', '0 kB')
    >>> format_size(25_300_000_000)
    '25.3 GB'
    """
    if num_bytes >= 1e10:
        return f"{num_bytes / 1e9:,.1f} GB"
    if num_bytes >= 100_000:
        return f"{num_bytes / 1e6:,.1f} MB"
    return f"{max(round(num_bytes / 1e3), int(num_bytes > 0))} kB"


def whole_percent(fraction: float) -> str:
    """Write a fraction as a whole percentage; 100 % and 0 % only where it is exact.

    >>> [whole_percent(value) for value in (0.946, 0.9999, 1.0)]
    ['95 %', '99 %', '100 %']
    """
    rounded = round(100 * fraction)
    if 0 < fraction < 1:
        rounded = min(99, max(1, rounded))
    return f"{rounded} %"


def sparkline(values: Sequence[float]) -> str:
    """Draw a curve in one line of blocks, from its smallest to its largest value; NaN is left out.

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

    Joiners are kept inside an emoji or a word of a script other than Latin.

    >>> print(escape_control_chars("a" + chr(27) + "[31m"))
    a\\x1b[31m
    """
    if text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable() or _joins(text, index)
        else character.encode("unicode_escape", "surrogatepass").decode()
        for index, character in enumerate(text)
    )


def _joins(text: str, index: int) -> bool:
    """Tell whether a character joins two printable ones that are not Latin."""
    neighbors = text[max(0, index - 1) : index], text[index + 1 : index + 2]
    return text[index] in JOINERS and all(near > "\u02ff" and near.isprintable() for near in neighbors)


def distinct_names(names: Sequence[str]) -> list[str]:
    """Write names so that no two of them look the same on a screen.

    Control characters are escaped; so is everything but ASCII in names that differ only in what cannot be seen.
    A name that starts or ends with a blank is in quotes.

    >>> distinct_names(["dog", "dog ", "Dog"])
    ['dog', "'dog '", 'Dog']
    """
    return [f"'{name}'" if not name or name[0] in " '" or name[-1] == " " else name for name in _escaped_alike(names)]


def _escaped_alike(names: Sequence[str]) -> list[str]:
    counts = Counter(_visible(name) for name in set(names))
    return [
        escape_control_chars(name) if counts[_visible(name)] == 1 else name.encode("ascii", "backslashreplace").decode()
        for name in names
    ]


def _visible(text: str) -> str:
    """Leave out what cannot be seen: format characters, variation selectors, the way in which accents are spelled."""
    normal = unicodedata.normalize("NFKC", text)
    return "".join(char for char in normal if unicodedata.category(char) != "Cf" and not "\ufe00" <= char <= "\ufe0f")


def lookalike_names(names: Sequence[str]) -> list[list[str]]:
    """Find names that people may take for one: they differ in case, in blanks, or in what cannot be seen.

    Returns:
        Groups of two or more, written so that no two look the same

    >>> lookalike_names(["cat", "Dog", "dog", "dog "])
    [['Dog', 'dog', 'dog ']]
    """
    groups = defaultdict[str, list[str]](list)
    for name, shown in zip(names, _escaped_alike(names), strict=True):
        groups[" ".join(_visible(name).casefold().split())].append(shown)
    return [group for group in groups.values() if len(group) > 1]


def truncate(text: str, width: int) -> str:
    """Shorten a text to at most `width` columns of a terminal, with control characters escaped.

    >>> truncate("cardboard", 6)
    'cardb…'
    """
    from rich.cells import cell_len

    text = escape_control_chars(text)
    return text if cell_len(text) <= width else _cut(text, width - 1) + "…"


def quote_names(names: Sequence[str], shown: int = 3) -> str:
    """List a few names in quotes, and count the others, if there are two or more of them.

    >>> quote_names(["a", "b", "c"]), quote_names(list("abcde"))
    ("'a', 'b' and 'c'", "'a', 'b', 'c' and 2 more")
    """
    quoted = [f"'{name}'" for name in names]
    if len(quoted) > shown + 1:
        quoted = [*quoted[:shown], f"{len(quoted) - shown} more"]
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]]) if len(quoted) > 1 else "".join(quoted)


def shorten_middle(text: str, width: int) -> str:
    """Shorten a text to at most `width` columns of a terminal by leaving out its middle.

    The end keeps more than the start, because it distinguishes the files of a folder.

    >>> shorten_middle("campo novembro/IMG_4292.HEIC", 20)
    'campo …IMG_4292.HEIC'
    """
    from rich.cells import cell_len

    if cell_len(text) <= width:
        return text
    end_width = (2 * (width - 1) + 2) // 3
    return _cut(text, width - 1 - end_width) + "…" + _cut(text, end_width, from_end=True)


def _cut(text: str, width: int, from_end: bool = False) -> str:
    """Take what has room in a number of columns; no emoji and no letter with its accents is torn apart."""
    taken = list[str]()
    for part, columns in reversed(_graphemes(text)) if from_end else _graphemes(text):
        width -= columns
        if width < 0:
            break
        taken.append(part)
    return "".join(reversed(taken) if from_end else taken)


def _graphemes(text: str) -> list[tuple[str, int]]:
    """Split a text into what people take for one character, each with its columns."""
    from rich.cells import split_graphemes

    parts = list[tuple[str, int]]()
    for start, end, columns in split_graphemes(text)[0]:
        part = text[start:end]
        if parts and _is_half_flag(part) and _is_half_flag(parts[-1][0]):
            parts[-1] = (parts[-1][0] + part, parts[-1][1] + columns)
        else:
            parts.append((part, columns))
    return parts


def _is_half_flag(part: str) -> bool:
    """Tell whether this is a regional indicator; two of them are a flag."""
    return len(part) == 1 and "\U0001f1e6" <= part <= "\U0001f1ff"


def pad(text: str, width: int) -> str:
    """Fill a text with spaces up to a number of columns of a terminal.

    >>> pad("ant", 5), pad("花", 5)
    ('ant  ', '花   ')
    """
    from rich.cells import cell_len

    return text + " " * (width - cell_len(text))
