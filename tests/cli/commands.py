"""Commands as tests type them."""

import csv
import io
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner

from tlkit.cli import main

SMALL = ["--backbone", "mobilenet_025", "--image-size", "32", "--hidden", "0"]
SMALL += ["--freeze", "all", "--epochs", "2", "--weights"]  # a training of seconds; the weights follow
STAGE = re.compile(r"(?!Error)[a-z ]+: [^\n]+, \d+ (s|min \d+ s)|Note: [^\n]+")  # a line of a stage that has ended
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has none")


def tlkit(*args, **options):
    """What a command prints and how it ends, in this process."""
    return CliRunner().invoke(main, [str(arg) for arg in args], **options)


def process(*args, **options):
    """The same command as a process of its own."""
    command = [sys.executable, "-m", "tlkit", *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def refused(code, *args, **options):
    """The error on stderr of a command that ends with this exit code, one line; stages that ended come before it."""
    done = tlkit(*args, **options)
    assert done.exit_code == code, done.stderr
    stages, _, error = done.stderr.rpartition("Error: ")
    assert re.fullmatch(r"[^\n]+[.?]\n", error), done.stderr
    assert all(STAGE.fullmatch(line) for line in stages.splitlines()), done.stderr
    return error.rstrip("\n")


def misused(*args):
    """The last line on stderr of a command line that means nothing."""
    done = tlkit(*args)
    assert done.exit_code == 2
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


def read_csv(text):
    """The rows of what was printed as csv."""
    return list(csv.DictReader(io.StringIO(text)))
