"""Programs that must end well, and fresh environments."""

import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).parents[2]
SETUP = ConfigParser()
SETUP.read(ROOT / "setup.cfg")
EXTRAS = SETUP["options.extras_require"]


def call(*words, timeout=600, **options):
    """Run a program, and give how it ended."""
    words = list(map(str, words))
    return subprocess.run(words, capture_output=True, text=True, timeout=timeout, check=False, **options)


def checked(*words, **options):
    """Run a program that must end well, and give what it prints."""
    done = call(*words, **options)
    assert done.returncode == 0, f"{words}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def environment(folder, *packages):
    """Make an environment with some packages, and give its interpreter."""
    checked(sys.executable, "-m", "venv", folder)
    checked(folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages)
    return folder / "bin/python"
