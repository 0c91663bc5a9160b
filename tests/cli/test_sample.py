"""`tlkit sample digits`: a folder of classes, written into no folder that is there."""

import pytest

from tests.cli.commands import refused, tlkit
from tests.making import touch
from tlkit.data.folder import read_folder


def test_sample_digits_writes_a_folder_of_classes(tmp_path):
    pytest.importorskip("sklearn")
    done = tlkit("sample", "digits", tmp_path / "digits")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("1,797 images")
    assert f"tlkit finetune {tmp_path / 'digits'}" in done.stdout
    folder = read_folder(tmp_path / "digits")
    assert folder.class_names == tuple("0123456789")
    assert len(folder) == 1797


def test_sample_digits_does_not_write_over_what_is_there(tmp_path):
    pytest.importorskip("sklearn")
    touch(tmp_path, "digits/mine.txt")
    assert str(tmp_path / "digits") in refused(2, "sample", "digits", tmp_path / "digits")
    assert [path.name for path in (tmp_path / "digits").iterdir()] == ["mine.txt"]
