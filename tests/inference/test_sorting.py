"""Folders by predicted class: links, copies, names, and that the images stay where they are."""

from pathlib import Path

import pytest

from tests.cli.commands import refused, tlkit
from tests.making import encoded, noise
from tlkit.inference.predictor import Prediction
from tlkit.inference.sorting import SortedFolders, folder_names, with_min_confidence

NAMES = ("bee", "ant")


@pytest.fixture
def photos(tmp_path):
    """Two images of one name in two folders, and a file that is no image."""
    for number, folder in enumerate(("monday", "tuesday")):
        (tmp_path / "new" / folder).mkdir(parents=True)
        (tmp_path / "new" / folder / "1.png").write_bytes(encoded(noise(40, 40, seed=number)))
    (tmp_path / "new" / "notes.txt").write_text("no image")
    return tmp_path / "new"


def content(root):
    """Every file below a folder with its bytes and times, links as such."""
    return {
        path.relative_to(root).as_posix(): (path.is_symlink(), path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_add_gives_each_image_a_link_in_the_folder_of_its_answer(photos, tmp_path):
    (tmp_path / "sorted").mkdir()
    folders = SortedFolders(tmp_path / "sorted", NAMES)
    for path, status, label in (
        (photos / "monday" / "1.png", "ok", "bee"),
        (photos / "tuesday" / "1.png", "ok", "bee"),
        (photos / "tuesday" / "1.png", "unknown", "ant"),
        (photos / "notes.txt", "error", None),
        (photos / "missing.png", "error", None),
    ):
        folders.add(Prediction(str(path), status, label))
    found = {path.relative_to(tmp_path / "sorted").as_posix() for path in (tmp_path / "sorted").rglob("*.*")}
    assert found == {"bee/1.png", "bee/1-2.png", "unknown/1.png", "unreadable/notes.txt"}
    assert (tmp_path / "sorted" / "bee" / "1-2.png").resolve() == photos / "tuesday" / "1.png"
    assert folders.counts == {"bee": 2, "unknown": 1, "unreadable": 1}


def test_add_copies_where_that_is_asked_for(photos, tmp_path):
    (tmp_path / "sorted").mkdir()
    source = photos / "monday" / "1.png"
    SortedFolders(tmp_path / "sorted", NAMES, copy=True).add(Prediction(str(source), "ok", "ant"))
    copy = tmp_path / "sorted" / "ant" / "1.png"
    assert not copy.is_symlink()
    assert (copy.read_bytes(), copy.stat().st_mtime_ns) == (source.read_bytes(), source.stat().st_mtime_ns)


def test_add_finds_a_free_name_for_the_longest_names(tmp_path):
    for folder in ("a", "b", "sorted"):
        (tmp_path / folder).mkdir()
    name = "é" * 125 + ".png"  # 254 bytes
    folders = SortedFolders(tmp_path / "sorted", NAMES)
    for folder in ("a", "b"):
        (tmp_path / folder / name).write_bytes(b"")
        folders.add(Prediction(str(tmp_path / folder / name), "ok", "bee"))
    assert folders.counts == {"bee": 2}
    assert len(list((tmp_path / "sorted" / "bee").iterdir())) == 2


def test_folder_names_are_inside_the_folder_and_different():
    names = folder_names(["ant", "Ant", "a/b", "a\\b", "..", ".hidden", "", "unknown", "Unreadable", "x\x00y"])
    found = list(names.values())
    assert len({name.casefold() for name in found}) == len(found)
    for name in found:
        assert Path(name).name == name
        assert not name.startswith(".")
    assert names["ant"] == "ant"


def test_with_min_confidence_makes_only_unsure_answers_unknown():
    rows = [Prediction("a", "ok", "bee", 0.9), Prediction("b", "ok", "bee", 0.4), Prediction("c", "error", error="x")]
    found = list(with_min_confidence(rows, 0.5))
    assert [(row.status, row.reason) for row in found] == [("ok", ""), ("unknown", "not sure"), ("error", "")]
    assert found[1].label == "bee"
    assert list(with_min_confidence(rows, 0.0)) == rows


def test_predict_sort_into_leaves_the_images_as_they_are(finetuned_run, photos, tmp_path):
    before = content(photos)
    done = tlkit("predict", finetuned_run.path, photos, "--sort-into", tmp_path / "sorted", "--skip-unreadable")
    assert f"sorted      {tmp_path / 'sorted'}" in done.stderr
    assert content(photos) == before
    found = content(tmp_path / "sorted")
    assert len(found) == 3
    assert all(is_link for is_link, _, _ in found.values())
    assert {path.split("/")[0] for path in found} <= {"blue", "green", "red", "unreadable"}


def test_predict_min_confidence_sorts_into_unknown(finetuned_run, photos, tmp_path):
    tlkit("predict", finetuned_run.path, photos / "monday", "--sort-into", tmp_path / "sorted", "--min-confidence", "1")
    assert [path.name for path in (tmp_path / "sorted").iterdir()] == ["unknown"]


def test_predict_sort_into_never_writes_into_a_folder_or_among_the_images(finetuned_run, photos, tmp_path):
    (tmp_path / "mine").mkdir()
    for folder, words in ((tmp_path / "mine", "already exists"), (photos / "sorted", "is inside the image folder")):
        assert words in refused(2, "predict", finetuned_run.path, photos, "--sort-into", folder)
    assert "--copy has no effect without --sort-into" in refused(2, "predict", finetuned_run.path, photos, "--copy")
    assert list((tmp_path / "mine").iterdir()) == []


def test_predict_sort_into_leaves_nothing_where_no_file_is_found(finetuned_run, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(3, "predict", finetuned_run.path, tmp_path / "empty", "--sort-into", tmp_path / "sorted")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty"]
