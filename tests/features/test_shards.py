"""Shards: the file of records, and what is no shard. How stores use them is in test_store.py."""

import numpy as np
import pytest

from tests.making import appearance
from tlkit.features.shards import SHARD, FeatureRecord, count_records, make_shard, open_shard, write_shard


def records(*numbers, kind=np.float32):
    return [
        FeatureRecord(f"{number:064x}", f"{number:032x}", appearance(number), np.full(3, number, kind))
        for number in numbers
    ]


def test_a_shard_is_what_was_written(tmp_path):
    shard = make_shard(records(1, 2, 3))
    name, mapped = write_shard(tmp_path, [shard])
    assert SHARD.fullmatch(f"{name}.npy")
    for opened in (mapped, open_shard(tmp_path / f"{name}.npy"), np.load(tmp_path / f"{name}.npy")):
        assert opened.tobytes() == shard.tobytes()
        assert opened.dtype == shard.dtype
    assert count_records(tmp_path / f"{name}.npy") == 3


def test_a_shard_of_parts_is_the_shard_of_all_their_records(tmp_path):
    whole = write_shard(tmp_path, [make_shard(records(1, 2, 3, 4))])[0]
    parts = [make_shard(records(1)), make_shard(records(2, 3, 4))[:2], make_shard(records(4))]
    assert write_shard(tmp_path, parts)[0] == whole
    assert [file.stem for file in tmp_path.iterdir()] == [whole]


def test_the_widest_precision_of_the_records_counts():
    shard = make_shard([*records(1, kind=np.float16), *records(70_000)])
    assert shard["values"].dtype == np.float32
    assert shard["values"][:, 0].tolist() == [1, 70_000]


@pytest.mark.parametrize("position", [0, 50, 300, -1])
def test_a_changed_byte_is_found(tmp_path, position):
    name, _ = write_shard(tmp_path, [make_shard(records(1, 2))])
    file = tmp_path / f"{name}.npy"
    content = bytearray(file.read_bytes())
    content[position] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match="content"):
        open_shard(file)


def test_a_shard_in_the_folder_of_another_key_is_refused(tmp_path):
    for key in "ab":
        (tmp_path / key).mkdir()
    name, _ = write_shard(tmp_path / "a", [make_shard(records(1, 2))])
    moved = (tmp_path / "a" / f"{name}.npy").rename(tmp_path / "b" / f"{name}.npy")
    with pytest.raises(ValueError, match="content"):
        open_shard(moved)


def test_what_is_no_file_is_an_error_of_the_moment(tmp_path):
    for path in (tmp_path, tmp_path / "none.npy"):
        with pytest.raises(OSError):
            open_shard(path)
        with pytest.raises(OSError):
            count_records(path)
