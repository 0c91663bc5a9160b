from pathlib import Path

import pytest

from tests.data.sources.making import write_parquet, write_tars
from tlkit.data.sources.files import read_file
from tlkit.data.sources.members import is_member, shard_of
from tlkit.errors import ImageError
from tlkit.utils.storage import RemotePath


def test_a_path_into_a_shard_is_known_by_its_form(tmp_path):
    for path in (tmp_path / "a.tar::x/1.jpg", RemotePath("s3://b/a.TAR::1.jpg"), Path("a.parquet::7")):
        assert is_member(path)
        assert str(path).startswith(f"{shard_of(path)}::")
    for path in (tmp_path / "a.tar", tmp_path / "a::b.jpg", RemotePath("s3://b/a.zip::1.jpg"), Path("a.tar::")):
        assert not is_member(path)
        assert shard_of(path) == path


def test_a_file_that_has_such_a_name_is_itself(tmp_path):
    (tmp_path / "a.tar::x.jpg").write_bytes(b"itself")
    assert not is_member(tmp_path / "a.tar::x.jpg")
    assert read_file(tmp_path / "a.tar::x.jpg") == b"itself"


@pytest.mark.parametrize(
    "name", ["none.tar::x.jpg", "photos-0000.tar::none.jpg", "t.parquet::99", "t.parquet::x", "t.parquet::-1"]
)
def test_what_is_not_there_is_an_error_of_the_image(tmp_path, colors, s3, name):
    write_tars(colors, tmp_path / "data", count=1)
    write_parquet(colors, tmp_path / "data" / "t.parquet")
    for root in (tmp_path / "data", RemotePath(s3.upload(tmp_path / "data", f"s3://members/{tmp_path.name}"))):
        with pytest.raises(ImageError, match="does not exist"):
            read_file(root / name)


def test_damaged_shards_are_errors_of_the_image(tmp_path):
    for name in ("x.tar", "x.parquet"):
        (tmp_path / name).write_bytes(b"damaged" * 500)
    for name in ("x.tar::1.jpg", "x.parquet::1"):
        with pytest.raises(ImageError, match="is in a shard that is damaged"):
            read_file(tmp_path / name)
