from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from tlkit.features import store as features
from tlkit.features.store import FeatureKey, FeatureRecord, FeatureStore

KEY = FeatureKey(1, "crop", 64, "litert", "1.0", "float32", "ab" * 32, "features")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def rows_of(*numbers, shape=(4,), kind=np.float32):
    return [
        FeatureRecord(f"{number:064x}", f"{number + 1000:032x}", np.full(shape, number, dtype=kind))
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


@pytest.mark.parametrize("kind", [np.float32, np.uint8])
@pytest.mark.parametrize("shape", [(4,), (3, 2, 5)])
def test_rows_are_found_at_once_and_after_reopening(shape, kind):
    random = np.random.default_rng(0)
    rows = [replace(row, values=random.integers(0, 9, shape).astype(kind)) for row in rows_of(1, 2, 3)]
    table = FeatureStore(KEY)
    table.add(rows)
    for opened in (table, FeatureStore(KEY)):
        for row in rows:
            found = opened.find(row.sha256)
            assert (found.sha256, found.group) == (row.sha256, row.group)
            assert (found.values.dtype, found.values.shape) == (kind, shape)
            np.testing.assert_array_equal(found.values, row.values)


def test_an_unknown_file_is_not_found():
    assert filled(1).find(name(2)) is None
    assert FeatureStore(KEY).find(name(2)) is None


def test_shards_of_several_runs_are_read_together():
    filled(1, 2)
    filled(3)
    table = FeatureStore(KEY)
    assert len(shards()) == 2
    assert [table.find(name(number)).values[0] for number in (1, 2, 3)] == [1, 2, 3]


def test_two_tables_open_at_once_do_not_harm_each_other():
    first, second = FeatureStore(KEY), FeatureStore(KEY)
    first.add(rows_of(1))
    second.add(rows_of(1, 2))
    table = FeatureStore(KEY)
    assert table.damaged == 0
    assert [table.find(name(number)).values[0] for number in (1, 2)] == [1, 2]


def test_nothing_to_add_writes_nothing(cache):
    FeatureStore(KEY).add([])
    assert not cache.exists()


def test_infinite_and_undefined_values_are_kept_as_they_are():
    values = np.array([np.inf, -np.inf, np.nan, np.finfo(np.float32).tiny], np.float32)
    FeatureStore(KEY).add([FeatureRecord(name(1), "0" * 32, values)])
    np.testing.assert_array_equal(FeatureStore(KEY).find(name(1)).values, values)


# gathering


def test_values_are_gathered_in_the_order_asked_for():
    filled(1, 2, 3)
    filled(4, 5)
    gathered = FeatureStore(KEY).gather([name(number) for number in (5, 1, 4, 1, 3)])
    assert gathered.shape == (5, 4)
    assert gathered[:, 0].tolist() == [5, 1, 4, 1, 3]


def test_gathering_what_is_not_there_is_an_error():
    with pytest.raises(KeyError):
        filled(1).gather([name(2)])


# keys


@pytest.mark.parametrize("field", [field.name for field in fields(FeatureKey)])
def test_another_value_of_any_part_of_the_key_misses(field):
    filled(1)
    value = getattr(KEY, field)
    other = replace(KEY, **{field: value + 1 if isinstance(value, int) else f"{value}x"})
    assert FeatureStore(other).find(name(1)) is None
    assert FeatureStore(KEY).find(name(1)) is not None


def test_parts_of_a_key_do_not_run_into_each_other():
    assert replace(KEY, engine="ab", engine_version="c").digest != replace(KEY, engine="a", engine_version="bc").digest


# damage


@pytest.mark.parametrize("place", [0, 20, 200, -1])
def test_one_flipped_byte_removes_the_shard_and_is_counted(place):
    filled(1, 2)
    filled(3)
    kept, hurt = shards()
    content = bytearray(hurt.read_bytes())
    content[place] ^= 1
    hurt.write_bytes(content)
    table = FeatureStore(KEY)
    assert table.damaged == 1
    assert shards() == [kept]
    assert sum(table.find(name(number)) is not None for number in (1, 2, 3)) in (1, 2)
    assert FeatureStore(KEY).damaged == 0


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_a_truncated_shard_is_removed_and_counted(length):
    filled(1)
    (shard,) = shards()
    shard.write_bytes(shard.read_bytes()[:length])
    table = FeatureStore(KEY)
    assert (table.damaged, table.find(name(1)), shards()) == (1, None, [])


def test_where_no_more_files_can_be_open_nothing_kept_is_lost(monkeypatch):
    """A fault of the moment is no damage: shards that cannot be mapped are read, and none is removed."""
    resource = pytest.importorskip("resource")
    for number in range(40):
        filled(number)
    before = shards()
    monkeypatch.setattr(features, "allow_many_files", lambda: None)
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


def test_this_process_may_have_as_many_files_open_as_it_needs():
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, limits[1]), limits[1]))
    try:
        FeatureStore(KEY)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= min(10_000, limits[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_foreign_file_is_never_taken_for_a_shard():
    filled(1)
    np.save(shards()[0].with_name("foreign.npy"), np.zeros(3))
    table = FeatureStore(KEY)
    assert table.damaged == 0
    assert shards()[0].with_name("foreign.npy").exists()
    assert table.find(name(1)) is not None


def test_a_file_still_being_written_is_left_alone():
    folder = filled(1).folder
    (folder / ".1234.tmp").write_bytes(b"half")
    assert FeatureStore(KEY).damaged == 0
    assert (folder / ".1234.tmp").exists()


def test_after_damage_the_rows_can_be_added_again():
    filled(1)
    shards()[0].write_bytes(b"")
    filled(1)
    assert FeatureStore(KEY).find(name(1)).values.tolist() == [1, 1, 1, 1]


# no place to write


def test_where_the_cache_cannot_be_written_rows_stay_in_memory(cache):
    cache.write_text("a file where the folder should be")
    table = filled(1, 2)
    table.add(rows_of(3))
    assert table.gather([name(3), name(1)])[:, 0].tolist() == [3, 1]
    assert table.find(name(2)).group == f"{1002:032x}"
    assert FeatureStore(KEY).find(name(1)) is None
