import pytest

from tests.making import touch
from tlkit.utils.cache import cache_sizes, clear_cache


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fill(root):
    for path, size in {"engines/a.tflite": 10, "engines/a.json": 5, "features/k/1.npy": 100}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(bytes(size))


def test_each_part_is_measured_in_files_and_bytes(root):
    fill(root)
    assert cache_sizes() == {"engines": (2, 15), "features": (1, 100), "rungs": (0, 0)}


def test_a_cache_that_is_not_there_is_empty(root):
    assert cache_sizes() == {"engines": (0, 0), "features": (0, 0), "rungs": (0, 0)}
    assert clear_cache() == 0
    assert not root.exists()


def test_clearing_tells_the_bytes_and_leaves_nothing(root):
    fill(root)
    assert clear_cache() == 115
    assert cache_sizes() == {"engines": (0, 0), "features": (0, 0), "rungs": (0, 0)}


def test_what_others_keep_in_the_folder_is_neither_counted_nor_removed(root):
    fill(root)
    touch(root, "photo.jpg", "engine/mine", "features.txt", ".hidden", "models/a.h5")
    assert cache_sizes() == {"engines": (2, 15), "features": (1, 100), "rungs": (0, 0)}
    assert clear_cache() == 115
    left = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    assert left == [".hidden", "engine/mine", "features.txt", "models/a.h5", "photo.jpg"]


def test_a_link_out_of_the_cache_is_not_followed(root, tmp_path):
    fill(root)
    touch(tmp_path, "outside/precious")
    (root / "features" / "link").symlink_to(tmp_path / "outside", target_is_directory=True)
    clear_cache()
    assert (tmp_path / "outside/precious").exists()
