"""Crops are searched coarsely by thumbnails, then finely."""

import numpy as np
import pytest
from PIL import Image

from tests.quality.making import looked_at, photo, photos, save
from tlkit.data.duplicates import NearDuplicates
from tlkit.features.crops import crop_score, find_crops, overlay_scores


def gray(image):
    return np.asarray(image.convert("L").resize((128, 128), Image.Resampling.BILINEAR), np.float32)


def test_overlay_scores_are_one_for_equal_and_low_for_different_images():
    rng = np.random.default_rng(0)
    thumbnails = rng.integers(0, 256, (4, 32, 32), dtype=np.uint8)
    thumbnails[3] = thumbnails[0][:, ::-1]
    scores = overlay_scores(thumbnails, np.array([[0, 0], [0, 3], [0, 1], [1, 2]]))
    assert scores[:2] == pytest.approx([1, 1], abs=1e-4)
    assert scores[2:].max() < 0.4
    blank = np.full((2, 32, 32), 200, np.uint8)
    assert overlay_scores(blank, np.array([[0, 1]]))[0] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("box", [(0, 0, 270, 270), (30, 12, 300, 282), (15, 15, 285, 285)])
def test_crop_score_finds_the_part_and_no_other_image(box):
    whole = photo(1, 300)
    part = whole.crop(box)
    assert crop_score(gray(whole), gray(part)) > 0.8
    assert crop_score(gray(part), gray(whole)) > 0.8
    assert crop_score(gray(whole), gray(part.transpose(Image.Transpose.FLIP_LEFT_RIGHT))) > 0.8
    assert crop_score(gray(photo(2, 300)), gray(part)) < 0.5
    assert crop_score(gray(Image.new("RGB", (9, 9))), gray(part)) < 0.1


def test_find_crops_leaves_out_what_is_known_and_files_that_are_gone(tmp_path):
    photos(tmp_path, {"a": 6, "b": 6})
    save(photo(0, 96).crop((5, 5, 92, 92)), tmp_path / "a" / "crop.png")
    data = looked_at(tmp_path)
    features = np.random.default_rng(0).normal(size=(13, 30)).astype(np.float32)
    first, crop = (data.folder.paths.index(path) for path in ("a/0.png", "a/crop.png"))
    features[crop] = features[first] + 0.01
    thumbnails, files = data.appearances["thumbnail"], data.folder.files
    [pair] = find_crops(features, thumbnails, files, NearDuplicates((), ()))
    assert {pair.first, pair.second} == {first, crop}
    assert find_crops(features, thumbnails, files, NearDuplicates((pair,), ())) == []
    assert find_crops(features, thumbnails, files, NearDuplicates((), (first,))) == []
    (tmp_path / "a" / "crop.png").unlink()
    assert find_crops(features, thumbnails, files, NearDuplicates((), ())) == []
