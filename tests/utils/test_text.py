"""Text for people."""

import math

import pytest
from rich.cells import cell_len

from tlkit.errors import OptionError
from tlkit.utils.text import (
    BLOCKS,
    distinct_names,
    escape_control_chars,
    format_duration,
    lookalike_names,
    parse_duration,
    shorten_middle,
    sparkline,
    truncate,
    whole_percent,
)


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


EMOJI = ("🐈\u200d⬛", "👨\u200d👩\u200d👧\u200d👦", "👍🏽", "🇩🇪", "❤️", "e\u0301")


def test_escape_control_chars_keeps_joiners_inside_emoji_and_words_and_nowhere_else():
    for text in (*EMOJI, "می\u200cخواهم", "क\u094d\u200dष"):
        assert escape_control_chars(text) == text
    for text, shown in {
        "a\u200db": "a\\u200db",
        "\u200d🐈": "\\u200d🐈",
        "🐈\u200d": "🐈\\u200d",
        "🐈\u200d\x1b": "🐈\\u200d\\x1b",
    }.items():
        assert escape_control_chars(text) == shown


def test_texts_are_cut_between_what_people_take_for_one_character():
    for emoji in EMOJI:
        text = emoji * 9
        for width in range(1, cell_len(text)):
            for short in (truncate(text, width), shorten_middle(text, width)):
                assert cell_len(short) <= width
                assert short.replace(emoji, "") == "…", (emoji, width)


def test_distinct_names_are_distinct_to_the_eye():
    names = [
        "Dog",
        "dog",
        "dog ",
        " dog",
        "",
        "caf\u00e9",
        "cafe\u0301",
        "x\u200b",
        "x",
        "❤",
        "❤\ufe0f",
        "a\u00a0b",
        "a b",
    ]
    shown = distinct_names(names)
    assert len(set(shown)) == len(names)
    assert shown[:6] == ["Dog", "dog", "'dog '", "' dog'", "''", "caf\\xe9"]
    assert all(name == name.strip() and name.isprintable() for name in shown)
    assert distinct_names(["犬", "🐈\u200d⬛", "Übung", "girls'"]) == ["犬", "🐈\u200d⬛", "Übung", "girls'"]


def test_lookalike_names_differ_in_case_blanks_or_what_cannot_be_seen():
    assert lookalike_names(["Dog", "dog", "dog ", "cat", "Ca t"]) == [["Dog", "dog", "dog "]]
    assert lookalike_names(["x\u200b", "x", "caf\u00e9", "Cafe\u0301"]) == [
        ["x\\u200b", "x"],
        ["caf\u00e9", "Cafe\u0301"],
    ]
    assert lookalike_names(["Übung", "Ubung", "1", "01", "cat", "cats"]) == []


def test_percentages_are_exact_where_they_say_all_or_nothing():
    assert [whole_percent(value) for value in (0.0, 0.001, 0.9999, 1.0)] == ["0 %", "1 %", "99 %", "100 %"]
