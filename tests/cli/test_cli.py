"""What every command has in common: exit codes, one sentence for an error, names, signals."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import click
import numpy as np
import pytest
from PIL import Image

from tests.cli.commands import SMALL, STAGE, misused, posix, process, refused, tlkit
from tlkit.cli import COMMANDS, main

# exit codes


def test_main_asked_for_help_ends_with_0():
    for args in (["--help"], ["-h"], ["--version"]):
        assert tlkit(*args).exit_code == 0, args


def test_main_has_every_command():
    assert list(main.commands.values()) == [command for commands in COMMANDS.values() for command in commands]


def test_main_of_an_unknown_command_ends_with_2():
    assert "No such command" in misused("finetunes")


def test_main_of_a_missing_run_ends_with_4(tmp_path, square):
    for args in (("predict", tmp_path / "nowhere", square), ("evaluate", tmp_path / "nowhere")):
        assert "there is no run folder" in refused(4, *args)


@click.command()
def failing():
    raise ValueError("first line\nsecond line")


@click.command()
def full():
    raise OSError(28, "No space left on device", "/somewhere")


@click.command()
def stopped():
    raise KeyboardInterrupt


def ended(command, monkeypatch):
    monkeypatch.setitem(main.commands, "broken", command)
    return tlkit("broken")


def test_main_of_an_unexpected_error_says_its_first_line_and_ends_with_1(monkeypatch):
    done = ended(failing, monkeypatch)
    assert done.exit_code == 1
    assert re.fullmatch(r"Error: [^\n]*ValueError: first line[^\n]*TLKIT_DEBUG=1[^\n]*\n", done.stderr)
    assert "second line" not in done.stderr


def test_main_of_an_unexpected_error_shows_where_in_debug_mode(monkeypatch):
    monkeypatch.setenv("TLKIT_DEBUG", "1")
    assert isinstance(ended(failing, monkeypatch).exception, ValueError)


def test_main_of_an_error_of_the_system_names_the_file(monkeypatch):
    done = ended(full, monkeypatch)
    assert done.exit_code == 1
    assert all(word in done.stderr for word in ("No space left on device", "'/somewhere'"))


def test_main_that_is_interrupted_ends_with_130(monkeypatch):
    done = ended(stopped, monkeypatch)
    assert done.exit_code == 130
    assert done.stderr == "Stopped. Nothing was lost.\n"


def test_main_shows_no_name_that_steers_the_terminal(tmp_path):
    assert refused(4, "predict", tmp_path / "\x1b[31mrun", "x.jpg").isprintable()


# as a process


@posix
def test_process_whose_reader_closes_early_ends_with_0_and_says_nothing(finetuned_run, colors, tmp_path):
    (tmp_path / "list").write_text(f"{colors / 'red' / '1.png'}\n" * 5000)
    with (tmp_path / "list").open() as given, process("predict", finetuned_run.path, "-", stdin=given) as running:
        assert running.stdout.readline().startswith("path,")
        running.stdout.close()
        words = running.stderr.read()
        running.wait(timeout=60)
    assert (running.returncode, words) == (0, "")


@posix
@pytest.mark.parametrize("together", [False, True], ids=["stdout", "stdout and stderr"])
def test_process_whose_reader_is_gone_ends_with_0_and_says_nothing(finetuned_run, square, together):
    commands = (
        *(("--help",), ("predict", "-h"), ("models", "--json"), ("cache", "info"), ("evaluate", finetuned_run.path)),
        *(("predict", finetuned_run.path, square), ("predict", finetuned_run.path, square, "--format", "table")),
    )
    for args in commands:
        reading, writing = os.pipe()
        os.close(reading)
        command = [sys.executable, "-m", "tlkit", *map(str, args)]
        errors = writing if together else subprocess.PIPE
        done = subprocess.run(command, stdout=writing, stderr=errors, check=False)
        os.close(writing)
        said = [line for line in (done.stderr or b"").decode().splitlines() if not STAGE.fullmatch(line)]
        assert (done.returncode, said) == (0, []), args


def interrupted(running, is_ready):
    """Send Ctrl-C once something is there, and give what was said on stderr."""
    until = time.monotonic() + 60
    while not is_ready() and time.monotonic() < until and running.poll() is None:
        time.sleep(0.05)
    time.sleep(0.3)
    running.send_signal(signal.SIGINT)
    _, words = running.communicate(timeout=60)
    return words


LONG = ["--epochs", "1000000", "--patience", "1000000"]


@posix
@pytest.mark.parametrize("moment", [pytest.param("at the start", marks=pytest.mark.slow), "while training"])
def test_process_interrupted_ends_with_130_and_keeps_features_not_the_run(colors, tmp_path, moment):
    cache = tmp_path / "cache" / "features"
    ready = {
        "at the start": (tmp_path / "run" / "settings.json").exists,
        "while training": lambda: any(cache.rglob("*.npy")),
    }
    environment = os.environ | {"TLKIT_CACHE": str(tmp_path / "cache")}
    with process("finetune", colors, "-o", tmp_path / "run", *SMALL, "none", *LONG, env=environment) as running:
        words = interrupted(running, ready[moment])
    assert running.returncode == 130
    *stages, last = words.splitlines()
    assert last == "Stopped before anything was trained. Nothing was lost."
    assert all(STAGE.fullmatch(line) for line in stages)
    assert not (tmp_path / "run").exists()
    assert any(cache.rglob("*.npy")) == (moment == "while training")


NETWORK = (*SMALL[:4], "--weights", "none")
STOPPED = {  # commands that take seconds on large images; {out} is their output
    "finetune": ("finetune", "{data}", *NETWORK, "--freeze", "all", "-o", "{out}"),
    "finetune lower": ("finetune", "{data}", *NETWORK, "--freeze", "lower", "-o", "{out}"),
    "train": ("train", "{data}", "--model", "lenet5", "-o", "{out}"),
    "classic": ("train", "{data}", "--descriptor", "fisher", "-o", "{out}"),
    "compare": ("compare", "{data}", "--only", "colors,pixels", "-o", "{out}"),
    "features": ("features", "{data}", *NETWORK, "-o", "{out}.npz"),
    "predict": ("predict", "{run}", *10 * ("{data}",), "-o", "{out}.csv"),
    "evaluate": ("evaluate", "{run}", "{data}", "-o", "{out}"),
    "robustness": ("robustness", "{run}", "{data}", "-o", "{out}"),
}


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Twenty images of each class that take a quarter of a second to decode."""
    root, random = tmp_path_factory.mktemp("large"), np.random.default_rng(0)
    for name in ("blue", "green", "red"):
        (root / name).mkdir()
        for number in range(20):
            pixels = np.kron(random.integers(0, 256, (500, 500, 3), np.uint8), np.ones((5, 5, 1), np.uint8))
            Image.fromarray(pixels).save(root / name / f"{number}.png", compress_level=1)
    return root


@posix
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", STOPPED)
def test_process_stopped_at_any_time_ends_with_130_and_leaves_no_half_file(
    large, finetuned_run, tmp_path, name, number
):
    places = {"data": large, "run": finetuned_run.path, "out": tmp_path / "out"}
    arguments = [word.format(**places) for word in STOPPED[name]]
    environment = os.environ | {"TLKIT_CACHE": str(tmp_path / "cache")}
    for seconds in (2.0, 3.5):
        with process(*arguments, env=environment) as running:
            time.sleep(seconds)
            running.send_signal(number)
            _, words = running.communicate(timeout=100)
        assert (running.returncode, "Traceback" in words) == (130, False), words
        assert words.splitlines()[-1].startswith("Stopped")
        assert list(tmp_path.rglob(".tlkit-*")) == []
        left = list(tmp_path.glob("out*"))
        assert all((path / "UNFINISHED").exists() and (path / "settings.json").exists() for path in left)
        if left:
            shutil.rmtree(left[0])
