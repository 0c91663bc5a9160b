import pickle
from pathlib import Path, PurePosixPath

import pytest

from tlkit.errors import StorageError
from tlkit.utils.locations import SCHEMES, RemotePath, as_location, is_remote


def test_text_with_a_scheme_is_a_uri_and_all_else_a_path(tmp_path):
    for scheme in SCHEMES:
        assert as_location(f"{scheme}://bucket/a b/c.jpg") == RemotePath(f"{scheme}://bucket/a b/c.jpg")
        assert is_remote(f"{scheme}://bucket/x")
    for path in ("photos", "a/s3:/b", "C:/photos", "", ".", "~x", "weird:name", tmp_path):
        assert as_location(path) == Path(path)
        assert not is_remote(path)
    assert as_location("file:///tmp/my%20photos") == Path("/tmp/my photos")
    assert as_location("file://localhost/tmp/x") == Path("/tmp/x")
    assert not is_remote("file:///tmp/x")


def test_a_location_stays_what_it_is(tmp_path):
    remote = RemotePath("s3://bucket/x")
    assert as_location(remote) is remote
    assert as_location(tmp_path) == tmp_path


def test_parts_of_a_uri_are_those_of_a_path():
    path = RemotePath("s3://bucket/photos/my cat.tar.JPG/")
    assert str(path) == "s3://bucket/photos/my cat.tar.JPG"
    assert (path.scheme, path.authority, path.key) == ("s3", "bucket", "photos/my cat.tar.JPG")
    assert (path.name, path.stem, path.suffix) == ("my cat.tar.JPG", "my cat.tar", ".JPG")
    assert path.parent == RemotePath("S3://bucket/photos")
    assert path.parent.parent == path.parent.parent.parent == RemotePath("s3://bucket")
    assert path.parts == ("s3://bucket", "photos", "my cat.tar.JPG")
    assert path.parent.parent.name == "bucket"
    assert path.relative_to(path.parent) == PurePosixPath("my cat.tar.JPG")
    assert path.is_relative_to(path.parent)
    assert not RemotePath("s3://bucket/photos2").is_relative_to(RemotePath("s3://bucket/photos"))
    with pytest.raises(ValueError, match="not below"):
        RemotePath("s3://bucket/photos2").relative_to(RemotePath("s3://bucket/photos"))


def test_joining_keeps_names_as_they_are():
    root = RemotePath("s3://bucket")
    assert str(root / "a%20b/ü?x#y.jpg") == "s3://bucket/a%20b/ü?x#y.jpg"
    assert root / "a" / Path("b/c.jpg") == root / "a/b/c.jpg"
    assert root / "." == root / "" == root


def test_uris_are_ordered_hashed_and_pickled():
    paths = [RemotePath(f"s3://bucket/{name}") for name in "bca"]
    assert [path.name for path in sorted(paths)] == ["a", "b", "c"]
    assert len({*paths, RemotePath("s3://bucket/a")}) == 3
    assert pickle.loads(pickle.dumps(paths)) == paths
    with pytest.raises(AttributeError):
        paths[0].uri = "s3://other"


@pytest.mark.parametrize("uri", ["az://bucket/x", "https://example.org/x.jpg", "memory://x", "s3:///x", "gs://"])
def test_what_cannot_be_a_location_says_what_is_expected(uri):
    with pytest.raises(StorageError, match=r"expected .*s3://|expected e\.g\."):
        as_location(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "s3://AKIAEXAMPLE:sEcr3t@bucket/x",
        "s3://sEcr3t@bucket/x",
        "s3://AKIAEXAMPLE:/sEcr3t/with/slashes@bucket/x",
        "s3://AKIAEXAMPLE:sEcr3t/with/slashes@bucket/x",
        "abfs://container:sEcr3t/with/slashes@account.dfs.core.windows.net/x",
        "s3://bucket/x?secret_key=sEcr3t",
        "abfs://container:sEcr3t@account.dfs.core.windows.net/x",
        "gs://bucket/x?region=a&token=sEcr3t",
    ],
)
def test_credentials_in_a_uri_are_refused_and_not_repeated(uri):
    with pytest.raises(StorageError, match="credentials in it") as raised:
        as_location(uri)
    assert "sEcr3t" not in str(raised.value)
    assert raised.value.kind == "credentials"


def test_public_buckets_and_the_container_and_account_of_azure_are_no_credentials():
    assert as_location("gs://anonymous@bucket/x").authority == "anonymous@bucket"
    assert as_location("abfs://127.0.0.1:10000/account/container/x").authority == "127.0.0.1:10000"
    path = as_location("abfs://container@account.dfs.core.windows.net/x/y.jpg")
    assert (path.authority, path.key) == ("container@account.dfs.core.windows.net", "x/y.jpg")
