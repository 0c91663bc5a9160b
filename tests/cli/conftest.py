"""Inputs of commands."""

import os
import sys

import pytest

from tests.cli.commands import SMALL, tlkit
from tests.making import encoded, noise, touch
from tests.shared_runs import make_once

NAMES = ["a,b", 'q"uote', "new\nline", "car\rriage", "\x1b[31mred", "花 ü", "=1+1", "-rf", os.fsdecode(b"caf\xe9")]


@pytest.fixture(scope="session")
def square(colors):
    return colors / "red" / "3.png"


@pytest.fixture
def broken(tmp_path):
    touch(tmp_path, "broken.jpg")
    return tmp_path / "broken.jpg"


@pytest.fixture(scope="session")
def named(weights_file, tmp_path_factory):
    """A run whose classes and files have names that tables and terminals choke on, its images, and what was printed."""
    if sys.platform == "win32":
        pytest.skip("Windows has no such names")

    def make(folder):
        for seed, name in enumerate(NAMES):
            (folder / "data" / name).mkdir(parents=True)
            for number in range(3):
                file = folder / "data" / name / f"{name}{number}.png"
                file.write_bytes(encoded(noise(40, 40, 10 * seed + number)))
        done = tlkit("finetune", folder / "data", "-o", folder / "run", *SMALL, weights_file)
        assert done.exit_code == 0, done.stderr
        return folder, done.stdout

    return make_once(tmp_path_factory, "named", make)


@pytest.fixture(scope="session")
def awkward(shared_data):
    """Files that are hard to read or are no images."""
    return sorted((shared_data / "awkward" / "images").iterdir())


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch):
    """Room for the long paths of temporary folders."""
    monkeypatch.setenv("COLUMNS", "120")
