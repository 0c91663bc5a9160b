"""Lengths of time, as people write and say them."""

import re

from tlkit.errors import OptionError


def seconds_of(time_limit: str) -> float:
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


def spoken(seconds: float) -> str:
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
