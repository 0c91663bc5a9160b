"""The table of cached features: found again, ordered, keyed, damaged."""

import math
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from tests.making import appearance, needs_permissions
from tlkit.cache.folder import prune_cache
from tlkit.cache.hash_table import TABLE, as_hashes
from tlkit.data.image import ImageSpec
from tlkit.features import store
from tlkit.features.shards import FeatureRecord
from tlkit.features.store import FeatureKey, FeatureStore, as_half
from tlkit.features.stored import StoredAppearances, StoredFeatures

pytestmark = pytest.mark.usefixtures("cache")

KEY = FeatureKey(1, ImageSpec(64), "litert", "1.0", "float32", "ab" * 32, "features")


def rows_of(*numbers, shape=(4,), kind=np.float32):
    return [
        FeatureRecord(f"{number:064x}", f"{number + 1000:032x}", appearance(number), np.full(shape, number, dtype=kind))
        for number in numbers
    ]


def name(number):
    return f"{number:064x}"


def filled(*numbers):
    table = FeatureStore(KEY)
    table.add(rows_of(*numbers))
    return table


def shards():
    return sorted(FeatureStore(KEY).folder.glob("*.npy"))


# found again


@pytest.mark.parametrize("kind", [np.float32, np.float16, np.uint8])
@pytest.mark.parametrize("shape", [(4,), (3, 2, 5)])
def test_find_gives_rows_at_once_and_after_reopening(shape, kind):
    random = np.random.default_rng(0)
    rows = [replace(row, values=random.integers(0, 9, shape).astype(kind)) for row in rows_of(1, 2, 3)]
    table = FeatureStore(KEY)
    table.add(rows)
    for opened in (table, FeatureStore(KEY)):
        for row in rows:
            found = opened.find(row.sha256)
            assert (found.sha256, found.digest) == (row.sha256, row.digest)
            assert (found.values.dtype, found.values.shape) == (kind, shape)
            np.testing.assert_array_equal(found.values, row.values)


def test_find_of_an_unknown_file_gives_none():
    assert filled(1).find(name(2)) is None
    assert FeatureStore(KEY).find(name(2)) is None


def test_store_reads_shards_of_several_runs_together():
    filled(1, 2)
    filled(3)
    table = FeatureStore(KEY)
    assert len(shards()) == 2
    assert [table.find(name(number)).values[0] for number in (1, 2, 3)] == [1, 2, 3]


def test_store_open_twice_at_once_harms_nothing():
    first, second = FeatureStore(KEY), FeatureStore(KEY)
    first.add(rows_of(1))
    second.add(rows_of(1, 2))
    table = FeatureStore(KEY)
    assert table.damaged == 0
    assert [table.find(name(number)).values[0] for number in (1, 2)] == [1, 2]


def test_add_of_nothing_writes_nothing(cache):
    FeatureStore(KEY).add([])
    assert not cache.exists()


def test_store_keeps_infinite_and_undefined_values():
    values = np.array([np.inf, -np.inf, np.nan, np.finfo(np.float32).tiny], np.float32)
    FeatureStore(KEY).add([FeatureRecord(name(1), "0" * 32, appearance(1), values)])
    np.testing.assert_array_equal(FeatureStore(KEY).find(name(1)).values, values)


# gathering


def test_gather_gives_the_order_asked_for():
    filled(1, 2, 3)
    filled(4, 5)
    gathered = FeatureStore(KEY).gather([name(number) for number in (5, 1, 4, 1, 3)])
    assert gathered.shape == (5, 4)
    assert gathered[:, 0].tolist() == [5, 1, 4, 1, 3]


def test_gather_of_what_is_missing_is_an_error():
    with pytest.raises(KeyError):
        filled(1).gather([name(2)])


def test_was_cached_is_true_of_what_was_kept_before():
    filled(1)
    table = filled(2)
    assert [table.was_cached(name(number)) for number in (1, 2, 3)] == [True, False, False]
    assert FeatureStore(KEY).was_cached(name(2))


def test_stored_features_index_like_an_array():
    filled(1, 2, 3)
    stored = StoredFeatures(FeatureStore(KEY), [name(number) for number in (3, 1, 2)])
    assert len(stored) == 3
    assert stored[:][:, 0].tolist() == [3, 1, 2]
    assert stored[np.array([2, 0])][:, 0].tolist() == [2, 3]


def test_stored_features_show_every_view_once_before_any_comes_again():
    rows = [replace(row, values=np.arange(3) + 10 * number) for number, row in enumerate(rows_of(1, 2))]
    FeatureStore(KEY).add(rows)
    stored = StoredFeatures(FeatureStore(KEY), [name(1), name(2)], num_views=3)
    epochs = np.array([stored.in_epoch(epoch)[:] for epoch in range(6)])
    np.testing.assert_array_equal(np.sort(epochs[:3], axis=0), [[0, 10], [1, 11], [2, 12]])
    np.testing.assert_array_equal(epochs[3:], epochs[:3])
    assert epochs[0].tolist() == [0, 11]  # neighbors show different views
    assert stored[np.array([1])].tolist() == [11]


def test_as_half_keeps_what_overflows():
    small, large = np.array([1.5, -2], np.float32), np.array([1.5, 1e6], np.float32)
    assert as_half(small).dtype == np.float16
    assert as_half(large) is large


# keys


@pytest.mark.parametrize("field", [field.name for field in fields(FeatureKey)])
def test_key_with_another_value_of_any_part_misses(field):
    filled(1)
    value = getattr(KEY, field)
    other = replace(KEY, **{field: value + 1 if isinstance(value, int) else f"{value}x"})
    assert FeatureStore(other).find(name(1)) is None
    assert FeatureStore(KEY).find(name(1)) is not None


def test_key_parts_do_not_run_into_each_other():
    assert replace(KEY, engine="ab", engine_version="c").digest != replace(KEY, engine="a", engine_version="bc").digest


# damage


@pytest.mark.parametrize("position", [0, 20, 200, -1])
def test_shard_with_one_flipped_byte_is_removed_and_counted(position):
    filled(1, 2)
    filled(3)
    kept, hurt = shards()
    content = bytearray(hurt.read_bytes())
    content[position] ^= 1
    hurt.write_bytes(content)
    table = FeatureStore(KEY)
    assert table.damaged == 1
    assert shards() == [kept]
    assert sum(table.find(name(number)) is not None for number in (1, 2, 3)) in (1, 2)
    assert FeatureStore(KEY).damaged == 0


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_shard_that_is_truncated_is_removed_and_counted(length):
    filled(1)
    (shard,) = shards()
    shard.write_bytes(shard.read_bytes()[:length])
    table = FeatureStore(KEY)
    assert (table.damaged, table.find(name(1)), shards()) == (1, None, [])


def test_store_where_no_more_files_can_be_open_loses_nothing(monkeypatch):
    """A fault of the moment is no damage: shards that cannot be mapped are read, and none is removed."""
    resource = pytest.importorskip("resource")
    for number in range(40):
        filled(number)
    before = shards()
    monkeypatch.setattr(store, "raise_open_file_limit", lambda: None)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = max(int(file.name) for file in Path("/dev/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (opened + 20, limits[1]))
    try:
        table = FeatureStore(KEY)
        found = [table.find(name(number)) for number in range(40)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    del table
    assert shards() == before
    assert [row.values[0] for row in found if row] == [number for number, row in enumerate(found) if row]
    assert all(FeatureStore(KEY).find(name(number)) for number in range(40))


def test_store_raises_the_limit_of_open_files():
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, limits[1]), limits[1]))
    try:
        FeatureStore(KEY)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= min(10_000, limits[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_store_takes_no_foreign_file_for_a_shard():
    filled(1)
    np.save(shards()[0].with_name("foreign.npy"), np.zeros(3))
    table = FeatureStore(KEY)
    assert table.damaged == 0
    assert shards()[0].with_name("foreign.npy").exists()
    assert table.find(name(1)) is not None


def test_store_leaves_a_file_that_is_being_written():
    folder = filled(1).folder
    (folder / ".1234.tmp").write_bytes(b"half")
    assert FeatureStore(KEY).damaged == 0
    assert (folder / ".1234.tmp").exists()


def test_add_after_damage_keeps_the_rows_again():
    filled(1)
    shards()[0].write_bytes(b"")
    filled(1)
    assert FeatureStore(KEY).find(name(1)).values.tolist() == [1, 1, 1, 1]


# no place to write


def test_store_where_the_cache_cannot_be_written_keeps_rows_in_memory(cache):
    cache.write_text("a file where the folder should be")
    table = filled(1, 2)
    table.add(rows_of(3))
    assert table.gather([name(3), name(1)])[:, 0].tolist() == [3, 1]
    assert table.find(name(2)).digest == f"{1002:032x}"
    assert FeatureStore(KEY).find(name(1)) is None


@needs_permissions
def test_store_in_a_cache_that_may_not_be_read_keeps_records_in_memory(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir(mode=0o000)
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "closed" / "cache"))
    assert filled(1).find(name(1)) is not None
    (tmp_path / "closed").chmod(0o755)
    assert list((tmp_path / "closed").iterdir()) == []


# tables, joined shards


@pytest.fixture
def joined_early(monkeypatch):
    """Stores join shards of some kilobytes."""
    monkeypatch.setattr(store, "JOINED_BYTES", 20_000)


def tables_in(folder):
    return [file for file in folder.iterdir() if TABLE.fullmatch(file.name)]


def values_in(table, numbers):
    return [None if (row := table.find(name(number))) is None else int(row.values[0]) for number in numbers]


def test_many_small_shards_become_a_few_with_tables_that_find_everything(joined_early):
    table = FeatureStore(KEY)
    for number in range(100):
        table.add(rows_of(number))
        assert values_in(table, [number, 0, 100]) == [number, 0, None]
    assert len(shards()) <= 25
    assert 1 <= len(tables_in(table.folder)) <= 5
    opened = FeatureStore(KEY)
    assert values_in(opened, range(101)) == [*range(100), None]
    assert opened.gather(map(name, [99, 0, 50]))[:, 0].tolist() == [99, 0, 50]
    assert opened.was_cached(name(3)) and not opened.was_cached(name(100))


def test_finish_joins_many_shards_and_leaves_few(monkeypatch):
    monkeypatch.setattr(store, "LOOSE_SHARDS", 5)
    filled(0, 1)
    for number in range(2, 5):
        filled(number)
    FeatureStore(KEY).finish()
    assert (len(shards()), len(tables_in(FeatureStore(KEY).folder))) == (4, 0)
    last = filled(5)
    last.finish()
    assert (len(shards()), len(tables_in(last.folder))) == (1, 1)
    for table in (last, FeatureStore(KEY)):
        assert values_in(table, range(7)) == [*range(6), None]
    before = everything_in(last.folder)
    FeatureStore(KEY).finish()
    assert everything_in(last.folder) == before


def everything_in(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_store_with_a_table_opens_no_shard_until_it_is_needed(monkeypatch):
    monkeypatch.setattr(store, "LOOSE_RECORDS", 1)
    filled(1, 2).finish()
    monkeypatch.setattr(store, "open_shard", lambda file: pytest.fail("opened"))
    table = FeatureStore(KEY)
    assert table.find(name(3)) is None
    with pytest.raises(pytest.fail.Exception):
        table.find(name(1))


def test_a_damaged_shard_with_a_table_counts_when_it_is_first_read(monkeypatch):
    monkeypatch.setattr(store, "LOOSE_RECORDS", 1)
    filled(1, 2).finish()
    (shard,) = shards()
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    table = FeatureStore(KEY)
    assert table.damaged == 0
    assert not table.was_cached(name(1))
    assert values_in(table, [1, 2]) == [None, None]
    assert (table.damaged, shards()) == (1, [])
    table.add(rows_of(1, 2))
    assert values_in(table, [1, 2]) == values_in(FeatureStore(KEY), [1, 2]) == [1, 2]


def test_tables_that_are_lost_or_damaged_are_made_again(monkeypatch):
    monkeypatch.setattr(store, "LOOSE_RECORDS", 4)
    filled(1, 2, 3, 4).finish()
    (file,) = tables_in(FeatureStore(KEY).folder)
    for harm in (file.unlink, lambda: file.write_bytes(b"x" * 100)):
        harm()
        table = FeatureStore(KEY)
        assert values_in(table, range(1, 6)) == [1, 2, 3, 4, None]
        assert tables_in(table.folder) == []
        table.finish()
        assert tables_in(table.folder) == [file]


def test_a_reader_survives_that_others_join_and_remove_shards(monkeypatch):
    monkeypatch.setattr(store, "LOOSE_RECORDS", 1)
    filled(1, 2).finish()
    early = FeatureStore(KEY)  # has opened no shard
    held = FeatureStore(KEY)
    held.gather([name(1)])
    monkeypatch.setattr(store, "LOOSE_SHARDS", 2)
    filled(3, 4).finish()
    assert len(shards()) == 1
    for table in (early, held, FeatureStore(KEY)):
        assert table.gather([name(2), name(1)])[:, 0].tolist() == [2, 1]
    assert values_in(early, [3, 4]) == [3, 4]  # it has looked again
    held.refresh()
    assert values_in(held, [3, 4]) == [3, 4]


def test_refresh_finds_what_others_have_added_and_that_was_not_cached_before():
    reader = FeatureStore(KEY)
    filled(1, 2)
    assert reader.find(name(1)) is None
    reader.refresh()
    assert values_in(reader, [1, 2]) == [1, 2]
    assert not reader.was_cached(name(1))


def test_what_is_pruned_meanwhile_is_read_where_it_was_opened_and_absent_elsewhere(monkeypatch):
    monkeypatch.setattr(store, "LOOSE_RECORDS", 1)
    filled(1, 2).finish()
    held, late = FeatureStore(KEY), FeatureStore(KEY)
    held.find(name(1))
    prune_cache([store.SHARD_FILES], math.inf, 0)
    assert not held.folder.exists()
    assert held.gather([name(2)])[:, 0].tolist() == [2]
    assert values_in(late, [1, 2]) == [None, None]
    late.add(rows_of(1))
    assert values_in(FeatureStore(KEY), [1, 2]) == [1, None]


def test_records_that_two_processes_have_added_are_joined_once(monkeypatch):
    monkeypatch.setattr(store, "LOOSE_SHARDS", 2)
    filled(1, 2, 3)
    FeatureStore(KEY).add(rows_of(3, 4))
    FeatureStore(KEY).finish()
    (shard,) = shards()
    assert len(np.load(shard)) == 4
    assert values_in(FeatureStore(KEY), [1, 2, 3, 4]) == [1, 2, 3, 4]


def test_shards_of_several_precisions_are_not_joined_with_each_other(monkeypatch):
    monkeypatch.setattr(store, "LOOSE_SHARDS", 2)
    for number in range(6):
        FeatureStore(KEY).add(rows_of(number, kind=np.float16 if number % 2 else np.float32))
    FeatureStore(KEY).finish()
    assert len(shards()) == 2
    table = FeatureStore(KEY)
    assert [table.find(name(number)).values.dtype for number in (0, 1)] == [np.float32, np.float16]
    assert table.gather(map(name, range(6)))[:, 0].tolist() == [0, 1, 2, 3, 4, 5]


def test_find_digests_and_appearances_of_what_is_cached(monkeypatch):
    monkeypatch.setattr(store, "LOOSE_RECORDS", 3)
    filled(1, 2, 3).finish()
    table = filled(7)
    asked = as_hashes(map(name, (9, 7, 2, 8, 1)))
    positions, digests = table.find_digests(asked)
    assert positions.tolist() == [1, 2, 4]
    assert [bytes(digest).hex() for digest in digests] == [f"{number + 1000:032x}" for number in (7, 2, 1)]
    assert table.find_positions(asked).tolist() == [1, 2, 4]
    expected = np.array([appearance(number) for number in (7, 2, 1)])
    stored = StoredAppearances(table, asked)
    for looks in (table.appearances(asked[[1, 2, 4]]), stored[np.array([1, 2, 4])]):
        assert len(looks) == 3
        for field in ("thumbnail", "width", "sharpness"):
            np.testing.assert_array_equal(looks[field], expected[field])
    with pytest.raises(KeyError):
        stored["width"]


def test_count_cached_counts_keys_and_records():
    filled(1, 2)
    FeatureStore(replace(KEY, cut="other")).add(rows_of(1))
    assert store.count_cached() == {"keys": 2, "records": 3}
