"""Facts of unchanged files: recalled, and forgotten with every kind of change."""

import os
import shutil
import time

import numpy as np
import pytest

from tlkit.cache import file_memory
from tlkit.cache.file_memory import FileMemory, file_state, reading_all_files
from tlkit.cache.folder import MARK
from tlkit.cache.hash_table import RowKind

pytestmark = pytest.mark.usefixtures("cache")

KIND = RowKind("limits", (("number", "<u8"),))


@pytest.fixture
def settled(monkeypatch):
    """Files count as settled at once, so that a test need not wait."""
    monkeypatch.setattr(file_memory, "SETTLED_NS", -(10**9))


@pytest.fixture
def files(tmp_path):
    made = [tmp_path / "images" / f"{number}.bin" for number in range(5)]
    made[0].parent.mkdir()
    for number, file in enumerate(made):
        file.write_bytes(bytes(100 + number))
    return made


def remembered(files):
    memory = FileMemory(KIND)
    for number, file in enumerate(files):
        memory.remember(file_state(file), number)
    memory.save()


def recalled(files):
    positions, rows = FileMemory(KIND).recall(files)
    return dict(zip(positions.tolist(), rows["number"].tolist(), strict=True))


def test_unchanged_files_are_recalled_by_path_or_text(files, settled):
    remembered(files)
    assert recalled(files) == {number: number for number in range(5)}
    assert recalled([str(file) for file in files[3:]]) == {0: 3, 1: 4}


def test_a_relative_path_is_the_same_file(files, settled, monkeypatch):
    remembered(files)
    monkeypatch.chdir(files[0].parent)
    assert recalled(["2.bin"]) == {0: 2}


def rewritten_with_another_time(file):
    file.write_bytes(b"x" * file.stat().st_size)


def longer(file):
    with file.open("ab") as opened:
        opened.write(b"x")


def replaced_by_rename(file):
    before = file.stat()
    copy = file.with_name("copy")
    shutil.copy2(file, copy)
    os.utime(copy, ns=(before.st_atime_ns, before.st_mtime_ns))
    copy.replace(file)


def rewritten_with_its_time_put_back(file):
    before = file.stat()
    file.write_bytes(b"y" * before.st_size)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def removed(file):
    file.unlink()


def made_a_folder(file):
    file.unlink()
    file.mkdir()


def moved_here(file):
    file.with_name("3.bin").replace(file)


@pytest.mark.parametrize(
    "change",
    [
        rewritten_with_another_time,
        longer,
        replaced_by_rename,
        rewritten_with_its_time_put_back,
        removed,
        made_a_folder,
        moved_here,
    ],
)
def test_a_changed_file_is_not_recalled(files, settled, change):
    remembered(files)
    time.sleep(0.02)  # more than a tick of the clock that files are dated by
    change(files[1])
    assert 1 not in recalled(files)
    assert recalled(files)[2] == 2


def test_a_file_that_has_just_changed_is_not_remembered(files):
    remembered(files)
    assert recalled(files) == {}
    past = time.time() - 3600
    os.utime(files[0], (past, past))  # its change of now is in its other time
    remembered(files)
    assert recalled(files) == {}


def test_a_file_that_changed_some_seconds_ago_is_remembered(files, monkeypatch):
    monkeypatch.setattr(file_memory, "SETTLED_NS", 10**8)
    time.sleep(0.2)
    remembered(files)
    assert len(recalled(files)) == 5


def test_a_file_that_changes_while_it_is_read_is_not_remembered(files, settled):
    memory = FileMemory(KIND)
    before = file_state(files[0])
    longer(files[0])
    memory.remember(before, 0)
    memory.save()
    assert recalled(files) == {}


def test_what_is_no_file_is_neither_looked_at_nor_remembered(tmp_path, files, settled):
    memory = FileMemory(KIND)
    for path in (tmp_path, tmp_path / "none", "a\0b", "x" * 5000):
        assert file_state(path) is None
        memory.remember(file_state(path), 1)
    memory.save()
    assert recalled([tmp_path, tmp_path / "none"]) == {}


def test_everything_is_read_again_where_that_is_asked_for(files, settled):
    remembered(files)
    with reading_all_files():
        assert recalled(files) == {}
    assert len(recalled(files)) == 5


def test_many_files_are_written_in_parts(files, settled, monkeypatch, cache):
    monkeypatch.setattr(file_memory, "PENDING_FILES", 2)
    memory = FileMemory(KIND)
    for number, file in enumerate(files):
        memory.remember(file_state(file), number)
    assert recalled(files) == {number: number for number in range(4)}
    assert (cache / "CACHEDIR.TAG").read_text() == MARK


def test_a_cache_that_cannot_be_written_remembers_nothing(files, settled, cache):
    cache.write_text("a file where the folder should be")
    remembered(files)
    assert recalled(files) == {}
    assert np.array_equal(FileMemory(KIND).recall(files)[0], [])
