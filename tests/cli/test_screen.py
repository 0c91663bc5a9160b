"""Text that fits the terminal, whatever its width and whatever the names in it."""

import io
import shlex
import subprocess

import pytest
from rich.cells import cell_len

from tlkit.cli.screen import GLUE, Screen, break_command, percent
from tlkit.utils.text import shorten_middle

WIDTHS = (20, 60, 80, 120)
NASTY = ["photos/" + "very long name " * 12 + ".jpg", "\x1b[31mred", "new\nline", "花" * 40, "שלום", "x" * 300]


@pytest.fixture(params=WIDTHS)
def width(request, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(request.param))
    return request.param


def printed(draw):
    """The lines that `draw` leaves on a screen."""
    stream = io.StringIO()
    draw(Screen(stream))
    return stream.getvalue().splitlines()


def test_no_line_is_wider_than_the_terminal(width):
    def draw(screen):
        for name in NASTY:
            screen.line("accuracy ", name, f" {percent(0.5)}", indent=2)
            screen.entry("check", f"'{name}' has too few images", style="yellow")
            screen.command("next", shlex.join(["tlkit", "predict", name.replace("\n", ""), "FOLDER"]), "a purpose")
        screen.table(("image", "class"), [[name, "a"] for name in NASTY])

    wide = [line for line in printed(draw) if cell_len(line) > width and "'" not in line]
    assert wide == []


def test_lines_break_between_words_and_never_inside_a_percentage(width):
    words = "accuracy on validation images is " + " and ".join([percent(0.946)] * 20)
    lines = printed(lambda screen: screen.line(words, indent=2))
    assert " ".join(line.strip() for line in lines) == words.replace(GLUE, " ")
    assert all(line.startswith("  ") for line in lines)
    assert not any(line.strip().startswith("%") for line in lines)


def test_further_lines_of_an_entry_stand_below_its_text(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    first, *others = printed(lambda screen: screen.entry("check", "too few images " * 8))
    assert first.startswith("check       too few")
    assert others
    assert all(line.startswith(" " * 12) and line[12] != " " for line in others)


def test_control_characters_are_escaped_and_pipes_get_no_colors():
    [line] = printed(lambda screen: screen.line(("\x1b[31mred", "bold red")))
    assert line == "\\x1b[31mred"


def test_a_broken_command_is_the_same_command_for_a_shell():
    for words in (
        ["tlkit", "predict", "runs/finetune-001", "FOLDER"],
        ["tlkit", "predict", "/a/" + "long/" * 40 + "run", "FOLDER"],
        ["tlkit", "evaluate", "my run", "it's"],
    ):
        for width in (20, 30, 60):
            text = "\n".join(break_command(shlex.join(words), width))
            told = subprocess.run(["sh", "-c", f"printf '%s\\n' {text}"], capture_output=True, text=True, check=True)
            assert told.stdout.splitlines() == words, (words, width)


def test_shorten_middle_keeps_both_ends_and_the_width():
    for text in ("photos/summer/IMG_4711.jpg", "花" * 30, "ab"):
        for width in range(5, 30):
            short = shorten_middle(text, width)
            assert cell_len(short) <= width
            assert short == text if cell_len(text) <= width else (short[-1] == text[-1] and "…" in short)


@pytest.mark.parametrize("columns", [30, 60, 120])
def test_table_columns_are_aligned_and_the_first_gives_way(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    rows = [["a" * 200, "1.5 %", "yes"], ["b", "100.0 %", "no"]]
    header, first, second = printed(lambda screen: screen.table(("image", "part", "ok"), rows))
    assert "…" in first
    assert len(first) == columns
    assert first.index("1.5 %") == second.index("100.0 %") + 2
    assert header.startswith("image")
