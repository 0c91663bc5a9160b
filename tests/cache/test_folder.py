import os
import re
import time
from pathlib import Path

import pytest

from tests.making import touch
from tlkit.cache.folder import KEY, MARK, NO_CACHE, CachePart, cache_dir, cache_sizes, claim_cache, clear_cache
from tlkit.comparison.cache import CACHED_RUN_FILES
from tlkit.engines.cache import CONVERTED_FILES
from tlkit.features.store import SHARD_FILES
from tlkit.utils.files import Owned

SHARDS = CachePart("features", Owned(re.compile(rf"{KEY}/[0-9]\.npy"), re.compile(KEY)))
MODELS = CachePart("engines", Owned(re.compile(rf"{KEY}\.(?:tflite|json)"), re.compile("(?!)")))
PARTS = (MODELS, SHARDS)
NAME = "a" * 64
MARKED = ["CACHEDIR.TAG"]


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def filled(root):
    claim_cache()
    for path, size in {f"engines/{NAME}.tflite": 10, f"engines/{NAME}.json": 5, f"features/{NAME}/1.npy": 100}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(bytes(size))
    return root


def files_in(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_cache_dir_is_what_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "mine"))
    assert cache_dir() == tmp_path / "mine"
    monkeypatch.setenv("TLKIT_CACHE", "~/cache")
    assert cache_dir() == Path.home() / "cache"


@pytest.mark.parametrize("value", [None, ""])
def test_cache_dir_without_a_word_is_a_folder_of_the_user(monkeypatch, value):
    monkeypatch.delenv("TLKIT_CACHE") if value is None else monkeypatch.setenv("TLKIT_CACHE", value)
    assert "tlkit" in cache_dir().parts
    assert cache_dir().is_absolute()


def test_cache_dir_of_tests_is_their_own(own_cache):
    assert cache_dir() == own_cache


def test_cache_sizes_are_files_and_bytes_of_each_part(filled):
    assert cache_sizes(PARTS) == {"engines": (2, 15), "features": (1, 100)}
    assert cache_sizes([SHARDS]) == {"features": (1, 100)}


def test_cache_sizes_missing_cache_is_empty(root):
    assert cache_sizes(PARTS) == {"engines": (0, 0), "features": (0, 0)}
    assert clear_cache(PARTS) == (0, [])
    assert not root.exists()


def test_clear_cache_gives_the_bytes_and_leaves_the_mark(filled):
    assert clear_cache(PARTS) == (115, [])
    assert [path.name for path in filled.iterdir()] == MARKED
    assert cache_sizes(PARTS) == {"engines": (0, 0), "features": (0, 0)}


def test_clear_cache_leaves_other_files_and_names_them(filled):
    others = [".hidden", f"engines/{NAME}.h5", "engines/mine", f"features/{NAME}.npy", "features/1.npy", "photo.jpg"]
    touch(filled, *others)
    assert cache_sizes(PARTS) == {"engines": (2, 15), "features": (1, 100)}
    assert clear_cache(PARTS) == (115, [Path(path) for path in sorted(others)])
    assert files_in(filled) == sorted([*others, *MARKED])


def test_clear_cache_of_one_part_leaves_the_others(filled):
    removed, others = clear_cache([SHARDS])
    assert removed == 100
    assert others == [Path(f"engines/{NAME}.json"), Path(f"engines/{NAME}.tflite")]


def test_clear_cache_follows_no_link(filled, tmp_path):
    touch(tmp_path, f"outside/{NAME}/1.npy")
    (filled / "features" / ("b" * 64)).symlink_to(tmp_path / "outside" / NAME, target_is_directory=True)
    clear_cache(PARTS)
    assert (tmp_path / "outside" / NAME / "1.npy").exists()


def test_clear_cache_removes_what_a_killed_process_left(root):
    """With the parts that tlkit has: each owner declares what it writes."""
    claim_cache()
    unfinished = f".tlkit-{'0' * 16}.tmp"
    places = ("", "engines/", f"features/{NAME}/", f"runs/{NAME}/plots/")
    paths = [*(place + unfinished for place in places), f"runs/{unfinished}/settings.json"]
    touch(root, *paths, f"runs/{NAME}/DONE", f"features/{NAME}/{'0' * 32}.npy")
    parts = [CONVERTED_FILES, SHARD_FILES, CACHED_RUN_FILES]
    assert list(cache_sizes(parts)) == ["engines", "features", "runs"]
    assert clear_cache(parts) == (0, [])
    assert [path.name for path in root.iterdir()] == MARKED


# what killed processes left


def age(path, hours):
    then = time.time() - hours * 3600
    os.utime(path, (then, then))


def test_claim_cache_removes_temporary_files_of_a_day_ago_once(root):
    temporaries = [f".tlkit-{digit * 16}.tmp" for digit in "0123"]
    old = {f"features/{NAME}/{temporaries[0]}", f"runs/{temporaries[1]}/model.keras"}
    old |= {f"runs/{temporaries[1]}/plots/curves.png", f"engines/{temporaries[0]}.keras"}
    theirs = {f"features/{NAME}/mine.tmp", f"features/{temporaries[0]}", f"runs/{temporaries[2]}/mine.txt"}
    young = {f"features/{NAME}/{temporaries[3]}", f"runs/{temporaries[3]}/model.keras"}
    finished = {f"features/{NAME}/{'1' * 32}.npy", f"runs/{NAME}/model.keras"}
    touch(root, *old, *theirs, *young, *finished)
    for path in old | theirs | finished:
        age(root / path, 25)
    (root / "engines" / f".tlkit-{'4' * 16}.tmp").symlink_to(root / "features" / NAME / "mine.tmp")
    (root / "CACHEDIR.TAG").write_text(MARK)
    left = {*theirs, *young, *finished, *MARKED, f"engines/.tlkit-{'4' * 16}.tmp"}
    sizes = cache_sizes([SHARD_FILES])
    for part in (SHARD_FILES, CONVERTED_FILES, CACHED_RUN_FILES):
        claim_cache(part)
    assert set(files_in(root)) == left
    assert not (root / "runs" / temporaries[1]).exists()
    assert sizes["features"][0] - cache_sizes([SHARD_FILES])["features"][0] == 1  # it was counted before
    again = root / f"features/{NAME}/{temporaries[0]}"
    again.touch()
    age(again, 25)
    claim_cache(SHARD_FILES)  # this process has looked already
    assert again.exists()
    assert clear_cache([SHARD_FILES])[1] and not again.exists()


def test_claim_cache_leaves_what_lies_behind_a_link(root, tmp_path):
    claim_cache()
    temporary = tmp_path / "elsewhere" / NAME / f".tlkit-{'0' * 16}.tmp"
    touch(temporary.parent, temporary.name)
    age(temporary, 25)
    (root / "features").symlink_to(tmp_path / "elsewhere")
    claim_cache(SHARD_FILES)
    assert temporary.exists()


def test_cache_dir_without_a_home_can_never_be_made(monkeypatch):
    for name in ("TLKIT_CACHE", "HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)  # of nobody
    assert cache_dir() == NO_CACHE
    with pytest.raises(OSError):
        claim_cache()
    monkeypatch.setenv("TLKIT_CACHE", "~nobody-of-this-name/cache")
    assert cache_dir() == Path("~nobody-of-this-name/cache")
