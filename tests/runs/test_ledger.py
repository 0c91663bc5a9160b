"""The ledger: runs of this machine are known, wherever they are; damage and many processes cost no line."""

import hashlib
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from tests.cli.commands import posix, tlkit
from tests.shared_runs import copy_run
from tlkit.cache.folder import LEDGER, MARKER
from tlkit.runs import ledger
from tlkit.runs.ledger import is_recorded, record_run
from tlkit.runs.run import load_run
from tlkit.utils.files import sha256_file


def digest(number):
    return hashlib.sha256(str(number).encode()).hexdigest()


class Forgetful(set):
    """A set that stays empty, as in another process."""

    def add(self, item):
        pass


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder of its own."""
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(ledger, "_made_here", Forgetful())
    return tmp_path / "cache"


def record_many(numbers):
    for number in numbers:
        record_run(digest(number))


def test_record_run_is_found_again_and_written_once(cache):
    assert not is_recorded(digest(1))
    for number in (1, 2, 1):
        record_run(digest(number))
    assert is_recorded(digest(1)) and is_recorded(digest(2)) and not is_recorded(digest(3))
    assert (cache / LEDGER).read_text().split() == [digest(1), digest(2)]
    assert (cache / MARKER).exists()
    assert not is_recorded(digest(1)[:-1]) and not is_recorded(digest(1)[1:])


def test_record_run_in_eight_processes_at_once_loses_none(cache):
    parts = [range(start, 400, 8) for start in range(8)]
    with ProcessPoolExecutor(8, mp_context=get_context("spawn")) as pool:
        list(pool.map(record_many, parts))
    assert sorted((cache / LEDGER).read_text().split()) == sorted(map(digest, range(400)))


@posix
def test_record_run_after_damage_still_counts(cache):
    record_run(digest(1))
    with (cache / LEDGER).open("ab") as ledger:
        ledger.write(digest(2)[:30].encode())  # a write that a crash cut
    record_run(digest(3))
    with (cache / LEDGER).open("ab") as ledger:
        ledger.write(b"\xff\0" * 500)
    record_run(digest(4))
    assert [is_recorded(digest(number)) for number in (1, 2, 3, 4)] == [True, False, True, True]


@posix
def test_record_run_follows_no_link_and_waits_for_no_pipe(cache, tmp_path):
    record_run(digest(1))
    for make in (lambda file: file.symlink_to(tmp_path / "mine"), os.mkfifo, lambda file: file.mkdir()):
        (cache / LEDGER).unlink(missing_ok=True)
        make(cache / LEDGER)
        record_run(digest(2))
        assert not is_recorded(digest(2))
        assert not (tmp_path / "mine").exists()


def test_record_run_without_a_cache_does_nothing(monkeypatch, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for folder in (os.devnull + "/tlkit", tmp_path):  # none, and one that is not tlkit's
        monkeypatch.setenv("TLKIT_CACHE", str(folder))
        monkeypatch.setattr(ledger, "_made_here", set())
        record_run(digest(1))
        assert is_recorded(digest(1))  # by this process
        monkeypatch.setattr(ledger, "_made_here", set())
        assert not is_recorded(digest(1))
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_a_finished_run_and_its_copies_are_own_until_model_json_changes(finetuned_run, classic_run, tmp_path):
    assert finetuned_run.is_own and classic_run.is_own
    copied = copy_run(finetuned_run, tmp_path)
    assert copied.is_own
    content = (copied.path / "model.json").read_bytes()
    (copied.path / "model.json").write_bytes(content + b" ")
    assert not load_run(copied.path).is_own
    (copied.path / "model.json").unlink()
    assert not copied.is_own


def test_runs_of_a_comparison_are_own(comparison):
    found = [load_run(path) for path in comparison.run.path.iterdir() if (path / "model.json").exists()]
    assert len(found) == 2
    assert all(run.is_own for run in found)


def test_cache_clear_leaves_the_ledger(cache, finetuned_run):
    record_run(sha256_file(finetuned_run.path / "model.json"))
    assert finetuned_run.is_own
    done = tlkit("cache", "clear")
    assert done.exit_code == 0 and "kept" not in done.output
    assert finetuned_run.is_own
