"""Tables of hashes: found again, merged, damaged, written by many, and large without much memory."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from tlkit.cache import hash_table
from tlkit.cache.hash_table import TABLE, HashTables, HexColumn, RowKind, as_hashes
from tlkit.cache.stored_folder import CacheFolder

KIND = RowKind("numbers", (("number", "<u8"),))


def digest(number):
    return hashlib.sha256(b"%d" % number).hexdigest()


def rows_of(numbers, add=0, digests=digest):
    numbers = list(numbers)
    return KIND.make_rows(as_hashes(map(digests, numbers)), number=np.array(numbers) + add)


def found_in(tables, numbers, digests=digest):
    numbers = list(numbers)
    positions, rows = tables.find(as_hashes(map(digests, numbers)))
    return {
        numbers[position]: number for position, number in zip(positions.tolist(), rows["number"].tolist(), strict=True)
    }


def files_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_rows_are_found_at_once_and_after_opening_again(tmp_path):
    tables = HashTables(CacheFolder(tmp_path), KIND)
    tables.add(rows_of(range(1000)))
    for opened in (tables, HashTables(CacheFolder(tmp_path), KIND)):
        assert found_in(opened, range(990, 1010)) == {number: number for number in range(990, 1000)}
        assert len(opened) == 1000
    assert found_in(tables, []) == {}
    assert all(map(TABLE.fullmatch, files_in(tmp_path)))


def test_a_folder_that_is_not_there_has_no_rows(tmp_path):
    assert found_in(HashTables(CacheFolder(tmp_path / "none"), KIND), [1]) == {}


def test_hashes_that_begin_alike_are_told_apart(tmp_path):
    def alike(number):
        return f"{number % 5:064x}" if number < 5 else f"{number:064x}"

    tables = HashTables(CacheFolder(tmp_path), KIND)
    tables.add(rows_of(range(0, 100, 2), digests=alike))
    assert found_in(tables, range(100), alike) == {number: number for number in range(0, 100, 2)}


@pytest.mark.parametrize("block", [7, 1 << 20])
def test_tables_stay_few_and_keep_every_row(tmp_path, block, monkeypatch):
    monkeypatch.setattr(hash_table, "BLOCK_ROWS", block)
    tables = HashTables(CacheFolder(tmp_path), KIND)
    for start in range(0, 1000, 20):
        tables.add(rows_of(range(start, start + 20)))
        assert len(files_in(tmp_path)) == len(tables.tables) <= 6
    assert found_in(HashTables(CacheFolder(tmp_path), KIND), range(1000)) == {number: number for number in range(1000)}


def test_the_newest_row_of_a_hash_counts_merged_or_not(tmp_path):
    tables = HashTables(CacheFolder(tmp_path), KIND)
    tables.add(rows_of(range(100)))
    tables.add(rows_of([7], add=1000))
    assert len(tables.tables) == 2
    assert found_in(tables, [6, 7]) == {6: 6, 7: 1007}
    tables.add(rows_of(range(200, 400)))
    assert len(tables.tables) == 1
    assert found_in(HashTables(CacheFolder(tmp_path), KIND), [6, 7]) == {6: 6, 7: 1007}


def test_a_table_covers_files_until_they_are_gone(tmp_path):
    tables = HashTables(CacheFolder(tmp_path), KIND)
    tables.add(rows_of([1]), ["a", "b"])
    tables.add(rows_of([2]), ["c"], ["a", "b"])
    assert HashTables(CacheFolder(tmp_path), KIND).covers == {"c"}


def test_what_others_add_is_found_after_refresh_and_what_they_merge_stays_readable(tmp_path):
    reader, writer = HashTables(CacheFolder(tmp_path), KIND), HashTables(CacheFolder(tmp_path), KIND)
    writer.add(rows_of([1]))
    assert found_in(reader, [1]) == {}
    reader.refresh()
    assert found_in(reader, [1]) == {1: 1}
    writer.add(rows_of([2, 3]))
    assert found_in(reader, [1, 2]) == {1: 1}  # from a file that was removed
    reader.refresh()
    assert found_in(reader, [1, 2]) == {1: 1, 2: 2}


def test_the_same_rows_written_twice_are_one_file(tmp_path):
    first, second = HashTables(CacheFolder(tmp_path), KIND), HashTables(CacheFolder(tmp_path), KIND)
    first.add(rows_of(range(9)), ["a"])
    second.add(rows_of(range(9)), ["a"])
    assert len(files_in(tmp_path)) == 1


PROGRAM = """
import sys
from pathlib import Path
from tests.cache.test_hash_table import KIND, CacheFolder, HashTables, rows_of
first = int(sys.argv[2])
for start in range(first, first + 400, 10):
    tables = HashTables(CacheFolder(Path(sys.argv[1])), KIND)
    tables.add(rows_of(range(start, start + 10)))
"""


def test_processes_that_add_at_once_lose_nothing(tmp_path):
    words = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    processes = [subprocess.Popen([*words, str(1000 * number)]) for number in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    expected = [number + 1000 * process for process in range(3) for number in range(400)]
    assert found_in(HashTables(CacheFolder(tmp_path), KIND), expected) == {number: number for number in expected}
    assert all(map(TABLE.fullmatch, files_in(tmp_path)))


@pytest.mark.parametrize("step", [1, 13])
def test_a_damaged_byte_hides_a_row_or_the_table_and_never_changes_a_row(tmp_path, step):
    HashTables(CacheFolder(tmp_path), KIND).add(rows_of(range(20)), ["a"])
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    num_lost = 0
    for position in range(step - 1, len(whole), step * 7):
        content = bytearray(whole)
        content[position] ^= 1 << position % 8
        file.write_bytes(content)
        found = found_in(HashTables(CacheFolder(tmp_path), KIND), range(20))
        assert all(number == value for number, value in found.items())
        num_lost += 20 - len(found)
    assert num_lost


@pytest.mark.parametrize("length", [0, 1, 20, -1])
def test_a_table_that_is_cut_short_is_removed(tmp_path, length):
    HashTables(CacheFolder(tmp_path), KIND).add(rows_of(range(20)))
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:length])
    assert found_in(HashTables(CacheFolder(tmp_path), KIND), range(20)) == {}
    assert files_in(tmp_path) == []


def test_a_table_of_another_kind_is_not_read(tmp_path):
    HashTables(CacheFolder(tmp_path), KIND).add(rows_of(range(20)))
    other = RowKind("others", KIND.fields)
    assert len(HashTables(CacheFolder(tmp_path), other)) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_neither_links_nor_foreign_files_are_opened_or_removed(tmp_path):
    HashTables(CacheFolder(tmp_path / "real"), KIND).folder.path.mkdir()
    HashTables(CacheFolder(tmp_path / "real"), KIND).add(rows_of(range(20)))
    (file,) = (tmp_path / "real").iterdir()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / file.name).symlink_to(file)
    (tmp_path / "linked" / "mine.table").write_text("mine")
    os.mkfifo(tmp_path / "linked" / f"{'0' * 32}.table")
    before = files_in(tmp_path / "linked")
    assert len(HashTables(CacheFolder(tmp_path / "linked"), KIND)) == 0
    assert files_in(tmp_path / "linked") == before


def test_a_column_of_hashes_reads_like_the_texts(monkeypatch):
    monkeypatch.setattr(hash_table, "HEX_ROWS", 7)
    texts = [digest(number) for number in range(30)]
    column = HexColumn(as_hashes(texts))
    assert column == texts
    assert tuple(texts) == column
    assert column != texts[:-1] and column != [*texts[:-1], texts[0]]
    assert (column[3], column[-1], list(column[2:4]), list(column[[5, 1]])) == (
        *(texts[3], texts[-1], texts[2:4]),
        [texts[5], texts[1]],
    )
    assert (texts[4] in column, column.index(texts[9])) == (True, 9)
    assert as_hashes(column) is column.hashes
