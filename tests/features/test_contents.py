"""Findings of a pass: what is known, what cannot be read, what a folder becomes."""

import numpy as np

from tests.making import touch
from tlkit.data.appearance import APPEARANCE
from tlkit.data.folder import read_folder
from tlkit.data.image import ImageSpec
from tlkit.errors import ImageError
from tlkit.features.contents import Contents, FileHashes
from tlkit.features.shards import FeatureRecord
from tlkit.features.store import FeatureKey, FeatureStore


def test_a_folder_keeps_what_was_read_and_the_reasons_of_the_rest(tmp_path, monkeypatch):
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    folder = read_folder(touch(tmp_path / "photos", "ants/1.png", "ants/2.png", "bees/3.png", "bees/4.png"))
    store = FeatureStore(FeatureKey(1, ImageSpec(32), "litert", "1", "float32", "ab", "conv1"))
    looks = np.zeros((), APPEARANCE)[()]
    hashes = [f"{5:064x}", f"{6:064x}", "07" * 32]
    store.add([FeatureRecord(sha256, "0" * 32, looks, np.zeros(2, np.float32)) for sha256 in hashes])
    contents = Contents(4)
    contents.put_many(np.array([3]), np.full((1, 32), 7, np.uint8), np.full((1, 16), 8, np.uint8))
    assert contents.count == 1
    assert contents.is_known.tolist() == [False, False, False, True]
    contents.put(0, FileHashes(hashes[0], f"{5:032x}"))
    contents.put(1, ImageError("is an empty file"))
    contents.put(2, FileHashes(hashes[1], f"{6:032x}"))
    assert contents.count == 4
    readable = contents.readable(folder, store)
    assert list(readable.paths) == ["ants/1.png", "bees/3.png", "bees/4.png"]
    assert list(readable.sha256) == hashes
    assert list(readable.digests) == list(readable.groups) == [f"{5:032x}", f"{6:032x}", "08" * 16]
    assert [(entry.path, entry.reason) for entry in readable.skipped] == [("ants/2.png", "is an empty file")]
