"""README's commands: every option exists, and the five-minute path works when it is typed as it is printed."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

from tests.write_commands import PAGE
from tlkit.cli import main

ROOT = PAGE.parents[1]
README = ROOT / "README.md"
BLOCK = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PATH = ("## Five minutes", "## Your own images")  # the headings between which every block is run
NOT_RUN = {  # the beginning of a command, and why the test leaves it out
    "pip install": "the test uses the environment it runs in",
    "tlkit compare": "takes as long as its limit; tests/comparison has it",
}


def shell_lines(text):
    """List the commands of all blocks: the lines after "$ ", or all lines of a block without output."""
    for block in BLOCK.findall(text):
        lines = block.splitlines()
        typed = [line[2:] for line in lines if line.startswith("$ ")]
        yield from typed or [line for line in lines if line.strip()]


def documents():
    """All documents with commands, by name."""
    files = [README, *sorted((ROOT / "docs").glob("*.md")), ROOT / "docs" / "tutorial" / "README.md"]
    return {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in files if file != PAGE}


def find_command(words):
    """Find a command by the words after `tlkit`, and the words that are left."""
    command = main
    while isinstance(command, click.Group) and words and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    return command, words


def unknown_options(line):
    """List the options of a command line that its command does not have."""
    command, words = find_command(shlex.split(line, comments=True)[1:])
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    known |= {"--help", "--version"}
    return [word for word in words if re.match(r"--?[a-z]", word) and word.split("=")[0] not in known]


def test_documents_use_options_that_exist():
    wrong, found = [], 0
    for name, text in documents().items():
        inline = re.findall(r"(?<!`)`(tlkit [a-z][^`\n]*)`(?!`)", text)
        for line in [*shell_lines(text), *inline]:
            if line.startswith("tlkit ") and "|" not in line.split("-o")[-1]:
                found += 1
                wrong += [f"{name}: {line}: {option}" for option in unknown_options(line)]
    assert wrong == []
    assert found > 60


def test_an_option_that_does_not_exist_is_found():
    assert unknown_options("tlkit train digits --modle lenet5") == ["--modle"]
    assert unknown_options("tlkit cache info -h  # shows it") == []


def five_minutes():
    """List the commands of the five-minute path, in order."""
    text = README.read_text(encoding="utf-8")
    start, end = (text.index(f"\n{heading}\n") for heading in PATH)
    return list(shell_lines(text[start:end]))


def test_the_five_minute_path_has_commands_and_reasons():
    lines = five_minutes()
    assert sum(line.startswith("tlkit ") for line in lines) >= 8
    for reason in NOT_RUN:
        assert any(line.startswith(reason) for line in lines), reason


@pytest.mark.slow
@pytest.mark.training
def test_the_five_minute_path_works_as_it_is_typed(tmp_path, shared_data):
    environment = os.environ | {
        "KERAS_HOME": str(shared_data / "keras_home"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    for line in five_minutes():
        if not line.startswith(tuple(NOT_RUN)):
            done = subprocess.run(
                ["bash", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert {"runs/finetune-001/DONE", "runs/finetune-001/plots/wrong.png"} <= written


PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def draw_classes(folder, seed):
    """Draw dark and bright images, in one folder per class."""
    random = np.random.default_rng(seed)
    for name, level in (("dark", 60), ("bright", 190)):
        (folder / name).mkdir(parents=True)
        for number in range(12):
            pixels = np.clip(random.normal(level, 25, (64, 64, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_python_of_the_documents_runs_as_it_is_printed(page, tmp_path, shared_data, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_HOME", str(shared_data / "keras_home"))
    for seed, name in enumerate(("photos", "new_photos", "new_images", "labeled_images")):
        draw_classes(tmp_path / name, seed)
    names = {"array": np.zeros((40, 30, 3), np.uint8)}
    for block in PYTHON_BLOCK.findall((ROOT / page).read_text(encoding="utf-8")):
        exec(compile(block, page, "exec"), names)
    printed = capsys.readouterr().out
    assert printed.count("dark ") >= 12
    assert printed.count("bright ") >= 12


def test_links_lead_to_files():
    broken, found = [], 0
    for file in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("sample_data/*.md")]:
        for target in re.findall(r"\]\(([^)\s]+)\)", file.read_text(encoding="utf-8")):
            if not re.match(r"\w+:", target):
                found += 1
                path = (file.parent / target.split("#")[0]) if not target.startswith("#") else file
                broken += [f"{file.relative_to(ROOT)}: {target}"] * (not path.exists())
    assert broken == []
    assert found > 20
