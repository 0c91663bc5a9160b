"""The whole look: one pass, all checks, worst first; a quick form for trainings."""

import json

import pytest

from tests.quality.making import photo, photos, save
from tlkit.quality.base import Issue
from tlkit.quality.check import CHECKS, check, quick_check, worst_first


@pytest.fixture
def messy(tmp_path):
    data = photos(tmp_path / "messy", {"a": 22, "b": 22})
    save(photo(3), data / "b" / "same.png")
    save(photo(1), data / "a" / "again.jpg", quality=60)
    (data / "a" / "cut.jpg").write_bytes((data / "a" / "again.jpg").read_bytes()[:300])
    return data


def test_check_lists_the_worst_first_and_changes_nothing(messy):
    before = {file: file.read_bytes() for file in messy.rglob("*") if file.is_file()}
    result = check(messy, backbone="none")
    assert [(issue.check, issue.severity) for issue in result.issues] == [
        ("label-conflicts", "error"),
        ("unreadable", "warning"),
        ("near-duplicates", "info"),
    ]
    assert result.counts == {one.name: 0 for one in CHECKS} | {
        "label-conflicts": 1,
        "unreadable": 1,
        "near-duplicates": 1,
    }
    assert "no pretrained weights" in result.notes[-1]
    content = json.loads(json.dumps(result.as_json()))
    assert content["issues"][0]["paths"] == ["a/3.png", "b/same.png"]
    assert set(content["issues"][0]) >= {"check", "severity", "paths", "score", "message"}
    assert content["counts"]["leaks"] == 0
    assert {file: file.read_bytes() for file in messy.rglob("*") if file.is_file()} == before


def test_names_of_checks_are_those_that_programs_know():
    assert {one.name for one in CHECKS} == {
        *("unreadable", "exact-duplicates", "near-duplicates", "label-conflicts", "leaks", "label-errors"),
        *("outliers", "shortcuts", "image-quality", "imbalance", "class-names", "groups"),
    }


def test_worst_first_keeps_the_order_of_a_check():
    issues = [
        Issue(name, severity, (str(index),), 0, "", "")
        for index, (name, severity) in enumerate(
            [
                ("outliers", "info"),
                ("leaks", "error"),
                ("imbalance", "warning"),
                ("shortcuts", "error"),
                ("leaks", "error"),
            ]
        )
    ]
    assert [issue.paths[0] for issue in worst_first(issues)] == ["3", "1", "4", "2", "0"]


def test_quick_check_tells_of_a_shortcut_in_a_line(tmp_path):
    for index in range(15):
        save(photo(index, 96), tmp_path / "a" / f"{index}.png")
        save(photo(100 + index, 70), tmp_path / "b" / f"{index}.jpg")
    folder = check(tmp_path, backbone="none").folder
    notes = quick_check(folder)
    assert notes[0].startswith("the class can be predicted from the file format alone: 100.0 %")
    assert not any("\n" in note for note in notes)
    photos(tmp_path / "fine", {"a": 12, "b": 12})
    assert quick_check(check(tmp_path / "fine", backbone="none").folder) == []


def test_a_folder_without_a_readable_image_has_its_reasons(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.jpg").write_text("no image")
    result = check(tmp_path, backbone="none")
    assert [issue.check for issue in result.issues] == ["imbalance", "imbalance", "unreadable"]
    assert result.issues[-1].paths == ("a/x.jpg", "b/x.jpg")
