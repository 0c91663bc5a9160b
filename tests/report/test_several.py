"""The page of several runs: only runs on the same images are tested against each other."""

import numpy as np
import pytest

from tests.report.making import Page, rewrite_rows, with_predictions
from tests.shared_runs import copy_run
from tlkit.errors import OptionError
from tlkit.evaluation.metrics import mcnemar
from tlkit.report.content import read_content
from tlkit.report.several import compare_contents, write_page_of_runs
from tlkit.runs.run import Run


def answers(run, folder, wrong):
    """A copy of a run that misclassifies these of its validation images, and is sure of the others."""
    folder.mkdir()
    copied = copy_run(run, folder)
    moved = Run(copied.path.rename(folder / folder.name))
    names, rows = run.manifest.class_names, []
    for number, row in enumerate(run.read_rows("predictions_val.csv")):
        label = (names.index(row["class"]) + (number in wrong)) % len(names)
        rows.append((row["path"], row["class"], [0.8 if index == label else 0.1 for index in range(len(names))]))
    return with_predictions(moved, rows)


@pytest.fixture
def three(finetuned_run, tmp_path):
    """Runs on the same images with 0, 1 and 3 mistakes."""
    mistakes = {"good": (), "fair": (0,), "poor": (0, 1, 2)}
    return [answers(finetuned_run, tmp_path / name, wrong) for name, wrong in mistakes.items()]


def written(runs, tmp_path, **options):
    write_page_of_runs(runs, tmp_path / "page.html", **options)
    return Page((tmp_path / "page.html").read_text(encoding="utf-8"))


def test_runs_on_the_same_images_are_compared_with_the_best(three):
    good, fair, poor = compare_contents([read_content(run) for run in reversed(three)])
    assert [run.name for run in (good, fair, poor)] == ["good", "fair", "poor"]
    assert good.is_best
    assert good.to_best is None
    assert fair.to_best.difference == pytest.approx(-1 / len(good.order))
    assert poor.to_best == mcnemar(poor.correct, good.correct)
    assert poor.correct.sum() == len(good.order) - 3


def test_the_order_of_images_in_a_table_does_not_matter(three):
    table = three[2].read_rows("predictions_val.csv")
    rewrite_rows(three[2], "predictions_val.csv", list(table[0]), [list(row.values()) for row in reversed(table)])
    good, fair, poor = compare_contents([read_content(run) for run in three])
    assert np.flatnonzero(~fair.correct)[0] in np.flatnonzero(~poor.correct)


def test_runs_on_other_images_are_not_tested(three, tmp_path):
    rows = three[1].read_rows("predictions_val.csv")[:-1]
    rewrite_rows(three[1], "predictions_val.csv", list(rows[0]), [list(row.values()) for row in rows])
    compared = {run.name: run for run in compare_contents([read_content(run) for run in three])}
    assert compared["fair"].to_best is None
    assert not compared["fair"].is_best
    assert compared["poor"].to_best is not None
    found = written(three, tmp_path)
    assert "other images" in found.text
    assert "2 runs and not by others" in found.text


def test_the_page_shows_what_some_get_right_and_others_wrong(three, tmp_path):
    found = written(three, tmp_path)
    assert "good is best with" in found.text
    assert "3 of 6 images are classified correctly by some of the 3 runs" in found.text.replace("7 images", "6 images")
    assert len(found.data["images"]) == 3
    first = found.data["images"][0][0]
    assert first == three[0].read_rows("predictions_val.csv")[0]["path"]  # two of three get it wrong
    assert all(image[4].startswith("data:image/jpeg") for image in found.data["images"])
    assert "Wrong in every run" not in found.text
    assert "Content-Security-Policy" in found.html


def test_images_that_no_run_gets_right_are_apart(three, tmp_path):
    found = written(three[1:], tmp_path)
    assert "Wrong in every run" in found.text
    assert [attrs["id"] for tag, attrs in found.tags if tag == "section"] == ["accuracies", "disputed", "hard"]


def test_options_that_differ_are_listed(finetuned_run, scratch_run, tmp_path):
    found = written([finetuned_run, scratch_run], tmp_path)
    table = found.html.split('aria-label="Options"')[1].split("</table>")[0]
    assert "learning_rate" in table
    assert "finetune" in table
    assert "seed" not in table


def test_runs_of_one_name_are_named_by_their_paths(three, tmp_path):
    (tmp_path / "other").mkdir()
    twin = Run(copy_run(three[0], tmp_path / "other").path.rename(tmp_path / "other" / "good"))
    names = {run.name for run in compare_contents([read_content(run) for run in (*three, twin)])}
    assert names == {str(three[0].path), str(twin.path), "fair", "poor"}


def test_an_existing_file_is_refused(three, tmp_path):
    (tmp_path / "page.html").write_text("mine")
    with pytest.raises(OptionError, match="already exists"):
        write_page_of_runs(three, tmp_path / "page.html")
