"""A cache on object storage: what machines have in common, what a copy holds, what happens when the store fails."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.filling import KEY, NUM_RECORDS, record
from tests.object_store import set_environment
from tlkit.cache.stored_folder import CacheFolder, cache_folder, stored_sizes
from tlkit.errors import StorageError
from tlkit.features import store as store_module
from tlkit.features.store import SHARD, SHARD_FILES, FeatureStore
from tlkit.utils.storage import RemotePath, read_bytes

READ_ONLY = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket", "s3:HeadObject"], "Resource": "*"}


@pytest.fixture
def machine(s3, tmp_path, monkeypatch):
    """Choose the machine that the test goes on as: each has its own copy of one cache."""
    s3.empty_bucket("cache")
    monkeypatch.setenv("TLKIT_CACHE", "s3://cache/of/tlkit")

    def go_on_as(name):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        return tmp_path / name

    go_on_as("first")
    return go_on_as


def values_of(numbers):
    return {number: record(number).values.tobytes() for number in numbers}


def found_in(store, numbers):
    found = {number: store.find(f"{number:064x}") for number in numbers}
    return {number: item.values.tobytes() for number, item in found.items() if item}


def shards_of(folder):
    return sorted(file.name for file in folder.rglob("*.npy"))


def test_a_folder_of_this_machine_is_itself(monkeypatch, tmp_path):
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path))
    folder = cache_folder("features", "key")
    assert (folder.path, folder.origin) == (tmp_path / "features" / "key", None)
    assert stored_sizes([SHARD_FILES]) == {}


def test_a_file_that_goes_away_while_a_folder_is_listed_hides_no_other(monkeypatch, tmp_path):
    names = [f"{number:032x}.npy" for number in range(5)]
    for name in names:
        (tmp_path / name).touch()
    look = Path.lstat
    monkeypatch.setattr(Path, "lstat", lambda path: (path.name == names[1] and path.unlink(), look(path))[1])
    assert sorted(CacheFolder(tmp_path).sizes(SHARD)) == [names[0], *names[2:]]


def test_what_one_machine_adds_another_finds_and_fetches_once(machine):
    FeatureStore(KEY).add([record(number) for number in range(4)])
    second = machine("second")
    assert found_in(FeatureStore(KEY), range(5)) == values_of(range(4))
    (copied,) = second.rglob("*.npy")
    before = copied.stat().st_mtime_ns, copied.stat().st_ino
    assert found_in(FeatureStore(KEY), range(5)) == values_of(range(4))
    assert (copied.stat().st_mtime_ns, copied.stat().st_ino) == before


def test_only_the_shards_that_are_asked_for_are_fetched(machine, monkeypatch):
    monkeypatch.setattr(store_module, "JOINED_BYTES", 60_000)  # so that each shard counts as large
    store = FeatureStore(KEY)
    for start in range(0, 20, 5):
        store.add([record(number) for number in range(start, start + 5)])
    store.finish()
    second = machine("second")
    assert len(stored_sizes([SHARD_FILES])) == 1
    assert found_in(FeatureStore(KEY), [7]) == values_of([7])
    assert len(shards_of(second)) == 1
    assert found_in(FeatureStore(KEY), range(20)) == values_of(range(20))


def test_joined_shards_are_found_by_those_who_knew_the_small_ones(machine, s3, monkeypatch):
    first = FeatureStore(KEY)
    for start in range(0, 80, 5):
        first.add([record(number) for number in range(start, start + 5)])
    machine("second")
    second = FeatureStore(KEY)  # has the small ones
    machine("third")
    FeatureStore(KEY).finish()  # joins them
    keys = [key for key in s3.keys("cache") if key.endswith((".npy", ".table"))]
    assert len(keys) == 2
    machine("first")
    assert found_in(first, range(80)) == found_in(second, range(80)) == values_of(range(80))
    assert found_in(FeatureStore(KEY), range(80)) == values_of(range(80))


@pytest.mark.training
def test_processes_of_several_machines_fill_one_cache_and_one_is_killed(machine, tmp_path):
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.filling"], env=os.environ | {"XDG_CACHE_HOME": str(tmp_path / name)}
        )
        for name in "abc"
    ]
    processes[1].kill()
    assert [process.wait(120) for process in processes if process is not processes[1]] == [0, 0]
    store = FeatureStore(KEY)
    assert found_in(store, range(NUM_RECORDS)) == values_of(range(NUM_RECORDS))
    assert store.damaged == 0


def test_a_damaged_copy_is_fetched_again_and_a_damaged_object_is_absent(machine, s3):
    store = FeatureStore(KEY)
    store.add([record(1)])
    (name,) = shards_of(store.folder)
    (store.folder / name).write_bytes(b"damaged")
    assert found_in(FeatureStore(KEY), [1]) == {}  # removed
    assert found_in(FeatureStore(KEY), [1]) == values_of([1])
    (key,) = s3.keys("cache")[-1:]
    s3.client().put_object(Bucket="cache", Key=key, Body=b"damaged")
    machine("second")
    assert found_in(FeatureStore(KEY), [1]) == {}
    store = FeatureStore(KEY)
    store.add([record(2)])
    assert found_in(store, [1, 2]) == values_of([2])


def test_a_file_that_another_machine_has_removed_is_missing(machine):
    folder = CacheFolder(machine("first") / "files", RemotePath("s3://cache/of/files"))
    with pytest.raises(FileNotFoundError):
        folder.fetch("gone.npy")
    assert not folder.path.exists() or list(folder.path.iterdir()) == []
    assert folder.sizes(SHARD) == {}


def test_a_cache_that_may_only_be_read_is_read_and_what_is_new_stays_here(machine, s3, monkeypatch):
    FeatureStore(KEY).add([record(1)])
    keys = s3.keys("cache")
    iam = s3.client("iam")
    iam.create_user(UserName="reader")
    policy = json.dumps({"Version": "2012-10-17", "Statement": [READ_ONLY]})
    iam.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=policy)
    reader = iam.create_access_key(UserName="reader")["AccessKey"]
    machine("second")
    with s3.asking_for_credentials():
        names = {"AWS_ACCESS_KEY_ID": "AccessKeyId", "AWS_SECRET_ACCESS_KEY": "SecretAccessKey"}
        set_environment(monkeypatch, s3.environment() | {name: reader[key] for name, key in names.items()})
        store = FeatureStore(KEY)
        store.add([record(2)])
        assert found_in(store, [1, 2]) == values_of([1, 2])
        store.refresh()
        store.finish()
        assert found_in(store, [1, 2]) == values_of([1, 2])
    set_environment(monkeypatch, s3.environment())
    assert s3.keys("cache") == keys


def test_a_store_that_fails_is_named_and_loses_nothing(machine, s3):
    store = FeatureStore(KEY)
    store.add([record(1)])
    client = s3.empty_bucket("cache")
    client.delete_bucket(Bucket="cache")
    for call in (lambda: FeatureStore(KEY), lambda: store.add([record(2)])):
        with pytest.raises(StorageError, match=r"there is no bucket 's3://cache'"):
            call()
    client.create_bucket(Bucket="cache")
    assert found_in(store, [1]) == values_of([1])
    assert found_in(FeatureStore(KEY), [1, 2]) == {}


def test_a_large_table_travels_in_pieces(machine, monkeypatch):
    monkeypatch.setattr("tlkit.cache.stored_folder.FETCHED_BYTES", 1000)
    monkeypatch.setattr("tlkit.utils.storage.PUT_BYTES", 1000)
    folder = cache_folder("features", "a" * 64)
    folder.path.mkdir(parents=True)
    content = np.random.default_rng(0).bytes(123_456)
    (folder.path / "large").write_bytes(content)
    folder.put("large")
    assert read_bytes(folder.origin / "large", 10**6) == content
    machine("second")
    assert cache_folder("features", "a" * 64).fetch("large").read_bytes() == content
