"""Small classes, look-alike names, groups."""

from tests.quality.making import looked_at, photo, photos, save
from tlkit.data.reader import DataOptions, read_data
from tlkit.quality.base import CheckedData
from tlkit.quality.classes import ClassNames, Groups, Imbalance


def test_small_classes_and_imbalance(tmp_path):
    issues = Imbalance().find(looked_at(photos(tmp_path, {"big": 40, "few": 3, "some": 19})))
    assert [issue.message for issue in issues] == [
        "'few' has 3 images.",
        "'some' has 19 images.",
        "'big' has 40 images, 'few' 3.",
    ]
    assert [issue.severity for issue in issues] == ["warning", "warning", "info"]


def test_names_that_look_alike(tmp_path):
    [issue] = ClassNames().find(looked_at(photos(tmp_path, {"Cat": 2, "cat": 2, "dog": 2})))
    assert issue.message == "the class names 'Cat' and 'cat' look alike."


def test_groups_asked_for_are_counted_and_names_give_hints(tmp_path):
    for patient in range(12):
        for index in range(3):
            save(photo(10 * patient + index), tmp_path / "ab"[patient % 2] / f"p{patient:03}_{index:02}.png")
    data = looked_at(tmp_path)
    [hint] = Groups().find(data)
    assert (hint.severity, "--group-regex" in hint.message) == ("warning", True)
    related = read_data(tmp_path, DataOptions(group_regex=r"(p\d+)_")).related
    object.__setattr__(data.folder, "related", related)
    [found] = Groups().find(CheckedData(data.folder, data.near))
    assert (found.severity, found.message) == ("info", "12 groups of images belong together.")
