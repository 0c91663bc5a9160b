"""What a training prints, and the choice of a format."""

import json
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from tlkit.cli.output import ENDINGS, choose_format, print_training
from tlkit.cli.reporting import report_options
from tlkit.data.listing import FileEntry
from tlkit.errors import OptionError
from tlkit.evaluation.report import Report
from tlkit.runs.run import Run
from tlkit.training.recipe import CrossValidation


def test_choose_format_takes_what_was_asked_then_the_ending_then_a_table_for_people():
    for asked, output, is_terminal, expected in (
        ("json", Path("x.csv"), True, "json"),
        ("auto", None, True, "table"),
        ("auto", None, False, "csv"),
        ("auto", Path("x.JSONL"), True, "jsonl"),
        ("auto", Path("x.txt"), False, "table"),
    ):
        assert choose_format(asked, output, is_terminal) == expected, (asked, output)


def test_choose_format_of_an_ending_that_says_nothing_is_refused():
    for name in ("x", "x.xyz", ".csv"):
        with pytest.raises(OptionError) as caught:
            choose_format("auto", Path(name), False)
        assert all(word in str(caught.value) for word in (f"'{name}'", "--format", *ENDINGS))


def screen(result, *options):
    """The lines that a training prints."""

    @click.command()
    @report_options
    def shown():
        print_training(result)

    done = CliRunner().invoke(shown, [*options])
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def made_up(result, **changes):
    """A result with a run of a short name and figures that are always the same."""
    names, labels = ("ant", "bee", "cow"), np.array([0, 0, 1, 1, 2, 2, 2], np.int32)
    probabilities = np.full((7, 3), 0.1, np.float32)
    probabilities[np.arange(7), [0, 1, 1, 1, 2, 2, 1]] = 0.8
    report = Report(names, labels, probabilities)
    folder = replace(
        result.split.validation, paths=tuple(f"{'abc'[label]}/{number}.jpg" for number, label in enumerate(labels))
    )
    metrics = replace(
        result.metrics,
        accuracy=report.accuracy,
        accuracy_ci95=report.interval,
        baseline_accuracy=report.baseline[1],
        baseline_class=report.baseline[0],
        **{"notes": [], "diagnosis": [], "advice": None, **changes.pop("metrics", {})},
    )
    split = replace(result.split, validation=folder)
    return replace(result, run=Run(Path("runs/demo")), report=report, metrics=metrics, split=split, **changes)


SNAPSHOT = """
  accuracy   71.4 %  5 of 7 validation images correct
  interval   35.9 to 91.8 % (95 %)
  baseline   42.9 %  always answering 'cow'
  Not significantly better than the baseline.
  Slightly optimistic: the best epoch was selected on these images.
  confidence    –    not calibrated: 6 held-out images; expected 200 or more
  answered      –    no threshold for unknown: 6 validation images; expected 19
            or more

class  recall  correct  precision
ant      50 %   1 of 2      100 %
bee     100 %   2 of 2       50 %
cow      67 %   2 of 3      100 %

2 wrong, the most confident first
image    class  predicted  confidence
a/1.jpg  ant    bee              80 %
c/6.jpg  cow    bee              80 %

check       two classes are alike.
left out    notes.docx, a.mov: is not an image

run         runs/demo  accuracy 71.4 % (35.9 to 91.8 %)
next        tlkit predict runs/demo FOLDER
"""


def test_training_screen_is_the_verdict_then_what_to_check_then_what_to_type(finetuned, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    skipped = (FileEntry("notes.docx", "is not an image"), FileEntry("a.mov", "is not an image"))
    result = made_up(finetuned, metrics={"notes": ["two classes are alike."]}, skipped=skipped)
    assert "\n".join(screen(result)) + "\n" == SNAPSHOT


def test_training_screen_of_other_widths_says_the_same(finetuned, monkeypatch):
    result = made_up(finetuned, metrics={"notes": ["these two classes are alike: ant and bee; check their labels."]})
    words = []
    for width in (40, 60, 120):
        monkeypatch.setenv("COLUMNS", str(width))
        lines = screen(result)
        assert max(map(len, lines)) <= width
        words.append("".join("".join(lines).replace("\\", "").split()))
    assert words[0] == words[1] == words[2]


def test_training_screen_has_clean_figures_first(finetuned):
    report = made_up(finetuned).report
    folds = CrossValidation(report, tuple(f"{number}.jpg" for number in range(7)), np.array([1, 1, 1, 1, 2, 2, 2]))
    metrics = {"folds": folds.as_json(), "headline": "folds"}
    lines = screen(made_up(finetuned, test=finetuned.report, folds=folds, metrics=metrics))
    accuracies = [line for line in lines if line.startswith("  accuracy")]
    assert "5 of 7 images correct, each held out once" in accuracies[0]
    assert ["test images" in accuracies[1], "validation images" in accuracies[2]] == [True] * 2
    assert "  folds      75.0, 66.7 %" in lines
    assert "71.4 %" in lines[-2]
    assert any(line.startswith("1.jpg  ant") for line in lines)
    assert sum("optimistic" in line for line in lines) == 1


def test_training_screen_shows_no_name_that_steers_the_terminal(finetuned):
    metrics = {"notes": ["\x1b[31mnote"]}
    lines = screen(replace(made_up(finetuned, metrics=metrics), run=Run(Path("\x1b[31m my run"))))
    assert all(line.isprintable() for line in lines)
    assert lines[-1].endswith("'\\x1b[31m my run' FOLDER")  # quoted, as a shell needs it


def test_training_screen_says_what_only_some_trainings_have(finetuned):
    metrics = {
        "selected_on_validation": False,
        "advice": {"reason": "few images."},
        "diagnosis": [{"words": "too small.", "next": "tlkit finetune 'my photos' --folds 5"}],
        "seeds": {"least": 0.25, "median": 0.5, "greatest": 0.75},
    }
    lines = screen(made_up(finetuned, metrics=metrics))
    for line in (
        "check       too small.",
        "try         tlkit finetune 'my photos' --folds 5",
        "chosen      few images.",
        "seeds       accuracy from 25.0 % to 75.0 % with other seeds, median 50.0 %",
    ):
        assert line in lines
    assert not any("optimistic" in line for line in lines)


def test_quiet_prints_the_verdict_and_the_run_verbose_the_curves_and_json_the_metrics(finetuned):
    result = made_up(finetuned)
    quiet, verbose = screen(result, "--quiet"), screen(result, "--verbose")
    assert set(quiet) < set(SNAPSHOT.splitlines())
    assert not any(line.startswith("class") for line in quiet)
    assert sum(line.startswith("loss") for line in verbose) == 2
    content = json.loads("\n".join(screen(result, "--json")))
    assert content == {"run": "runs/demo"} | json.loads(json.dumps(result.metrics.as_json()))


def test_many_classes_are_the_worst_and_the_best(finetuned):
    names = tuple(f"class {number}" for number in range(40))
    labels = np.repeat(np.arange(40, dtype=np.int32), 2)
    probabilities = np.eye(40, dtype=np.float32)[np.where(np.arange(80) % 2 * (labels < 5), 39, labels)]
    result = made_up(finetuned)
    images = replace(result.split.validation, paths=tuple(f"{number}.jpg" for number in range(80)))
    split = replace(result.split, validation=images)
    lines = screen(replace(result, report=Report(names, labels, probabilities), split=split))
    rows = [line for line in lines if line.startswith("class ")][1:]
    assert len(rows) == 13
    assert sum("1 of 2" in row for row in rows) == 5
    assert any("10 worst and 3 best of 40 classes; all are in per_class.csv" in line for line in lines)
