import numpy as np
import pytest

from tests.data.test_split import classes_of, folder_of
from tlkit.data.split import split_folder
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
        name, accuracy = report.baseline
        assert accuracy == np.mean(labels == names.index(name)) == report.confusion.sum(axis=1).max() / len(labels)
        assert report.as_json()["num_images"] == len(labels)


def test_report_as_json_has_the_names_of_metrics_json():
    figures = make_report().as_json()
    baseline = ["baseline_accuracy", "baseline_class", "beats_baseline"]
    assert list(figures) == ["accuracy", "accuracy_ci95", *baseline, "macro_f1", "num_images"]
    assert [figures[name] for name in baseline] == [0.5, "cat", False]
    assert figures["accuracy_ci95"] == pytest.approx([0.3006, 0.9544], abs=1e-4)


def test_report_baseline_is_the_commonest_class_of_these_images():
    report = make_report(("ant", "bee", "cow"), labels=(1, 2, 2, 0, 2), predicted=(0, 0, 0, 0, 0))
    assert report.baseline == ("cow", 0.6)


def test_report_baseline_of_200_splits_of_balanced_folders_is_never_below_chance():
    one_hot = np.eye(12, dtype=np.float32)
    for seed in range(200):
        num_classes, size = 2 + seed % 11, 5 + seed % 37
        folder = folder_of(classes_of(*[size] * num_classes))
        folder = folder.subset(np.random.default_rng(seed).permutation(len(folder))[: size * num_classes - seed % 3])
        validation = split_folder(folder, seed=seed).validation
        report = Report(validation.class_names, validation.labels, one_hot[validation.labels][:, :num_classes])
        assert report.baseline[1] >= 1 / num_classes


def test_report_beats_its_baseline_where_the_whole_interval_lies_above():
    for correct, is_better in ((50, False), (59, False), (60, True), (100, True)):
        labels = np.arange(100) % 2
        report = make_report(labels=labels, predicted=np.where(np.arange(100) < correct, labels, 1 - labels))
        assert report.num_correct == correct
        assert report.beats_baseline is is_better, correct
    assert not make_report(labels=(0, 0, 1), predicted=(0, 0, 1)).beats_baseline  # 3 of 3 may be luck


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
