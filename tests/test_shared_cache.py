"""One cache for many processes, one of them killed; and caches whose files were damaged, exchanged or replaced.

The answers are always those of an empty cache.
"""

import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("skimage")

from tests.cli.commands import tlkit
from tests.cli.test_outputs import everything
from tests.filling import KEY, NUM_RECORDS, record
from tlkit.features.store import SHARD, FeatureStore
from tlkit.utils.files import TEMPORARY

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links need rights there, and it has no FIFOs")

NUM_PROCESSES = 8
SMALL = ("--backbone", "mobilenet_025", "--weights", "none")


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert condition()


def start(*words):
    return subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def test_eight_processes_fill_one_cache_and_one_is_killed(tmp_path, monkeypatch):
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    processes = [start("-m", "tests.filling") for _ in range(NUM_PROCESSES)]
    wait_for(lambda: len(list((tmp_path / "cache").glob("features/*/*.npy"))) > 5)
    processes[3].kill()
    said = [process.communicate(timeout=60)[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert [code for code in codes[:3] + codes[4:] if code] == [], said
    store = FeatureStore(KEY)
    assert store.damaged == 0
    for number in range(NUM_RECORDS):
        np.testing.assert_array_equal(store.find(f"{number:064x}").values, record(number).values)
    names = [path.name for path in store.folder.iterdir()]
    assert [name for name in names if not (SHARD.fullmatch(name) or TEMPORARY.fullmatch(name))] == []


@pytest.mark.slow
@pytest.mark.parametrize("killed_after", [0.3, 0.6, 0.9])
def test_eight_commands_share_an_empty_cache_and_one_is_killed(killed_after, colors, tmp_path, monkeypatch):
    """The fraction is of the time that one of them takes alone."""
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    words = ("-m", "tlkit", "features", str(colors), *SMALL, "--image-size", "32", "-o")
    processes = [start(*words, str(tmp_path / f"{number}.npz")) for number in range(NUM_PROCESSES)]
    started = time.monotonic()
    wait_for(lambda: any((tmp_path / "cache").glob("engines/*")), 200)
    time.sleep(killed_after * 2)
    processes[0].kill()
    said = [process.communicate(timeout=400)[1] for process in processes]
    assert [text for process, text in zip(processes[1:], said[1:], strict=True) if process.returncode] == []
    print(f"{time.monotonic() - started:.0f} s")
    files = [tmp_path / f"{number}.npz" for number in range(1, NUM_PROCESSES)]
    for file in files:
        assert_same_arrays(file, files[0])
    before = everything(tmp_path / "cache")
    assert tlkit("features", colors, *SMALL, "--image-size", "32", "-o", tmp_path / "again.npz").exit_code == 0
    assert everything(tmp_path / "cache") == before  # all was reused
    assert_same_arrays(tmp_path / "again.npz", files[0])


def assert_same_arrays(file, expected):
    with np.load(file) as arrays, np.load(expected) as others:
        assert arrays.files == others.files
        for name in arrays.files:
            np.testing.assert_array_equal(arrays[name], others[name])


# damage: each function changes one file of the cache; `other` is a file of the same kind


def flip(file, other):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def cut(file, other):
    file.write_bytes(file.read_bytes()[:-7])


def empty(file, other):
    file.write_bytes(b"")


def exchange(file, other):
    kept = file.read_bytes()
    file.write_bytes(other.read_bytes())
    other.write_bytes(kept)


def link(file, other):
    file.rename(file.with_name("moved"))
    file.symlink_to(other)


def folder(file, other):
    file.unlink()
    file.mkdir()
    (file / "x").touch()


def pipe(file, other):
    file.unlink()
    os.mkfifo(file)


def loop(file, other):
    file.unlink()
    file.symlink_to(file)


def of_another_version(file, other):
    """What an earlier or a later tlkit may have written under this name."""
    file.write_bytes(json.dumps({"sha256": "0" * 64, "weights_sha256": 3, "format": 9}).encode())


DAMAGES = (flip, cut, empty, exchange, link, folder, pipe, loop, of_another_version)


@pytest.fixture(scope="module")
def caches(colors, tmp_path_factory):
    """A cache that two commands of other networks have filled, and what they wrote."""
    root = tmp_path_factory.mktemp("caches")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TLKIT_CACHE", str(root / "cache"))
        for size in ("32", "64"):
            done = tlkit("features", colors, *SMALL, "--image-size", size, "-o", root / f"{size}.npz")
            assert done.exit_code == 0, done.stderr
    return root


@pytest.fixture
def damaged_caches(caches, colors, tmp_path, monkeypatch):
    """A function that damages a copy of the cache, runs a command with it, and compares with the empty cache."""

    def check(pattern, damage):
        cache = tmp_path / damage.__name__ / "cache"
        shutil.copytree(caches / "cache", cache)
        monkeypatch.setenv("TLKIT_CACHE", str(cache))
        files = sorted(cache.glob(pattern))
        assert len(files) == 2
        damage(*files)
        for size in ("32", "64"):
            file = cache.parent / f"{size}.npz"
            done = tlkit("features", colors, *SMALL, "--image-size", size, "-o", file)
            assert done.exit_code == 0, done.stderr
            assert_same_arrays(file, caches / file.name)

    return check


@pytest.mark.training
def test_damaged_features_are_computed_again(damaged_caches):
    for damage in DAMAGES:
        damaged_caches("features/*/*.npy", damage)


@pytest.mark.training
def test_features_moved_to_another_key_are_computed_again(damaged_caches):
    def exchange_names(file, other):
        file.rename(other.parent / file.name)
        other.rename(file.parent / other.name)

    damaged_caches("features/*/*.npy", exchange_names)


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["engines/*.tflite", "engines/*.json"])
def test_damaged_converted_networks_are_converted_again(damaged_caches, pattern):
    for damage in DAMAGES:
        damaged_caches(pattern, damage)


def other_predictions(expected, compared, candidates):
    """The candidates that predict something else in one comparison than in the other."""
    files = {name: [run / name / "predictions_val.csv" for run in (expected, compared)] for name in candidates}
    return [name for name, (first, second) in files.items() if first.read_bytes() != second.read_bytes()]


@pytest.mark.slow
@pytest.mark.training
def test_damaged_candidates_are_trained_again(colors, tmp_path, monkeypatch):
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "first"))
    words = ("compare", colors, "--only", "majority,colors,linear", "--format", "json", "-o")
    assert tlkit(*words, tmp_path / "expected").exit_code == 0
    names = ("settings.json", "model.json", "predictions_val.csv", "speed.json", "comparison-key.json")
    for name in names:
        for damage in DAMAGES:
            cache = tmp_path / f"{name}-{damage.__name__}"
            shutil.copytree(tmp_path / "first", cache)
            monkeypatch.setenv("TLKIT_CACHE", str(cache))
            damage(*sorted(cache.glob(f"runs/*/{name}"))[:2])
            done = tlkit(*words, tmp_path / cache.name / "compared")
            assert done.exit_code == 0, (name, damage, done.stderr)
            differing = other_predictions(tmp_path / "expected", cache / "compared", ("colors", "linear"))
            assert differing == [], (name, damage)


@pytest.mark.slow
@pytest.mark.training
def test_candidates_whose_folders_are_exchanged_are_trained_again(colors, tmp_path, monkeypatch):
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    words = ("compare", colors, "--only", "colors,pixels", "--format", "json", "-o")
    assert tlkit(*words, tmp_path / "expected").exit_code == 0
    first, second, *_ = sorted((tmp_path / "cache" / "runs").iterdir())
    first.rename(tmp_path / "cache" / "moved")
    second.rename(first)
    (tmp_path / "cache" / "moved").rename(second)
    assert tlkit(*words, tmp_path / "again").exit_code == 0
    names = sorted(path.name for path in (tmp_path / "expected").iterdir() if path.is_dir())
    assert other_predictions(tmp_path / "expected", tmp_path / "again", names) == []
