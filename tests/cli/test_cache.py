"""`tlkit cache`: shown and emptied. What it leaves alone is in test_outputs.py."""

import json

import pytest

from tests.cli.commands import tlkit
from tlkit.utils.cache import claim_cache


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_cache_info_shows_what_clear_removes(cache):
    claim_cache()
    (cache / "engines").mkdir()
    (cache / "engines" / f"{'0' * 64}.tflite").write_bytes(b"0" * 2_000_000)
    lines = [line.split() for line in tlkit("cache", "info").stdout.splitlines()]
    assert lines[:3] == [["cache", str(cache)], ["part", "files", "size"], ["engines", "1", "2.0", "MB"]]
    assert lines[-1] == ["total", "2.0", "MB"]
    content = json.loads(tlkit("cache", "info", "--json").stdout)
    assert content["parts"]["engines"] == {"files": 1, "bytes": 2_000_000}
    assert (content["folder"], content["problem"]) == (str(cache), "")
    assert tlkit("cache", "clear").stdout == "2.0 MB removed\n"
    assert [path.name for path in cache.iterdir()] == ["CACHEDIR.TAG"]
    assert json.loads(tlkit("cache", "clear", "--json").stdout) == {"removed_bytes": 0, "kept": []}


def test_cache_that_is_not_there_yet_is_empty(cache):
    assert tlkit("cache", "info").exit_code == 0
    assert tlkit("cache", "clear").stdout == "0 kB removed\n"
    assert not cache.exists()
