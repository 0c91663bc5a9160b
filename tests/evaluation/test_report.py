import numpy as np
import pytest

from tlkit.evaluation.report import Report, class_table, confusion_lines, headline
from tlkit.utils.text import escape_control_chars, truncate

NASTY = ["\x1b[31mred", "new\nline", "tab\tbed", "\x07bell", "\u202eright to left", "zero\u200bwidth", "\udce9", "\0"]


def report(names=("cat", "dog"), labels=(0, 0, 1, 1), predicted=(0, 0, 1, 0)):
    return Report(tuple(names), np.array(labels, np.int32), np.eye(len(names), dtype=np.float32)[list(predicted)])


def test_the_headline_says_how_good_on_how_many_and_how_sure():
    assert headline(report(), "validation") == (
        "accuracy 0.750 on 4 validation images (95 % interval 0.301 to 0.954), macro-F1 0.733"
    )


def test_one_image_is_one_image():
    assert "on 1 new image (" in headline(report(labels=[0], predicted=[0]), "new")


def test_the_table_has_a_line_per_class_under_its_header():
    assert class_table(report()) == [
        "class  precision  recall     F1  images",
        "cat        0.667   1.000  0.800       2",
        "dog        1.000   0.500  0.667       2",
    ]


def test_the_columns_stand_under_each_other_whatever_the_names():
    lines = class_table(report(["a", "b" * 90, "\x1b[31m"], [0, 1, 2], [0, 1, 2]))
    assert len({len(line) for line in lines}) == 1


def test_the_commonest_mistakes_are_told_in_words():
    assert confusion_lines(report()) == ["1 × dog taken for cat"]
    assert confusion_lines(report(predicted=(0, 0, 1, 1))) == []


@pytest.mark.parametrize("text", NASTY)
def test_nothing_that_steers_a_terminal_is_shown(text):
    assert escape_control_chars(text).isprintable()
    assert all(line.isprintable() for line in class_table(report([text, "b"])))
    assert all(line.isprintable() for line in confusion_lines(report([text, "b"])))


@pytest.mark.parametrize("text", ["", "Grüße", "花", "a b", "=cmd()", "C:\\x", "🙂"])
def test_other_names_are_shown_as_they_are(text):
    assert escape_control_chars(text) == text


def test_different_names_are_shown_differently():
    assert len({escape_control_chars(text) for text in NASTY}) == len(NASTY)


@pytest.mark.parametrize("width", [1, 2, 5, 30])
@pytest.mark.parametrize("text", ["", "abcde", "x" * 300, "\x1b[31m" * 9, "花" * 40])
def test_a_shortened_name_is_no_longer_than_asked(text, width):
    assert len(truncate(text, width)) <= width


def test_a_name_that_fits_is_not_shortened():
    assert truncate("abcde", 5) == "abcde"
    assert truncate("abcdef", 5) == "abcd…"
