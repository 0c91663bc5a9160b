"""The training summary, and the choice of a format."""

from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tlkit.cli.output import ENDINGS, choose_format, print_summary
from tlkit.errors import OptionError
from tlkit.runs.run import Run


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


def summary(result):
    """The lines that a training prints."""

    @click.command()
    def shown():
        print_summary(result)

    return CliRunner().invoke(shown, []).stdout.splitlines()


def test_summary_has_a_line_of_the_test_images_on_which_nothing_was_chosen(finetuned):
    lines = summary(replace(finetuned, test=finetuned.report))
    assert lines[0].startswith("accuracy ")
    assert "7 validation images" in lines[0]
    assert lines[2].startswith(f"accuracy {finetuned.report.accuracy:.3f} on 7 test images (")
    assert "nothing was chosen" in lines[2]
    assert not any("--test-split" in line for line in lines)


def test_summary_shows_no_name_that_steers_the_terminal(finetuned):
    metrics = replace(finetuned.metrics, baseline_class="\x1b[31mred", notes=["\x1b[31mnote"])
    lines = summary(replace(finetuned, run=Run(Path("\x1b[31m my run")), metrics=metrics))
    assert all(line.isprintable() for line in lines)
    assert lines[-1].endswith("IMAGE...")
    assert "'\\x1b[31m my run'" in lines[-1]  # quoted, as a shell needs it


def test_summary_says_what_only_some_trainings_have(finetuned):
    metrics = replace(
        finetuned.metrics,
        selected_on_validation=False,
        left_out={"is empty": 3},
        advice={"reason": "few images."},
        diagnosis=[{"words": "too small.", "next": "more epochs."}],
        notes=["two classes are alike."],
        folds={"accuracy": 0.75, "num_images": 36, "accuracy_ci95": [0.6, 0.9], "accuracies": [0.7, 0.8]},
        seeds={"least": 0.25, "median": 0.5, "greatest": 0.75},
    )
    text = "\n".join(summary(replace(finetuned, metrics=metrics)))
    for words in (
        *("left out: 3 × is empty", "advice: few images.", "diagnosis: too small.", "try: more epochs."),
        *("note: two classes are alike.", "0.750 on 36 images", "0.600 to 0.900", "folds 0.700 0.800"),
        "0.250 ← 0.500 → 0.750",
    ):
        assert words in text
    assert "--test-split" not in text


def test_summary_draws_a_curve_of_each_loss_that_has_epochs(finetuned):
    lines = summary(finetuned)
    assert [line.split()[0] for line in lines if " loss " in line] == ["training", "validation"]
    assert not any(" loss " in line for line in summary(replace(finetuned, history=())))
