"""Screens are not wider than a terminal of 60 columns: the quick ones; `python -m tests.widths` has all."""

import shutil

import pytest

from tests.cli.commands import posix
from tests.widths import lines_of, too_wide, written

QUICK = (
    ("predict", "net", "photos", "--top-k", "3", "--format", "table"),
    ("evaluate", "net"),
    ("runs", "."),
    ("finetune", "photos/no"),
    ("finetune", "photos", "--freeze", "no"),
    ("finetunes",),
    ("train", "-h"),
)


@posix
@pytest.mark.skipif(not shutil.which("stty"), reason="the width of a terminal is set by stty")
@pytest.mark.parametrize("words", QUICK, ids=" ".join)
def test_no_line_is_wider_than_the_terminal(words, tmp_path, colors, run):
    (tmp_path / "photos").symlink_to(colors)
    (tmp_path / "net").symlink_to(run.path)
    assert too_wide(words, tmp_path, 60) == []
    assert any(line.strip() for line in lines_of(written(words, tmp_path, 60)))


def test_lines_of_a_terminal_are_those_drawn_over_too():
    text = "\x1b[1mbold\x1b[0m\r\nbar 1/2\rbar 2/2\x1b[2K\x1b[1Aend\n"
    assert [line for line in lines_of(text) if line] == ["bold", "bar 1/2", "bar 2/2", "end"]
