"""The table for people: what it shows, and that it fits the terminal."""

import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image
from rich.cells import cell_len

from tests.cli.commands import posix, tlkit
from tests.cli.conftest import NAMES
from tests.conftest import COLORS
from tlkit.cli.predictions import TrainingImages
from tlkit.runs.run import Run
from tlkit.utils.text import whole_percent


def table(run, *args, width=80, **options):
    done = tlkit("predict", run.path, *args, "--format", "table", env={"COLUMNS": str(width)}, **options)
    return done.stdout.splitlines(), done.stderr.splitlines()


@pytest.fixture
def mixed(colors, run, tmp_path):
    """A folder with an image of the training, its copy under another name, a mixture of two colors, and a text."""
    folder = tmp_path / "new"
    folder.mkdir()
    trained = next(row["path"] for row in run.read_rows("split.csv") if row["split"] == "train")
    shutil.copy(colors / trained, folder / trained.split("/")[1])
    shutil.copy(colors / trained, folder / "renamed.png")
    (folder / "notes.txt").write_text("not an image")
    return folder, trained.split("/")[1]


def test_table_has_a_header_and_one_row_per_image(run, colors):
    lines, _ = table(run, colors / "red")
    assert lines[0].split() == ["image", "class", "confidence"]
    assert len(lines) == 13
    assert re.fullmatch(r"0\.png +(red|blue|green) +\d+ %  █*.*", lines[1])
    starts = [lines[0].index("class"), *(line.index("%") for line in lines[1:])]
    assert len(set(starts[1:])) == 1


def test_table_leaves_out_the_folder_that_is_the_only_input(run, colors):
    assert table(run, colors / "red")[0][1].startswith("0.png ")
    lines, _ = table(run, colors / "red", colors / "blue" / "1.png", width=200)
    assert lines[1].startswith(str(colors / "red" / "0.png"))


def test_table_says_what_a_run_was_trained_on_by_name_and_content(run, mixed):
    folder, name = mixed
    notes = {line.split()[0]: line for line in table(run, folder)[0]}
    assert notes[name].endswith("was trained on")
    assert "trained" not in notes["renamed.png"]
    (folder / name).write_bytes((folder / name).read_bytes() + b"x")
    assert "trained" not in "".join(table(run, folder)[0])


def test_table_gives_the_reason_of_what_is_no_image(run, mixed):
    (line,) = (line for line in table(run, mixed[0])[0] if line.startswith("notes.txt"))
    assert line.split(maxsplit=1)[1] == "–  is text, not an image"


def test_table_marks_unsure_rows_and_names_the_second_class(run, tmp_path, predictor_probabilities):
    lines, errors = table(run, tmp_path / "mixtures")
    unsure = 0
    for line in lines[1:]:
        probabilities = np.sort(predictor_probabilities[line.split()[0]])
        expected = probabilities[-2] >= probabilities[-1] / 2
        assert ("? " in line) == expected, line
        unsure += expected
        if expected:
            assert line.endswith(f" {whole_percent(probabilities[-2])}")
    assert 0 < unsure < len(lines) - 1
    assert errors[0].endswith(f"; {unsure} unsure (?)")


@pytest.fixture
def predictor_probabilities(run, tmp_path):
    """Probabilities of images between red and blue, by name."""
    from tlkit import predict

    (tmp_path / "mixtures").mkdir()
    red, blue = (np.array(COLORS[name], float) for name in ("red", "blue"))
    random = np.random.default_rng(0)
    for step in range(21):
        pixels = random.normal(red + (blue - red) * step / 20, 20, (48, 48, 3))
        image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        image.save(tmp_path / "mixtures" / f"{step:02}.png")
    return {row.path.split("/")[-1]: row.probabilities for row in predict(run, tmp_path / "mixtures")}


def test_table_has_other_classes_that_are_asked_for_with_their_names(run, square):
    for options in (("--top-k", "3"), ("--probs",)):
        lines, _ = table(run, square, *options, width=200)
        assert all(name in lines[1] for name in COLORS)
        assert lines[1].count(" %") == 3


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_table_is_never_wider_than_the_terminal_and_cuts_no_note(named, broken, width):
    folder, _ = named
    (folder / "data" / NAMES[0] / "broken.jpg").touch()
    for inputs in ([folder / "data"], [folder / "data", broken]):
        lines, errors = table(Run(folder / "run"), *inputs, "--top-k", "9", width=width)
        assert max(map(cell_len, lines)) <= width
        assert all(line.isprintable() for line in lines + errors)
        text = re.sub(r"\s+", "", "".join(lines))
        assert text.count("isempty(0bytes)") == len(inputs)
        assert text.count("%") >= 9 * 3 * len(NAMES)


@posix
@pytest.mark.parametrize("width", [60, 80])
def test_nothing_that_predict_prints_is_wider_than_a_real_terminal(named, width):
    import pty

    folder, _ = named
    reading, writing = pty.openpty()
    command = [sys.executable, "-m", "tlkit", "predict", str(folder / "run"), str(folder / "data"), "nothing.jpg"]
    environment = os.environ | {"COLUMNS": str(width), "NO_COLOR": "1"}
    running = subprocess.Popen(command, stdout=writing, stderr=writing, env=environment)
    os.close(writing)
    content = b""
    with suppress(OSError):  # how Linux says that the other end is closed
        while data := os.read(reading, 65536):
            content += data
    os.close(reading)
    assert running.wait() == 6
    lines = content.decode("utf-8", "surrogateescape").split("\r\n")
    assert lines[0].split() == ["image", "class", "confidence"]
    assert "-o result.csv" in lines[-2]
    assert max(map(cell_len, lines)) <= width
    assert all(line.isprintable() for line in lines)


def test_table_has_no_color_where_nobody_looks_or_wants_any(run, square, monkeypatch):
    assert "\x1b" not in "".join(table(run, square)[0])
    monkeypatch.setenv("FORCE_COLOR", "1")  # as a terminal has it
    monkeypatch.setenv("TERM", "xterm-256color")
    assert "\x1b" in "".join(table(run, square)[0])
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert "\x1b" not in "".join(table(run, square)[0]), name


def test_training_images_of_a_run_without_a_split_are_none(own_run, colors):
    (own_run.path / "split.csv").unlink()
    assert str(colors / "red" / "0.png") not in TrainingImages(own_run)
    assert table(own_run, colors / "red")[0][0].startswith("image")
