"""`tlkit cache`: shown, pruned and emptied. What it leaves alone is in test_outputs.py."""

import json
import os
import time

import pytest

from tests.cli.commands import tlkit
from tests.filling import KEY, record
from tlkit.cache.folder import claim_cache, remember_use
from tlkit.features.store import FeatureStore
from tlkit.utils.text import format_size


def test_cache_info_shows_what_clear_removes(cache):
    claim_cache()
    (cache / "engines").mkdir()
    (cache / "engines" / f"{'0' * 64}.tflite").write_bytes(b"0" * 2_000_000)
    lines = [line.split() for line in tlkit("cache", "info").stdout.splitlines()]
    assert lines[:3] == [["cache", str(cache)], ["part", "files", "size"], ["engines", "1", "2.0", "MB"]]
    assert lines[-1] == ["total", "2.0", "MB"]
    content = json.loads(tlkit("cache", "info", "--json").stdout)
    engines = content["parts"]["engines"]
    assert (engines["files"], engines["bytes"]) == (1, 2_000_000)
    assert engines["oldest_use"] == engines["newest_use"] is not None
    assert content["parts"]["features"] == {
        "files": 0,
        "bytes": 0,
        "oldest_use": None,
        "newest_use": None,
        "keys": 0,
        "records": 0,
    }
    assert (content["folder"], content["address"], content["problem"]) == (str(cache), "", "")
    assert tlkit("cache", "clear").stdout == "2.0 MB removed\n"
    assert [path.name for path in cache.iterdir()] == ["CACHEDIR.TAG"]
    assert json.loads(tlkit("cache", "clear", "--json").stdout) == {"removed_bytes": 0, "kept": []}


def test_cache_that_is_not_there_yet_is_empty(cache):
    assert tlkit("cache", "info").exit_code == 0
    assert tlkit("cache", "clear").stdout == "0 kB removed\n"
    assert not cache.exists()


# prune


@pytest.fixture
def used(cache):
    """A cache with features and networks that were used some days ago."""
    claim_cache()
    paths = [f"features/{'a' * 64}/{digit * 32}.npy" for digit in "123"] + [f"engines/{'b' * 64}.tflite"]
    for days, path in enumerate(paths):
        (cache / path).parent.mkdir(parents=True, exist_ok=True)
        (cache / path).write_bytes(bytes(1_000_000))
        age(cache / path, days)
    for path in (f"engines/{'b' * 64}.json", "mine.txt", f"features/{'a' * 64}/mine.txt"):
        (cache / path).write_text("{}")
        age(cache / path, 100)
    return cache


def age(path, days):
    then = time.time() - days * 24 * 3600 - 60
    os.utime(path, (then, then))


def left_in(cache):
    return sorted(path.relative_to(cache).as_posix() for path in cache.rglob("*") if path.is_file())


MINE = ["CACHEDIR.TAG", f"features/{'a' * 64}/mine.txt", "mine.txt"]
NETWORK = [f"engines/{'b' * 64}.json", f"engines/{'b' * 64}.tflite"]
FEATURES = [f"features/{'a' * 64}/{digit * 32}.npy" for digit in "123"]


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (("--older", "2d"), FEATURES[:2]),
        (("--older", "36h"), FEATURES[:2]),
        (("--older", "1w"), [*FEATURES, *NETWORK]),
        (("--max-size", "2.5MB"), FEATURES[:2]),
        (("--max-size", "0MB"), []),
        (("--max-size", "0.004GB"), FEATURES),
        (("--max-size", "1TB"), [*FEATURES, *NETWORK]),
        (("--older", "1d", "--max-size", "2.5 MB"), FEATURES[:1]),
    ],
)
def test_prune_removes_the_least_recently_used_and_never_what_is_not_tlkits(used, options, left):
    done = tlkit("cache", "prune", *options)
    assert done.exit_code == 0, done.stderr
    assert left_in(used) == sorted([*MINE, *left])


def test_prune_says_what_it_removed(used):
    content = json.loads(tlkit("cache", "prune", "--older", "2d", "--json").stdout)
    assert content == {"removed_bytes": 2_000_002, "removed_entries": 2}
    assert tlkit("cache", "prune", "--older", "2d").stdout == "0 kB removed\n"


@pytest.mark.parametrize("options", [(), ("--older", "30"), ("--max-size", "much"), ("--older", "-1d")])
def test_prune_without_a_limit_that_can_be_read_removes_nothing(used, options):
    before = left_in(used)
    done = tlkit("cache", "prune", *options)
    assert done.exit_code == 2
    assert "expected" in done.stderr
    assert left_in(used) == before


def test_prune_of_a_folder_that_is_no_cache_is_refused(used):
    (used / "CACHEDIR.TAG").unlink()
    before = left_in(used)
    assert tlkit("cache", "prune", "--max-size", "0MB").exit_code == 2
    assert left_in(used) == before


def test_a_use_counts(used, monkeypatch):
    remember_use(used / FEATURES[2])
    tlkit("cache", "prune", "--older", "1d")
    assert FEATURES[2] in left_in(used)


def test_an_address_that_cannot_be_a_cache_is_refused_in_a_sentence(monkeypatch):
    monkeypatch.setenv("TLKIT_CACHE", "ftp://bucket/cache")
    for words in (("cache", "info"), ("cache", "clear"), ("cache", "prune", "--older", "1d")):
        done = tlkit(*words)
        assert done.exit_code == 2
        assert "TLKIT_CACHE: 'ftp://bucket/cache' is not of a kind that can be read; expected s3://" in done.stderr


def test_of_a_cache_on_object_storage_both_sizes_are_shown_and_only_the_copy_is_emptied(s3, tmp_path, monkeypatch):
    s3.empty_bucket("shown")
    monkeypatch.setenv("TLKIT_CACHE", "s3://shown/cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    store = FeatureStore(KEY)
    store.add([record(number) for number in range(3)])
    content = json.loads(tlkit("cache", "info", "--json").stdout)
    assert content["address"] == "s3://shown/cache"
    assert content["parts"]["features"]["stored"] == {"files": 1, "bytes": content["parts"]["features"]["bytes"]}
    shown = tlkit("cache", "info").stdout
    assert "s3://shown/cache" in shown
    assert f"{format_size(content['parts']['features']['bytes'])} stored" in shown
    keys = s3.keys("shown")
    for words in (("cache", "prune", "--max-size", "0MB"), ("cache", "clear")):
        assert "what 's3://shown/cache' holds" in tlkit(*words).stdout
    assert list(store.folder.glob("*")) == []
    assert s3.keys("shown") == keys
    assert FeatureStore(KEY).find(f"{1:064x}") is not None
