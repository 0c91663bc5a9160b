"""Images of a run that files are checked with."""

import shutil

import numpy as np
import pytest

from tests.shared_runs import copy_foreign_run
from tlkit.errors import DataError
from tlkit.export.images import find_root, read_golden, read_subset


def test_images_are_spread_over_the_classes(finetuned_run, colors):
    images, wanted = read_subset(finetuned_run, colors, "train", 9)
    assert len(images) == wanted == 9
    assert np.bincount(images.labels).min() >= 2
    assert images.pixels.shape == (9, 32, 32, 3)
    assert all(file.is_file() for file in images.files)


def test_changed_and_missing_images_are_left_out(finetuned_run, colors, tmp_path):
    copied = shutil.copytree(colors, tmp_path / "photos")
    rows = [row["path"] for row in finetuned_run.read_rows("split.csv") if row["split"] == "train"]
    (copied / rows[0]).unlink()
    shutil.copyfile(copied / rows[1], copied / rows[2])
    images, wanted = read_subset(finetuned_run, copied, "train", 1000)
    assert set(images.names) == set(rows) - {rows[0], rows[2]}
    assert wanted == len(rows)


def test_images_that_are_there_take_the_place_of_missing_ones(finetuned_run, colors, tmp_path):
    copied = shutil.copytree(colors, tmp_path / "photos")
    rows = [row["path"] for row in finetuned_run.read_rows("split.csv") if row["split"] == "train"]
    for path in rows[::2]:
        (copied / path).unlink()
    images, wanted = read_subset(finetuned_run, copied, "train", 4)
    assert (len(images), wanted) == (4, 4)
    assert set(images.names) <= set(rows[1::2])


def test_golden_samples_have_their_labels(finetuned_run):
    images = read_golden(finetuned_run)
    assert len(images) == len(images.labels) > 0
    assert set(images.labels) == {0, 1, 2}


def test_the_folder_is_that_of_the_run_unless_it_is_named(finetuned_run, colors, tmp_path):
    assert find_root(finetuned_run, "") == (colors, "")
    root, reason = find_root(copy_foreign_run(finetuned_run, tmp_path), "")
    assert root is None
    assert "not made on this machine" in reason
    assert find_root(finetuned_run, str(tmp_path)) == (tmp_path, "")
    with pytest.raises(DataError, match="does not exist"):
        find_root(finetuned_run, str(tmp_path / "no"))
