"""Which images are attacked: of a folder, of a table, of the run, or single ones."""

import csv

import pytest
from PIL import Image

from tlkit import evaluate
from tlkit.errors import DataError
from tlkit.robustness.attack import attack

QUICK = {"method": "square", "steps": 1, "epsilon": "1"}


def copy_changed(file, copy):
    """Copy an image with another pixel, so that it is new to the run."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    image = Image.open(file).convert("RGB")
    image.putpixel((0, 0), (1, 2, 3))
    image.save(copy)


def test_a_table_says_the_classes_as_a_folder_does(classic_run, colors, tmp_path):
    table = tmp_path / "labels.csv"
    with table.open("w", newline="") as file:
        rows = [(path.relative_to(colors), path.parent.name) for path in sorted(colors.glob("*/*.png"))]
        csv.writer(file).writerows([("path", "label"), *rows])
    listed = attack(classic_run, table, images=str(colors), **QUICK)
    of_folder = attack(classic_run, colors, **QUICK)
    assert listed.is_labeled and listed.counted == "validation"
    assert [image.path for image in listed.images] == [image.path for image in of_folder.images]
    assert listed.clean.accuracy == evaluate(classic_run).report.accuracy


def test_what_is_left_out_is_said(classic_run, colors, tmp_path):
    data = tmp_path / "data"
    for name in ("red", "blue"):
        copy_changed(colors / name / "0.png", data / name / "same.png")
    (data / "red" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    result = attack(classic_run, data, target="red", **QUICK)
    reasons = {entry.path: entry.reason for entry in result.skipped}
    assert "broken PNG" in reasons["red/broken.png"]
    assert [image.path for image in result.images] == ["blue/same.png"]
    assert reasons["red/same.png"] == "it is of the class 'red' already" and len(reasons) == 2
    with pytest.raises(DataError, match="every image is taken for 'red' already"):
        attack(classic_run, data / "red" / "same.png", target="red", **QUICK)


def test_an_answer_that_is_wrong_already_has_no_first_change(classic_run, colors, tmp_path):
    copy_changed(colors / "blue" / "0.png", tmp_path / "data" / "red" / "blue.png")
    result = attack(classic_run, tmp_path / "data", **QUICK)
    assert result.was_wrong and result.first_change is None and result.clean.accuracy == 0
    assert not attack(classic_run, tmp_path / "data" / "red" / "blue.png", **QUICK).was_wrong
