import re

import pytest

from tests.object_store import free_port, set_environment
from tlkit.errors import StorageError
from tlkit.utils.object_stores import explaining
from tlkit.utils.storage import RemotePath, exists, is_folder, list_files_below, open_filesystem, put_new, read_bytes


@pytest.fixture
def bucket(s3, tmp_path):
    """A bucket with one object."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "x.jpg").write_bytes(b"content")
    return RemotePath(s3.upload(tmp_path, "s3://one-object"))


READERS = (
    lambda path: read_bytes(path, 100),
    lambda path: list(list_files_below(path)),
    is_folder,
    exists,
    lambda path: put_new(path / "new", b"x"),
)


def sentence(call, path):
    """The error of a call: its kind and its sentence, which ends as one does and has no traceback."""
    with pytest.raises(StorageError) as raised:
        call(path)
    text = str(raised.value)
    assert text.endswith(".")
    assert "\n" not in text
    assert raised.value.exit_code == 3
    return raised.value.kind, text


@pytest.mark.parametrize("call", READERS)
def test_a_missing_bucket_is_named(bucket, call):
    kind, text = sentence(call, RemotePath("s3://no-such-bucket/photos"))
    assert kind == "bucket"
    assert re.match(r"there is no bucket 's3://no-such-bucket' at http://127\.0\.0\.1:\d+; check its name\.", text)


@pytest.mark.parametrize("call", READERS[:2])
def test_a_missing_key_is_distinguished_from_a_missing_bucket(bucket, call):
    kind, text = sentence(call, bucket / "phtos")
    assert kind == "key"
    assert text == (
        "'s3://one-object/phtos' does not exist, but the bucket 's3://one-object' does; check the part behind it."
    )
    assert not exists(bucket / "phtos")


@pytest.mark.parametrize("call", READERS)
def test_wrong_credentials_are_named_and_never_shown(bucket, s3, call, monkeypatch):
    with s3.asking_for_credentials():
        assert read_bytes(bucket / "photos/x.jpg", 100) == b"content"
        set_environment(monkeypatch, {"AWS_SECRET_ACCESS_KEY": "sEcr3tButWrong"})
        kind, text = sentence(call, bucket / "photos/403.jpg")
        assert kind == "credentials"
        assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in text
        assert "sEcr3t" not in text
        assert s3.access_key not in text
        set_environment(monkeypatch, {"AWS_ACCESS_KEY_ID": "AKIAWRONG", "AWS_SECRET_ACCESS_KEY": s3.secret})
        assert sentence(call, bucket / "photos/x.jpg")[0] == "credentials"


def test_a_store_that_is_not_there_is_named(bucket, monkeypatch):
    set_environment(monkeypatch, {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"})
    kind, text = sentence(is_folder, bucket / "photos/403.jpg")
    assert kind == "network"
    assert "cannot be reached" in text
    assert "http://127.0.0.1:" in text


def test_credentials_may_be_in_the_file_of_the_stores_own_programs(bucket, s3, monkeypatch, tmp_path):
    file = tmp_path / "credentials"
    file.write_text(f"[other]\naws_access_key_id={s3.access_key}\naws_secret_access_key={s3.secret}\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    set_environment(monkeypatch, {"AWS_SHARED_CREDENTIALS_FILE": str(file)})
    monkeypatch.setenv("AWS_PROFILE", "other")
    with s3.asking_for_credentials():
        assert read_bytes(bucket / "photos/x.jpg", 100) == b"content"


def test_a_file_system_is_opened_once_and_knows_the_object(bucket):
    store, name = open_filesystem(bucket / "photos/x.jpg")
    assert name == "one-object/photos/x.jpg"
    assert open_filesystem("s3://one-object/other")[0] is store


@pytest.mark.parametrize("uri", ["abfs://container/x", "abfs://container@account.dfs.core.windows.net/x"])
def test_a_store_without_an_account_is_a_sentence(uri, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))  # of no program of the store
    assert sentence(is_folder, RemotePath(uri))[0] in ("credentials", "network", "")


def test_of_unknown_errors_no_secret_is_repeated(monkeypatch):
    monkeypatch.setenv("SOME_SECRET_KEY", "sEcr3t")
    with pytest.raises(StorageError) as raised, explaining(RemotePath("s3://bucket/token.jpg")):
        raise OSError("AWS Error INTERNAL_FAILURE: token.jpg and sEcr3t\nmore")
    assert str(raised.value) == (
        "'s3://bucket/token.jpg' cannot be read or written (internal failure: AWS Error INTERNAL_FAILURE: token.jpg "
        "and $SOME_SECRET_KEY more)."
    )
    assert raised.value.kind == ""
