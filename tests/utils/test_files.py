import errno
import hashlib
import json
import os
import stat
import sys

import pytest

from tlkit.errors import OptionError, WriteError
from tlkit.utils.files import (
    TEMPORARY,
    atomic_open,
    atomic_write,
    new_folder,
    next_free,
    open_new,
    rename_new_folder,
    sha256_file,
    sha256_text,
    temporary_beside,
    write_json,
    write_new,
)


@pytest.mark.parametrize("content", ["", "text\n", "Grüße 花\r\n", b"", b"\0\xff\r\n"])
def test_what_is_written_is_what_is_there(tmp_path, content):
    atomic_write(tmp_path / "x", content)
    assert (tmp_path / "x").read_bytes() == (content if isinstance(content, bytes) else content.encode())


def test_nothing_else_is_left_beside_a_file(tmp_path):
    atomic_write(tmp_path / "x", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_an_older_file_is_replaced(tmp_path):
    (tmp_path / "x").write_text("a much longer old content")
    atomic_write(tmp_path / "x", "new")
    assert (tmp_path / "x").read_text() == "new"


def half_written(path, error):
    with pytest.raises(error), atomic_open(path) as file:
        file.write("half")
        file.flush()
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_no_file(tmp_path, error):
    half_written(tmp_path / "x", error)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_old_file(tmp_path):
    (tmp_path / "x").write_text("old")
    half_written(tmp_path / "x", ValueError)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_text() == "old"


def test_a_file_has_its_name_only_after_the_block(tmp_path):
    with atomic_open(tmp_path / "x") as file:
        file.write("new")
        assert not (tmp_path / "x").exists()
        assert all(path.name.startswith(".") for path in tmp_path.iterdir())
    assert (tmp_path / "x").exists()


def test_a_missing_folder_is_an_error_that_leaves_nothing(tmp_path):
    with pytest.raises(WriteError, match=r"nowhere/x' cannot be written \(No such file or directory\)"):
        atomic_write(tmp_path / "nowhere" / "x", "new")
    assert list(tmp_path.iterdir()) == []


def test_binary_mode_takes_bytes(tmp_path):
    with atomic_open(tmp_path / "x", "wb") as file:
        file.write(b"\0\1")
    assert (tmp_path / "x").read_bytes() == b"\0\1"


def test_a_name_that_is_not_utf8_is_written_with_its_bytes(tmp_path):
    atomic_write(tmp_path / "x", os.fsdecode(b"caf\xe9"))
    assert (tmp_path / "x").read_bytes() == b"caf\xe9"


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 127, "花" * 85, "a b", "-rf", ".hidden"], ids=len)
def test_every_name_that_a_file_may_have_can_be_written(tmp_path, name):
    atomic_write(tmp_path / name, "new")
    assert (tmp_path / name).read_text() == "new"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_a_file_may_be_read_by_whom_other_new_files_may(tmp_path):
    (tmp_path / "plain").touch()
    atomic_write(tmp_path / "x", "new")
    kinds = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "x")]
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize("value", [{}, [1, 2.5, None, True], {"b": 1, "a": {"c": "花"}}, "text"])
def test_json_comes_back_as_it_was(tmp_path, value):
    write_json(tmp_path / "x.json", value)
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == value


def test_json_keeps_its_order_and_is_indented(tmp_path):
    write_json(tmp_path / "x.json", {"b": 1, "a": 2})
    assert (tmp_path / "x.json").read_text() == '{\n  "b": 1,\n  "a": 2\n}\n'


def test_json_keeps_names_that_are_not_utf8(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    write_json(tmp_path / "x.json", [name])
    assert json.loads((tmp_path / "x.json").read_text()) == [name]


@pytest.mark.parametrize("content", [b"", b"abc", b"x" * 300_000])
def test_the_hash_of_a_file_is_sha256_of_its_bytes(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    assert sha256_file(tmp_path / "x") == hashlib.sha256(content).hexdigest()


def test_the_hash_of_values_is_that_of_their_lines():
    assert sha256_text("a", 1, None) == hashlib.sha256(b"a\n1\nNone").hexdigest()


def test_the_hash_of_values_depends_on_each_and_on_their_order():
    assert len({sha256_text("a", "b"), sha256_text("b", "a"), sha256_text("ab"), sha256_text("a")}) == 4


def test_a_name_that_is_not_utf8_has_a_hash():
    assert sha256_text(os.fsdecode(b"caf\xe9")) == hashlib.sha256(b"caf\xe9").hexdigest()


# the one door


def appear(path, kind):
    """Make something at a path: what else may lie there."""
    if kind == "file":
        path.write_text("mine")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(path.with_name("target"))


def without_hard_links(monkeypatch):
    def refuse(*given, **options):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("content", ["", "Grüße 花\r\n", b"\0\xff"])
def test_a_new_file_is_whole_and_nothing_lies_beside_it(tmp_path, monkeypatch, content, links):
    if not links:
        without_hard_links(monkeypatch)
    write_new(tmp_path / "x", content)
    assert (tmp_path / "x").read_bytes() == (content if isinstance(content, bytes) else content.encode())
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").stat().st_nlink == 1


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_appears_while_a_new_file_is_written_is_left_as_it_is(tmp_path, monkeypatch, kind, links):
    if not links:
        without_hard_links(monkeypatch)
    with pytest.raises(OptionError, match="already exists"), open_new(tmp_path / "x") as file:
        file.write("new")
        appear(tmp_path / "x", kind)
        before = (tmp_path / "x").lstat()
    assert (tmp_path / "x").lstat() == before
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_what_is_not_whole_yet_has_a_name_that_can_be_told(tmp_path):
    for opened in (open_new, atomic_open):
        with opened(tmp_path / opened.__name__):
            (temporary,) = (path.name for path in tmp_path.iterdir() if path.name.startswith("."))
            assert TEMPORARY.fullmatch(temporary)
    assert TEMPORARY.fullmatch(temporary_beside(tmp_path / "model.keras", ".keras").name)
    for name in (".gitignore", ".tlkit", ".tlkit-0.tmp", "x.tmp", f".tlkit-{'0' * 16}.tmp.txt", f"{'0' * 16}.tmp"):
        assert not TEMPORARY.fullmatch(name)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_new_file_that_fails_leaves_nothing(tmp_path, error):
    with pytest.raises(error), open_new(tmp_path / "x") as file:
        file.write("half")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_the_next_free_name_passes_over_whatever_is_there(tmp_path):
    assert next_free(tmp_path / "a.png") == tmp_path / "a.png"
    for kind, name in (("file", "a.png"), ("link", "a-2.png"), ("folder", "a-3.png")):
        appear(tmp_path / name, kind)
    assert next_free(tmp_path / "a.png") == tmp_path / "a-4.png"


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_a_new_folder_replaces_nothing(tmp_path, kind):
    (tmp_path / "new").mkdir()
    appear(tmp_path / "x", kind)
    before = (tmp_path / "x").lstat().st_ino
    with pytest.raises(FileExistsError):
        rename_new_folder(tmp_path / "new", tmp_path / "x")
    assert (tmp_path / "x").lstat().st_ino == before
    assert (tmp_path / "new").is_dir()


def test_new_folder_is_whole_or_absent(tmp_path):
    with new_folder(tmp_path / "new") as folder:
        (folder / "a").write_text("x")
        assert not (tmp_path / "new").exists()
    assert (tmp_path / "new" / "a").read_text() == "x"
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "other") as folder:
        (folder / "a").write_text(str(1 / 0))
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_new_folder_replaces_nothing(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "file").write_text("x")
    for name in ("mine", "file"):
        with pytest.raises(OptionError, match="already exists"), new_folder(tmp_path / name):
            pass
    with pytest.raises(OptionError, match="already exists"), new_folder(tmp_path / "late"):
        (tmp_path / "late").mkdir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "late", "mine"]
