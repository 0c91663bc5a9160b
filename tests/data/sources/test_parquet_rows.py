from concurrent.futures import ThreadPoolExecutor

import pyarrow
import pytest
from pyarrow import parquet

from tests.data.sources.making import classes_of, write_parquet
from tlkit.data.sources import parquet_rows
from tlkit.data.sources.parquet_rows import image_columns, read_columns, read_row_image
from tlkit.errors import ImageError
from tlkit.utils.storage import RemotePath


def test_columns_are_found_by_their_kind(colors, tmp_path):
    columns = image_columns(write_parquet(colors, tmp_path / "a.parquet"))
    assert (columns.image, columns.has_paths, columns.others) == ("image", True, ("label",))
    assert columns.class_names == {"label": ["blue", "green", "red"]}
    assert not image_columns(write_parquet(colors, tmp_path / "b.parquet", names=False, paths=False)).class_names
    parquet.write_table(pyarrow.table({"path": ["a"], "label": ["x"]}), tmp_path / "c.parquet")
    assert image_columns(tmp_path / "c.parquet") is None
    (tmp_path / "d.parquet").write_bytes(b"no parquet")
    assert image_columns(tmp_path / "d.parquet") is None


def test_labels_are_read_without_the_images(colors, tmp_path):
    file = write_parquet(colors, tmp_path / "a.parquet")
    names, rows = read_columns(file, image_columns(file), ["label"])
    assert names == [f"{number}.png" for number in range(36)]
    assert [row["label"] for row in rows] == [number // 12 for number in range(36)]


def test_rows_are_read_in_any_order_by_many_threads(colors, tmp_path, s3):
    file = write_parquet(colors, tmp_path / "t" / "a.parquet", rows=5)
    remote = RemotePath(s3.upload(tmp_path / "t", "s3://rows")) / "a.parquet"
    expected = [path.read_bytes() for path, _ in classes_of(colors)]
    order = [number * 7 % 36 for number in range(72)]
    for shard in (file, remote):
        with ThreadPoolExecutor(8) as pool:
            read = list(pool.map(lambda row, shard=shard: read_row_image(shard, f"{row}.png", 1 << 20), order))
        assert read == [expected[row] for row in order]


def test_few_row_groups_stay_in_memory(colors, tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_rows, "KEPT_BYTES", 1)
    file = write_parquet(colors, tmp_path / "a.parquet", rows=3)
    for row in range(36):
        read_row_image(file, str(row), 1 << 20)
    assert len(parquet_rows._groups) == 1


def test_rows_without_an_image_or_with_a_large_one(tmp_path):
    structs = [{"bytes": None, "path": "x.jpg"}, {"bytes": b"12345", "path": None}]
    parquet.write_table(pyarrow.table({"image": structs, "label": [0, 1]}), tmp_path / "a.parquet")
    with pytest.raises(ImageError, match="is missing in its row"):
        read_row_image(tmp_path / "a.parquet", "0.jpg", 100)
    with pytest.raises(ImageError, match="at most"):
        read_row_image(tmp_path / "a.parquet", "1", 3)
    assert read_row_image(tmp_path / "a.parquet", "1", 5) == b"12345"
