"""Text for people."""

import math

import pytest

from tlkit.errors import OptionError
from tlkit.utils.text import BLOCKS, escape_control_chars, format_duration, parse_duration, sparkline, truncate


def test_parse_duration_takes_seconds_minutes_and_hours():
    for text, seconds in {"": 0, "40": 40, "90s": 90, "5m": 300, "1h": 3600, "1.5h": 5400, " 2m ": 120}.items():
        assert parse_duration(text) == seconds, text


def test_parse_duration_of_anything_else_names_the_option_and_the_text():
    for text in ("soon", "-1", "5 m", "1d", "m", "0", "0.0h", "1,5h", "1e3", "٣"):
        with pytest.raises(OptionError) as caught:
            parse_duration(text)
        assert "--time-limit" in str(caught.value)
        assert f"'{text}'" in str(caught.value)


def test_format_duration_has_at_most_two_units_and_is_never_zero():
    times = {0: "1 s", 0.2: "1 s", 8.4: "8 s", 59.4: "59 s", 59.6: "1 min 0 s", 95: "1 min 35 s", 3725: "1 h 2 min"}
    assert {seconds: format_duration(seconds) for seconds in times} == times


def test_sparkline_runs_from_the_lowest_block_to_the_highest():
    assert sparkline(range(8)) == BLOCKS
    assert sparkline([2, 2, 2]) == BLOCKS[0] * 3
    assert sparkline([3, 2, 1, 1, 2]) == "█▅▁▁▅"


def test_sparkline_leaves_out_what_is_no_number():
    assert sparkline([]) == sparkline([math.nan]) == ""
    assert sparkline([0, math.nan, 1]) == BLOCKS[0] + BLOCKS[-1]


def test_escape_control_chars_leaves_what_prints():
    for text, shown in {
        "a\x1b[31m": "a\\x1b[31m",
        "a\nb": "a\\nb",
        "\u202egnp": "\\u202egnp",
        "caf\udce9": "caf\\udce9",
        "花 é": "花 é",
    }.items():
        assert escape_control_chars(text) == shown
        assert escape_control_chars(text).isprintable()


def test_truncate_keeps_within_the_width():
    assert truncate("cardboard", 9) == "cardboard"
    assert truncate("cardboard", 6) == "cardb…"
    assert truncate("a\x1bbcdef", 4) == "a\\x…"
