"""Charts of the summary: what they count, and where they are not drawn."""

import io
import re

import numpy as np
import pytest
from rich.cells import cell_len

from tlkit.cli.charts import MAX_CLASSES, confidence_chart, confusion_chart, curve_chart, print_charts
from tlkit.cli.screen import Screen
from tlkit.evaluation.report import Report


def report(num_classes=3, num_images=60, names=None):
    """Images of known confidence, every tenth of them wrong."""
    labels = np.arange(num_images, dtype=np.int32) % num_classes
    confidence = np.linspace(0.52, 0.99, num_images)
    probabilities = np.repeat(((1 - confidence) / (num_classes - 1))[:, None], num_classes, axis=1)
    predicted = np.where(np.arange(num_images) % 10 == 9, (labels + 1) % num_classes, labels)
    probabilities[np.arange(num_images), predicted] = confidence
    return Report(tuple(names or (f"class {n}" for n in range(num_classes))), labels, probabilities.astype(np.float32))


def epochs(**columns):
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def texts(chart):
    return ["".join(part if isinstance(part, str) else part[0] for part in line) for line in chart]


HISTORY = epochs(loss=(3.0, 2.0, 1.0), val_loss=(4.0, 2.0, 3.0), accuracy=(0.2, 0.6, 1.0), val_accuracy=(0.1, 0.5, 0.4))


def on_terminal(monkeypatch, width, **environment):
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in {"COLUMNS": str(width), "FORCE_COLOR": "1", "TERM": "xterm-256color", **environment}.items():
        monkeypatch.setenv(name, value)
    stream = io.StringIO()
    print_charts(Screen(stream), report(), HISTORY)
    return stream.getvalue()


def test_charts_are_drawn_on_wide_terminals_only(monkeypatch):
    drawn = on_terminal(monkeypatch, 100)
    assert "confidence" in drawn
    assert "accuracy" in drawn
    assert on_terminal(monkeypatch, 99) == ""
    assert on_terminal(monkeypatch, 120, TERM="dumb") == ""
    colorless = on_terminal(monkeypatch, 100, NO_COLOR="1")
    assert re.findall(r"\x1b\[[\d;]*38;", drawn)
    assert not re.findall(r"\x1b\[[\d;]*38;", colorless)
    monkeypatch.delenv("FORCE_COLOR")
    stream = io.StringIO()
    print_charts(Screen(stream), report(), HISTORY)
    assert stream.getvalue() == ""


@pytest.mark.parametrize("width", [100, 110, 140])
@pytest.mark.parametrize("names", [("a", "b", "c"), ("花のある木々の写真", "a much too long name of a class", "ant")])
def test_no_line_is_wider_than_the_terminal(width, names, monkeypatch):
    for name, value in {"COLUMNS": str(width), "FORCE_COLOR": "1", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    stream = io.StringIO()
    print_charts(Screen(stream), report(names=names), HISTORY)
    lines = re.sub(r"\x1b\[[\d;]*m", "", stream.getvalue()).splitlines()
    assert max(map(cell_len, lines)) <= width
    assert not any(line != line.rstrip() for line in lines)
    assert len(lines) <= 20


def test_confusion_chart_has_the_counts_of_the_report():
    found = report(names=("ant", "bee", "cow"))
    for is_unicode in (True, False):
        lines = texts(confusion_chart(found, is_unicode))
        for line, row in zip(lines[2:], found.confusion, strict=True):
            numbers = re.findall(r"\d+", line)
            assert [int(number) for number in numbers] == [count for count in row if count]
        assert all(line.isascii() for line in lines) != is_unicode


def test_confusion_chart_is_left_out_where_there_are_many_classes():
    assert confusion_chart(report(MAX_CLASSES), True)
    assert confusion_chart(report(MAX_CLASSES + 1), True) == []


def test_confidence_chart_counts_every_image_once():
    found = report()
    for is_unicode in (True, False):
        lines = texts(confidence_chart(found, is_unicode))[1:]
        counts = [int(line.split()[-1]) for line in lines]
        assert sum(counts) == 60
        assert lines[0].startswith(" 50 to 60 %")  # nothing is below
        wrong = "▒" if is_unicode else "x"
        confidence = found.probabilities.max(axis=1)
        for line, low in zip(lines, (0.5, 0.6, 0.7, 0.8, 0.9), strict=True):
            inside = (confidence >= low) & (confidence < low + 0.1)
            assert (wrong in line) == (found.predicted != found.labels)[inside].any()
            assert int(line.split()[-1]) == inside.sum()


def test_confidence_chart_has_certain_images_in_the_last_bin():
    certain = Report(("a", "b"), np.array([0, 1], np.int32), np.eye(2, dtype=np.float32))
    (line,) = texts(confidence_chart(certain, True))[1:]
    assert line.startswith("90 to 100 %")
    assert line.endswith(" 2")


def test_curve_chart_goes_from_the_lowest_to_the_highest_value():
    for name, high, low in (("accuracy", "100.0 %", "10.0 %"), ("loss", "4.00", "1.00")):
        lines = texts(curve_chart(HISTORY, name, is_unicode=False))
        assert high in lines[1]
        assert low in lines[-2]
        assert lines[-1].endswith("epoch 3")
        assert all(line.isascii() for line in lines)
    *_, bottom, _ = texts(curve_chart(HISTORY, "loss", is_unicode=False))
    assert bottom.endswith(".")  # training ends at the lowest loss
    first = texts(curve_chart(HISTORY, "loss", is_unicode=False))[1]
    assert first.split("4.00 ")[1].startswith("*")  # validation starts at the highest


def test_curve_chart_shows_the_same_points_in_braille():
    lines = texts(curve_chart(HISTORY, "loss", is_unicode=True))[1:-1]
    rows = [line[5:] for line in lines]
    assert all("\u2800" < char <= "\u28ff" or char == " " for row in rows for char in row)
    assert rows[0][0] != " "
    assert rows[-1][-1] != " "


def test_curve_chart_leaves_gaps_where_values_are_missing():
    gap = epochs(loss=(1.0, float("nan"), 2.0), val_loss=(float("nan"),) * 3)
    lines = texts(curve_chart(gap, "loss", is_unicode=True))
    assert "2.00" in lines[1]
    assert curve_chart(epochs(loss=(float("nan"),) * 2, val_loss=(float("nan"),) * 2), "loss", True) == []


def test_charts_without_epochs_are_two(monkeypatch):
    for name, value in {"COLUMNS": "100", "FORCE_COLOR": "1", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    stream = io.StringIO()
    print_charts(Screen(stream), report())
    assert "validation" not in stream.getvalue()
    assert "confidence" in stream.getvalue()
