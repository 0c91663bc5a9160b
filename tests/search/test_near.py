"""Near duplicates of a folder: those that `check` finds."""

import shutil

import numpy as np
from PIL import Image, ImageFilter

from tlkit.quality.check import check
from tlkit.search.near import find_near_images


def test_pairs_are_those_of_check(colors, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(colors, data)
    random = np.random.default_rng(0)
    pixels = np.kron(random.integers(0, 255, (12, 12, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    Image.fromarray(pixels).save(data / "red" / "one.png")
    Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(0.6)).save(data / "red" / "near.png")
    Image.fromarray(pixels).save(data / "red" / "equal.bmp")
    result = find_near_images(data, backbone="none")
    assert {frozenset((pair.first, pair.second)) for pair in result.pairs} == {
        frozenset(("red/one.png", "red/near.png")),
        frozenset(("red/equal.bmp", "red/near.png")),
    }
    assert all(pair.labels == ("red", "red") and 0.95 < pair.score <= 1 for pair in result.pairs)
    assert [set(paths) for paths in result.equal] == [{"red/one.png", "red/equal.bmp"}]
    found = [set(issue.paths) for issue in check(data, backbone="none").issues if issue.check == "near-duplicates"]
    assert {frozenset(paths) for paths in found} == {frozenset((pair.first, pair.second)) for pair in result.pairs}
    assert "no crops are looked for" in result.notes[0]
