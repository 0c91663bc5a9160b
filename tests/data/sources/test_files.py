import os

import pytest

from tlkit.data.sources.files import first_bytes, open_file, read_each, read_file
from tlkit.errors import ImageError


def test_pipes_are_never_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for call in (read_file, open_file):
        with pytest.raises(ImageError, match="not a regular file"):
            call(tmp_path / "pipe")
    assert first_bytes(tmp_path / "pipe", 2) == first_bytes(tmp_path / "none", 2) == b""


def test_each_file_gives_its_bytes_or_its_reason(tmp_path):
    (tmp_path / "x").write_bytes(b"content")
    assert first_bytes(tmp_path / "x", 2) == b"co"
    read = list(read_each([tmp_path / "x", tmp_path / "none", tmp_path, tmp_path / "x"]))
    assert [str(item) for item in read] == ["b'content'", "does not exist", "is a folder", "b'content'"]
