"""The map of a run's validation images."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.shared_runs import copy_foreign_run
from tlkit.errors import RunError
from tlkit.features.projection import ImageMap, read_map
from tlkit.utils.progress import Silent
from tlkit.visualization.image_map import compute_map, draw_map, image_files, read_thumbnails


def drawn(found, thumbnails=()):
    return np.asarray(Image.open(io.BytesIO(draw_map(found, thumbnails, "title", "caption"))).convert("RGB"))


def some_map(num_images, num_classes):
    random = np.random.default_rng(0)
    names = tuple(f"class {index % num_classes}" for index in range(num_images))
    points = random.normal(0, 1, (num_images, 2)).astype(np.float32)
    return ImageMap(tuple(map(str, range(num_images))), names, points)


def test_pca_is_that_of_the_run_and_tsne_is_computed_again(finetuned_run):
    pytest.importorskip("sklearn")
    known = read_map(finetuned_run)
    np.testing.assert_array_equal(compute_map(finetuned_run, "pca", 0, False, Silent()).points, known.points)
    found = compute_map(finetuned_run, "tsne", 0, False, Silent())
    assert (found.paths, found.class_names) == (known.paths, known.class_names)
    assert not np.allclose(found.points, known.points)
    again = compute_map(finetuned_run, "tsne", 0, False, Silent())
    np.testing.assert_array_equal(found.points, again.points)


def test_folder_that_a_strangers_run_names_is_not_opened(finetuned_run, tmp_path):
    run = copy_foreign_run(finetuned_run, tmp_path)
    assert image_files(run, ("a.png",)) is None
    assert compute_map(run, "pca", 0, False, Silent()).points.shape == (6, 2)
    with pytest.raises(RunError, match="made on another machine.*use --map pca"):
        compute_map(run, "tsne", 0, False, Silent())


def test_thumbnails_are_on_the_map_where_they_do_not_cover_each_other(colors, finetuned_run):
    found = read_map(finetuned_run)
    files = image_files(finetuned_run, found.paths)
    assert files == [colors / path for path in found.paths]
    thumbnails = read_thumbnails(files)
    plain, with_images = drawn(found), drawn(found, thumbnails)
    changed = (plain != with_images).any(axis=-1)
    assert 20 * 20 <= changed.sum() <= 6 * 60 * 60
    stacked = ImageMap(found.paths, found.class_names, np.zeros((6, 2), np.float32))
    once = (drawn(stacked) != drawn(stacked, thumbnails)).any(axis=-1)
    assert once.sum() <= 60 * 60  # six images in one point: one is drawn
    assert read_thumbnails(None) == []


@pytest.mark.parametrize("num_classes", [1, 2, 10, 11, 20, 21, 100])
def test_any_number_of_classes_is_drawn_and_every_class_has_ink(num_classes):
    found = some_map(200, num_classes)
    sheet = drawn(found)
    assert sheet.shape == (760, 1080, 3)
    colorful = sheet.reshape(-1, 3)[np.ptp(sheet.reshape(-1, 3).astype(int), axis=1) > 60]
    assert len(np.unique(colorful // 16, axis=0)) >= min(num_classes, 18)


def test_names_of_any_script_and_mathematics_are_texts():
    found = some_map(20, 2)
    names = tuple({"class 0": "$\\frac$ 猫", "class 1": "\U0010ffff שלום"}[name] for name in found.class_names)
    assert drawn(ImageMap(found.paths, names, found.points)).shape == (760, 1080, 3)
