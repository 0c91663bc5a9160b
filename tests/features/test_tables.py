"""Tables of features: rows read in blocks, and files beside each other or in an object store."""

import csv
import io

import numpy as np
import pytest

parquet = pytest.importorskip("pyarrow.parquet")

from tlkit.errors import OptionError, StorageError
from tlkit.features import tables
from tlkit.features.compress import Codec, ProductQuantizer, Projection
from tlkit.features.tables import Table, check_file, write_table
from tlkit.utils.locations import RemotePath

PROJECTION = Projection(np.ones(4, np.float32), np.eye(2, 4, dtype=np.float32), np.full(2, 0.5, np.float32))
QUANTIZER = ProductQuantizer(np.arange(6, dtype=np.float32).reshape(1, 3, 2))
FEATURES = np.arange(40, dtype=np.float16).reshape(10, 4)
CODECS = {"features": Codec(), "components": Codec(PROJECTION), "codes": Codec(PROJECTION, QUANTIZER)}


def table_of(codec):
    names = [f"a/{number}.png" for number in range(10)], ["a"] * 10, ["train"] * 9 + ["validation"]
    return Table(names, FEATURES, {"seed": 0}, codec)


def opened(content):
    with np.load(content, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


@pytest.mark.parametrize("kind", CODECS)
def test_rows_are_those_of_parts_of_any_size(kind, monkeypatch):
    table, whole = table_of(CODECS[kind]), table_of(CODECS[kind]).rows
    assert whole.dtype == (np.uint8 if kind == "codes" else np.float32)
    assert whole.shape == (len(table), table.num_values) == (10, {"features": 4, "components": 2, "codes": 1}[kind])
    parts = [table.part(start, start + 3) for start in range(0, 10, 3)]
    assert np.array_equal(np.concatenate([part.rows for part in parts]), whole)
    assert [name for part in parts for name in part.names[0]] == table.names[0]
    monkeypatch.setattr(tables, "BLOCK_ROWS", 3)
    assert np.array_equal(table.rows, whole)
    if kind == "components":
        assert np.array_equal(whole, FEATURES[:, :2].astype(np.float32) - 1)


def test_columns_are_named_by_what_they_are():
    assert table_of(Codec()).columns == [f"feature_{index}" for index in range(4)]
    assert table_of(CODECS["codes"]).columns == ["code_0"]


def test_write_table_leaves_neither_file_where_one_cannot_be_written(tmp_path):
    for taken in ("t.csv", "u.learnt.npz"):
        (tmp_path / taken).mkdir()
        with pytest.raises(OptionError):
            write_table(table_of(CODECS["codes"]), tmp_path / f"{taken[0]}.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv", "u.learnt.npz"]
    write_table(table_of(CODECS["codes"]), tmp_path / "v.csv")
    assert np.array_equal(opened(tmp_path / "v.learnt.npz")["centers"], QUANTIZER.centers)


def test_check_file_finds_the_codec_of_another_table_in_the_way_only_where_there_is_a_codec(tmp_path):
    (tmp_path / "t.learnt.npz").write_bytes(b"of another table")
    check_file(tmp_path / "t.csv", has_codec=False)
    assert write_table(table_of(Codec()), tmp_path / "t.csv") == [tmp_path / "t.csv"]
    assert (tmp_path / "t.learnt.npz").read_bytes() == b"of another table"
    check_file(tmp_path / "t.npz", has_codec=True)  # which holds its own
    with pytest.raises(OptionError, match=r"t\.learnt\.npz' already exists"):
        check_file(tmp_path / "t.parquet", has_codec=True)


@pytest.mark.parametrize("ending", [".npz", ".csv", ".parquet"])
def test_a_file_in_an_object_store_has_the_bytes_of_one_on_disk(s3, tmp_path, ending):
    client = s3.empty_bucket("tables")
    uri, table = RemotePath(f"s3://tables/some/t{ending}"), table_of(CODECS["codes"])
    check_file(uri, has_codec=True)
    for file in (uri, tmp_path / f"t{ending}"):
        written = write_table(table, file, "excel")
    assert s3.keys("tables") == sorted(f"some/{file.name}" for file in written)
    for file in written:
        content = client.get_object(Bucket="tables", Key=f"some/{file.name}")["Body"].read()
        assert content == file.read_bytes()
        assert content
    with pytest.raises(OptionError, match="already exists"):
        check_file(uri, has_codec=True)
    with pytest.raises(OptionError, match="already exists"):
        write_table(table, uri)
    with pytest.raises(StorageError, match="there is no bucket"):
        check_file(RemotePath(f"s3://nowhere/t{ending}"), has_codec=True)


def test_names_that_are_not_utf_8_are_escaped_in_parquet_and_stay_in_csv(tmp_path):
    table = Table((["caf\udce9.png"], ["a"], ["train"]), FEATURES[:1], {})
    for ending in (".csv", ".parquet"):
        write_table(table, tmp_path / f"t{ending}")
    assert parquet.read_table(tmp_path / "t.parquet").column("path").to_pylist() == ["caf\\xe9.png"]
    lines = io.StringIO((tmp_path / "t.csv").read_bytes().decode("utf-8", "surrogateescape"))
    assert next(csv.DictReader(lines))["path"] == "caf\udce9.png"
