"""The files of `tlkit robustness -o`."""

import csv

import numpy as np
from PIL import Image

from tests.robustness.test_results import answers, robustness
from tlkit.robustness.output import robustness_figure, write_robustness


def test_tables_have_a_row_per_corruption_and_severity_and_per_copy(tmp_path):
    corrupted = {(name, severity): answers(40 * severity) for name in ("jpeg", "shift") for severity in (1, 5)}
    measured = robustness(corrupted, {"mirrored": answers(45)})
    write_robustness(measured, "finetune-003", tmp_path / "out")
    with (tmp_path / "out" / "robustness.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["corruption"], row["severity"]) for row in rows] == [
        ("none", "0"),
        *((n, str(s)) for n, s in corrupted),
    ]
    assert [float(row["accuracy"]) for row in rows] == [row.accuracy for row in (measured.clean, *measured.rows)]
    assert all(float(row["accuracy_low"]) < float(row["accuracy"]) < float(row["accuracy_high"]) for row in rows)
    with (tmp_path / "out" / "consistency.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["copy"], row["num_changed"], float(row["changed"])) == ("mirrored", "15", 0.05)
    with Image.open(tmp_path / "out" / "robustness.png") as image:
        assert image.width > 600 and len(np.unique(np.asarray(image.convert("L")))) > 50


def test_the_heat_map_has_the_weakest_corruption_first_and_no_panel_for_what_a_run_cannot_answer(tmp_path):
    corrupted = {("shift", 1): answers(40), ("jpeg", 1): answers(200)}
    figure = robustness_figure(robustness(corrupted), "a run with a long name " * 5)
    accuracy, _, unknown = figure.axes
    assert [label.get_text() for label in accuracy.get_yticklabels()] == ["jpeg", "shift"]
    assert [text.get_text() for text in accuracy.texts] == ["90", "33", "90", "87"]
    assert unknown.get_title(loc="left") == "answered unknown, in %"
