import numpy as np
import pytest

from tlkit.evaluation.report import Report
from tlkit.utils.text import escape_control_chars, truncate

NASTY = ["\x1b[31mred", "new\nline", "tab\tbed", "\x07bell", "\u202eright to left", "zero\u200bwidth", "\udce9", "\0"]


def make_report(names=("cat", "dog"), labels=(0, 0, 1, 1), predicted=(0, 0, 1, 0)):
    return Report(tuple(names), np.array(labels, np.int32), np.eye(len(names), dtype=np.float32)[list(predicted)])


def test_report_metrics_agree_with_one_another():
    for seed in range(6):
        random = np.random.default_rng(seed)
        names = tuple(f"class {label}" for label in range(random.integers(2, 12)))
        labels = random.integers(0, len(names), random.integers(1, 200)).astype(np.int32)
        probabilities = random.dirichlet(np.ones(len(names)), len(labels)).astype(np.float32)
        report = Report(names, labels, probabilities)
        assert report.accuracy == pytest.approx(np.mean(probabilities.argmax(axis=1) == labels))
        assert report.accuracy == pytest.approx(report.top_k(1))
        assert report.confusion.trace() == report.num_correct
        assert report.interval[0] <= report.accuracy <= report.interval[1]
        assert sum(report.class_frequency(label) for label in range(len(names))) == pytest.approx(1)
        assert report.as_json()["num_images"] == len(labels)


def test_report_as_json_has_the_names_of_metrics_json():
    figures = make_report().as_json()
    assert list(figures) == ["accuracy", "accuracy_ci95", "macro_f1", "num_images"]
    assert figures["accuracy_ci95"] == pytest.approx([0.3006, 0.9544], abs=1e-4)


def test_report_mistakes_are_the_most_confident_first():
    probabilities = np.array([[0.6, 0.4], [0.1, 0.9], [0.2, 0.8], [0.3, 0.7]], np.float32)
    report = Report(("cat", "dog"), np.array([1, 0, 1, 0], np.int32), probabilities)
    assert report.mistakes == [1, 3, 0]
    assert report.worst_confusions == [("cat", "dog", 2), ("dog", "cat", 1)]
    assert make_report(predicted=(0, 0, 1, 1)).mistakes == []


def test_escape_control_chars_leaves_nothing_that_steers_a_terminal():
    assert all(escape_control_chars(text).isprintable() for text in NASTY)


def test_escape_control_chars_keeps_other_names_as_they_are():
    for text in ("", "Grüße", "花", "a b", "=cmd()", "C:\\x", "🙂"):
        assert escape_control_chars(text) == text


def test_escape_control_chars_keeps_different_names_different():
    assert len({escape_control_chars(text) for text in NASTY}) == len(NASTY)


def test_truncate_gives_at_most_the_width_asked_for():
    for width in (1, 2, 5, 30):
        for text in ("", "abcde", "x" * 300, "\x1b[31m" * 9, "花" * 40):
            assert len(truncate(text, width)) <= width


def test_truncate_keeps_a_name_that_fits():
    assert truncate("abcde", 5) == "abcde"
    assert truncate("abcdef", 5) == "abcd…"
