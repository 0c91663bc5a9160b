import os
import re
import stat
import sys

import numpy as np
import pytest

from tests.making import needs_permissions, touch
from tlkit.data.listing import HIDDEN, FileEntry, describe_special_file, is_ignored, list_files, natural_key

needs_fifo = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this platform has no named pipes")
needs_byte_names = pytest.mark.skipif(sys.platform != "linux", reason="file names are no free bytes here")


def good(root):
    return [found.path for found in list_files(root) if not found.reason]


def bad(root):
    return {found.path: found.reason for found in list_files(root) if found.reason}


def test_names_sort_as_people_count():
    for names, ordered in [
        (["b10", "b9", "a"], ["a", "b9", "b10"]),
        (["img_12b", "img_2", "img_12a"], ["img_2", "img_12a", "img_12b"]),
        (["10", "9", "x", "1"], ["1", "9", "10", "x"]),
        (["Zebra", "ant"], ["ant", "Zebra"]),
        (["1.10.2", "1.9.3"], ["1.9.3", "1.10.2"]),
        (["a", "A"], ["A", "a"]),
        (["a01", "a1", "a001"], ["a001", "a01", "a1"]),
        (["x²", "x2", "x٣"], ["x2", "x٣", "x²"]),
        (["", "0"], ["", "0"]),
    ]:
        assert sorted(names, key=natural_key) == ordered, (names, ordered)
        backwards = names[::-1]
        assert sorted(backwards, key=natural_key) == ordered, (names, ordered)


def test_names_sort_as_lists_of_their_numbers_and_texts_do():
    def parts(text):
        found = re.split(r"(\d+)", text)
        return [int(part) if odd % 2 else part.casefold() for odd, part in enumerate(found)], text

    random = np.random.default_rng(0)
    letters = [*"aAbß/ ._-", *"0019٣", "é", "²", "𝟗"]
    names = ["".join(random.choice(letters, random.integers(1, 9))) for _ in range(3000)]
    assert sorted(names, key=natural_key) == sorted(names, key=parts)


def test_hidden_and_system_names_are_ignored():
    for name in [".git", "._photo.jpg", ".DS_Store", "__MACOSX", "Thumbs.db", "desktop.ini"]:
        assert is_ignored(name), name


def test_other_names_are_not_ignored():
    for name in ["photo.jpg", "_unknown", "a.b", "-rf", "MACOSX", "Thumbs.db.jpg", "…"]:
        assert not is_ignored(name), name


def test_what_storage_boxes_and_tools_leave_behind_is_ignored_in_any_case():
    for name in ["@eaDir", "#recycle", "$RECYCLE.BIN", "THUMBS.DB", "Desktop.ini", "__pycache__", "lost+found"]:
        assert is_ignored(name), name


def test_files_come_in_natural_order_before_the_folders_beside_them(tmp_path):
    touch(tmp_path, "b/2.png", "b/10.png", "b/1/x.png", "a10/x", "a9/x", "z.png")
    assert good(tmp_path) == ["z.png", "a9/x", "a10/x", "b/2.png", "b/10.png", "b/1/x.png"]


def test_nested_folders_are_read_to_their_end(tmp_path):
    touch(tmp_path, "a/b/c/d/e/f.png")
    assert good(tmp_path) == ["a/b/c/d/e/f.png"]


def test_an_empty_folder_has_no_files(tmp_path):
    assert list(list_files(tmp_path)) == []


@pytest.mark.parametrize("path", [".hidden.png", "._a.png", "Thumbs.db", "a/desktop.ini", "a/.DS_Store"])
def test_an_ignored_file_is_reported_with_its_reason(tmp_path, path):
    touch(tmp_path, path, "a/x.png")
    assert good(tmp_path) == ["a/x.png"]
    assert bad(tmp_path) == {path: HIDDEN}


@pytest.mark.parametrize("folder", [".git", "__MACOSX", "a/.ipynb_checkpoints"])
def test_an_ignored_folder_is_reported_and_not_entered(tmp_path, folder):
    touch(tmp_path, f"{folder}/x.png", f"{folder}/deep/y.png", "a/z.png")
    assert good(tmp_path) == ["a/z.png"]
    assert bad(tmp_path) == {folder: HIDDEN}


@needs_fifo
def test_a_pipe_is_reported_and_never_opened(tmp_path):
    touch(tmp_path, "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    assert good(tmp_path) == ["a.png"]
    assert "pipe" in bad(tmp_path)["pipe.png"]


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="this platform has no /dev/zero")  # noqa: PTH110
def test_a_link_to_a_device_is_reported(tmp_path):
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    assert bad(tmp_path) == {"zero.png": "not a regular file (a pipe, socket or device)"}


@pytest.mark.parametrize("target", ["nowhere.png", "link.png", "/nowhere/at/all"])
def test_a_dangling_link_is_a_broken_link(tmp_path, target):
    (tmp_path / "link.png").symlink_to(target)
    assert list(list_files(tmp_path)) == [FileEntry("link.png", "broken link")]


def test_links_that_point_to_each_other_are_broken(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert bad(tmp_path) == {"a": "broken link", "b": "broken link"}


def test_a_link_to_a_file_is_a_file(tmp_path):
    touch(tmp_path, "real.png")
    (tmp_path / "link.png").symlink_to("real.png")
    assert good(tmp_path) == ["link.png", "real.png"]


def test_a_link_to_a_folder_elsewhere_is_followed(tmp_path):
    touch(tmp_path, "store/x.png", "data/a/y.png")
    (tmp_path / "data/b").symlink_to("../store")
    assert good(tmp_path / "data") == ["a/y.png", "b/x.png"]


@pytest.mark.parametrize("target", [".", "..", "../.."])
def test_a_link_to_a_folder_around_it_is_not_followed(tmp_path, target):
    touch(tmp_path, "a/b/x.png")
    (tmp_path / "a/b/loop").symlink_to(target)
    assert good(tmp_path) == ["a/b/x.png"]
    name = {".": "'a/b', which", "..": "'a', which", "../..": "a folder that"}[target]
    assert bad(tmp_path) == {"a/b/loop": f"link to {name} is read already"}


@pytest.mark.parametrize("target", ["..", "../.."])
def test_a_link_to_a_folder_around_the_root_is_not_followed(tmp_path, target):
    touch(tmp_path, "outside.png", "data/outside.png", "data/a/x.png")
    (tmp_path / "data/a/loop").symlink_to(target)
    assert good(tmp_path / "data/a") == ["x.png"]


def test_two_links_to_one_folder_are_read_once(tmp_path):
    touch(tmp_path, "store/x.png", "data/z.png")
    for name in ("a", "b"):
        (tmp_path / "data" / name).symlink_to("../store")
    assert good(tmp_path / "data") == ["z.png", "a/x.png"]
    assert list(bad(tmp_path / "data")) == ["b"]


@needs_byte_names
def test_a_name_that_is_not_utf8_is_listed_with_its_bytes(tmp_path):
    name = b"caf\xe9.png"
    (tmp_path / os.fsdecode(name)).touch()
    assert [os.fsencode(path) for path in good(tmp_path)] == [name]


@pytest.mark.parametrize("name", ["-rf", "a\nb.png", "a b.png", "花.jpg", "x" * 255, "a:b", "\u202egnp.jpg", "%s{0}"])
def test_a_strange_name_is_listed_as_it_is(tmp_path, name):
    (tmp_path / name).touch()
    assert good(tmp_path) == [name]


@needs_permissions
def test_a_folder_that_may_not_be_read_is_reported(tmp_path):
    touch(tmp_path, "a/x.png", "b/y.png")
    (tmp_path / "a").chmod(0)
    try:
        assert list(list_files(tmp_path)) == [FileEntry("a", "folder that may not be read"), FileEntry("b/y.png")]
    finally:
        (tmp_path / "a").chmod(0o700)


def test_ten_thousand_names_are_all_listed(tmp_path):
    for number in range(10_000):
        (tmp_path / f"{number}.jpg").touch()
    assert good(tmp_path) == [f"{number}.jpg" for number in range(10_000)]


def test_every_kind_of_file_has_a_word():
    for kind, problem in [
        (stat.S_IFREG, None),
        (stat.S_IFDIR, "a folder"),
        (stat.S_IFIFO, "not a regular file (a pipe, socket or device)"),
        (stat.S_IFCHR, "not a regular file (a pipe, socket or device)"),
        (stat.S_IFBLK, "not a regular file (a pipe, socket or device)"),
        (stat.S_IFSOCK, "not a regular file (a pipe, socket or device)"),
    ]:
        assert describe_special_file(kind | 0o644) == problem, (kind, problem)
