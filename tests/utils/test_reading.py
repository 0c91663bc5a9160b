"""Files of strangers: only regular ones are read, none larger than the limit, none through a link."""

import hashlib
import os
import socket

import pytest

from tests.cli.commands import posix
from tlkit.utils.reading import open_regular, read_regular, refuse_links_on_the_way, sha256_regular


def reason(function, *args):
    with pytest.raises(OSError) as caught:
        function(*args)
    return caught.value.strerror


def test_read_regular_gives_every_byte_up_to_the_limit(tmp_path):
    file = tmp_path / "file"
    for content in (b"", b"a\r\nb\0", bytes(range(256)) * 4):
        file.write_bytes(content)
        assert read_regular(file, len(content)) == content
        assert sha256_regular(file, len(content)) == hashlib.sha256(content).hexdigest()
    assert reason(read_regular, file, 1023) == "it is larger than 0 MB"
    file.write_bytes(b"")
    os.truncate(file, 5 << 40)  # takes no space
    assert reason(read_regular, file, 16_000_000) == "it is larger than 16 MB"
    assert reason(sha256_regular, file, 16_000_000) == "it is larger than 16 MB"


@posix
def test_read_regular_opens_nothing_else(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "broken").symlink_to(tmp_path / "nothing")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
    kinds = {"pipe": "a pipe", "folder": "a folder", "link": "a symbolic link", "broken": "a symbolic link"}
    for name, kind in {**kinds, "socket": "a socket", "/dev/zero": "a device", "/dev/null": "a device"}.items():
        for function in (open_regular, read_regular, sha256_regular):
            assert reason(function, tmp_path / name, 100) == f"it is {kind}", name
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "missing", 100)


@posix
def test_read_regular_of_a_file_that_lies_about_its_size_ends_at_the_limit(tmp_path):
    from pathlib import Path

    status = Path("/proc/self/status")  # a regular file of 0 bytes that holds some
    if status.exists():
        assert reason(read_regular, status, 100) == "it is larger than 0 MB"


@posix
def test_refuse_links_on_the_way_looks_at_every_folder(tmp_path):
    (tmp_path / "run" / "engine").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "run" / "plots").symlink_to(tmp_path / "outside")
    (tmp_path / "link").symlink_to(tmp_path / "run")
    for root in (tmp_path / "run", tmp_path / "link"):  # the root itself may be one: the user named it
        refuse_links_on_the_way(root, "model.json")
        refuse_links_on_the_way(root, "engine/lower.tflite")
        assert "is a link or not a folder" in reason(refuse_links_on_the_way, root, "plots/wrong.png")
