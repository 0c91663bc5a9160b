"""Copies are found as they are: equal, nearly equal, cropped, with two labels, in two subsets."""

import numpy as np
from PIL import ImageOps

from tests.quality.making import looked_at, photo, photos, save
from tlkit.quality.copies import ExactDuplicates, LabelConflicts, Leaks, NearDuplicatesCheck


def paths_of(issues):
    return [issue.paths for issue in issues]


def test_equal_images_of_one_class_are_one_issue(tmp_path):
    photos(tmp_path, {"a": 3, "b": 3})
    for name in ("8.png", "10.png"):
        save(photo(0), tmp_path / "a" / name)
    [issue] = ExactDuplicates().find(looked_at(tmp_path))
    assert (issue.severity, issue.score) == ("info", 1.0)
    assert issue.paths == ("a/0.png", "a/8.png", "a/10.png")
    assert issue.message == "3 files are the same image: a/0.png and a/8.png."


def test_near_duplicates_and_conflicts_are_told_apart(tmp_path):
    photos(tmp_path, {"a": 12, "b": 12})
    save(photo(1), tmp_path / "a" / "again.jpg", quality=60)
    save(ImageOps.mirror(photo(2)), tmp_path / "b" / "mirror.png")
    save(photo(3), tmp_path / "b" / "same.png")
    data = looked_at(tmp_path)
    assert paths_of(NearDuplicatesCheck().find(data)) == [("a/1.png", "a/again.jpg")]
    same, mirrored = LabelConflicts().find(data)
    assert (same.paths, same.severity, same.score) == (("a/3.png", "b/same.png"), "error", 1.0)
    assert same.message == "a/3.png and b/same.png are the same image, with the labels a and b."
    assert (mirrored.paths, mirrored.severity) == (("a/2.png", "b/mirror.png"), "warning")
    assert ExactDuplicates().find(data) == Leaks().find(data) == []


def test_leaks_are_pairs_across_subsets(tmp_path):
    photos(tmp_path / "train", {"a": 12, "b": 12})
    photos(tmp_path / "val", {"a": 3, "b": 3}, start=100)
    save(photo(0), tmp_path / "val" / "a" / "copy.png")
    save(photo(1), tmp_path / "val" / "a" / "near.jpg", quality=60)
    same, near = Leaks().find(looked_at(tmp_path))
    assert (same.paths, same.score, same.severity) == (("train/a/0.png", "val/a/copy.png"), 1.0, "error")
    assert near.paths == ("train/a/1.png", "val/a/near.jpg")
    assert 0.9 < near.score < 1


def test_crops_are_found_by_features(tmp_path):
    photos(tmp_path, {"a": 12, "b": 12})
    whole = photo(5, 96)
    save(whole.crop((6, 2, 93, 89)), tmp_path / "b" / "crop.png")
    features = np.random.default_rng(0).normal(size=(25, 40)).astype(np.float32)
    data = looked_at(tmp_path)
    first, crop = data.folder.paths.index("a/5.png"), data.folder.paths.index("b/crop.png")
    features[crop] = features[first] + 0.01
    assert LabelConflicts().find(data) == []
    [issue] = LabelConflicts().find(looked_at(tmp_path, features))
    assert issue.paths == ("a/5.png", "b/crop.png")
