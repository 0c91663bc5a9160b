"""What commands leave where a write fails: a full disk, a broken one, a read-only one, too many open files.

Each point is one call that writes; of a series of writes to one file the first and the last. `make test-all` tries all
points with all errors, those of networks with one error each; the fast suite tries a sample.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("sklearn")
pytest.importorskip("skimage")

from tests.cli.commands import tlkit
from tests.cli.test_outputs import everything
from tests.faults import ERRORS, Disk, failing
from tlkit.cache.folder import LEDGER
from tlkit.runs.run import RUN_FILES, load_run
from tlkit.utils.files import TEMPORARY
from tlkit.utils.process import remove_folders_of_process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="paths of open files are read from /proc")

SMALL = ("--backbone", "mobilenet_025", "--weights", "none", "--image-size", "32", "--epochs", "1", "--hidden", "0")
RUNS = {
    "head": ("finetune", "photos", *SMALL, "--freeze", "all", "-o", "new"),
    "blocks": (
        *("finetune", "photos", *SMALL, "--freeze", "lower", "--cut", "conv_pw_5_relu", "--views", "2"),
        *("--upper-epochs", "1", "-o", "new"),
    ),
    "classic": ("train", "photos", "--descriptor", "pixels", "--classifier", "knn", "-o", "new"),
}
OUTPUTS = {
    "predict": ("predict", "mine", "photos", "-o", "new.csv"),
    "predict xlsx": ("predict", "mine", "photos", "-o", "new.xlsx"),
    "predict shards": ("predict", "mine", "photos", "-o", "new/"),
    "evaluate": ("evaluate", "mine", "photos", "-o", "new"),
    "check": ("check", "photos", "--backbone", "none", "-o", "new.html"),
}
COMMANDS = RUNS | OUTPUTS
LIBRARIES = ("tmp", "openpyxl.")  # temporary files of TensorFlow, and of openpyxl, which removes them at its end
EVERY = {"head": 4, "blocks": 16}  # n-th point with each of the four errors, in `make test-all`; others all
SAMPLE = {"classic": 79, "predict": 3, "evaluate": 17, "check": 13}  # every n-th point in the fast suite


@pytest.fixture(scope="module")
def template(colors, classic_run, tmp_path_factory):
    """A person's folder: images, notes, a finished run, an empty cache."""
    root = tmp_path_factory.mktemp("template") / "home"
    shutil.copytree(colors, root / "photos")
    shutil.copytree(classic_run.path, root / "mine")
    (root / "tmp").mkdir()
    (root / "thesis.txt").write_text("years of work")
    return root


@pytest.fixture
def fresh_home(template, tmp_path, monkeypatch):
    """A function that makes the folder anew, perhaps with the converted networks of a cache, and enters it."""

    def make(engines=None):
        home = tmp_path / "home"
        os.chdir(tmp_path)
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(template, home)
        if engines:
            shutil.copytree(engines, home / "cache", ignore=lambda folder, names: {"features"} & set(names))
        monkeypatch.setenv("TLKIT_CACHE", str(home / "cache"))
        monkeypatch.setattr(tempfile, "tempdir", str(home / "tmp"))
        os.chdir(home)
        return home

    monkeypatch.chdir(tmp_path)
    return make


def points_of(calls, kinds):
    """The numbers of the calls of these kinds to try: of a series of equal calls the first and the last."""
    counted = [call for call in calls if call[0] in kinds]
    series = [list(numbers) for _, numbers in groupby(range(len(counted)), key=counted.__getitem__)]
    return sorted({number for numbers in series for number in (numbers[0], numbers[-1])})


def is_whole(file, expected):
    """Tell whether a file is complete: it can be read to its end, and is as long as in a run without faults."""
    readers = {
        ".json": lambda: json.loads(file.read_text()) is not None,
        ".png": lambda: Image.open(file).load() is not None,
        ".npy": lambda: np.load(file) is not None,
        **dict.fromkeys((".keras", ".xlsx", ".npz"), lambda: zipfile.ZipFile(file).testzip() is None),
        **dict.fromkeys((".csv", ".html"), lambda: count_lines(file) == count_lines(expected)),
    }
    if file.name == LEDGER:  # a line for each run; one that a full disk cut is passed over by readers
        return re.fullmatch(r"(\n[0-9a-f]{0,64}\n?)*", file.read_text()) is not None
    if read := readers.get(file.suffix):
        return read()
    return not expected.exists() or file.stat().st_size == expected.stat().st_size


def count_lines(file):
    """The number of lines of a text, if its end is that of a line or a page."""
    text = file.read_text()
    assert text.endswith(("\n", "</html>")), file
    return text.count("\n")


def problems_of(home, before, done, reference):
    """What a command that failed should not have said or left."""
    errors = done.stderr.rpartition("Error: ")[2]
    found = [] if done.exit_code in (0, 2) else [f"exit code {done.exit_code}: {errors[:300]}"]
    if done.exit_code and not re.fullmatch(r"[^\n]+[.]\n", errors):
        found.append(f"not one sentence: {errors}")
    after = everything(home)
    changed = [path for path in before if after.get(path) != before[path] and Path(path).name != LEDGER]
    found += [f"{path} was changed" for path in changed]
    found += [problem for path in after.keys() - before.keys() if (problem := problem_of_file(home, path, reference))]
    if (home / "new" / "DONE").exists():
        run = load_run(home / "new")
        for name in run.manifest.sha256:
            run.checked_file(name)
    elif (reference / "new" / "DONE").exists() and (home / "new").is_dir() and not (home / "new/UNFINISHED").exists():
        left = [file for file in (home / "new").rglob("*") if file.is_file() and not TEMPORARY.fullmatch(file.name)]
        found += [f"a run without UNFINISHED has {file.name}" for file in left]
    return found


def problem_of_file(home, path, reference):
    """What is wrong with a new file: it is not whole, or neither a run's nor called a temporary one."""
    file = home / path
    if not file.is_file() or any(TEMPORARY.fullmatch(name) for name in Path(path).parts):
        return ""
    if path.startswith("tmp/"):
        return "" if Path(path).parts[1].startswith(LIBRARIES) else f"{path} is left"
    of_run = path.startswith("new/") and (reference / "new" / "DONE").exists()
    if of_run and not RUN_FILES.files.fullmatch(path.removeprefix("new/")):
        return f"{path} is no file of a run"
    try:
        return "" if is_whole(file, reference / path) else f"{path} is not whole"
    except (OSError, ValueError, AssertionError, zipfile.BadZipFile) as error:
        return f"{path}: {error}"


def continue_after(home, words, reference):
    """What is wrong when the command is continued, or started again, on a disk that works."""
    run = home / "new"
    if (run / "DONE").exists():
        return []
    again = (
        (words[0], "--resume", "new")
        if {"settings.json", "UNFINISHED"} <= set(everything(run))
        else (*words[:-1], "again")
    )
    done = tlkit(*again)
    if done.exit_code:
        return [f"{again[:3]} ends with {done.exit_code}: {done.stderr[-300:]}"]
    file = home / ("new" if "--resume" in again else "again") / "predictions_val.csv"
    same = file.read_bytes() == (reference / "new" / "predictions_val.csv").read_bytes()
    return [] if same else [f"{again[:3]} has other predictions"]


def calls_of(words, root):
    """The calls of a command that write below a folder."""
    with failing(Disk(root)) as disk:
        assert tlkit(*words).exit_code == 0
    return disk.calls


def try_points(fresh_home, name, every=1, within="", errors=tuple(ERRORS)):
    """Let each point of a command fail in turn; the problems, and how many points there were."""
    words, found, tried = COMMANDS[name], [], 0
    home = fresh_home()
    calls = calls_of(words, home / within)
    reference = home.with_name("reference")
    home.rename(reference)
    engines = None
    if name in ("head", "blocks") and not within:  # a conversion takes as long as all the rest
        engines = reference / "cache"
        calls = calls_of(words, fresh_home(engines))
    for index, error in enumerate(errors):
        for point in points_of(calls, ERRORS[error][0])[index::every]:
            home = fresh_home(engines)
            before = everything(home)
            with failing(Disk(home / within, error, point)) as failed:
                done = tlkit(*words)
            remove_folders_of_process()
            problems = problems_of(home, before, done, reference)
            if within and done.exit_code:
                problems.append(f"ends with {done.exit_code} though only the cache failed: {done.stderr[-300:]}")
            if name in RUNS:
                problems += continue_after(home, words, reference)
            call = failed.calls[point] if point < len(failed.calls) else ("none", "")
            found += [(error, point, call[0], call[1].removeprefix(str(home)), problem) for problem in problems]
            tried += 1
    return found, tried


@pytest.mark.training
@pytest.mark.parametrize("name", SAMPLE)
def test_write_that_fails_leaves_whole_files_and_a_sentence(fresh_home, name):
    found, tried = try_points(fresh_home, name, every=SAMPLE[name])
    assert found == []
    assert tried >= 4


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.parametrize("name", COMMANDS)
def test_every_write_that_fails_leaves_whole_files_and_a_sentence(fresh_home, name):
    found, tried = try_points(fresh_home, name, every=EVERY.get(name, 1))
    print(f"{name}: {tried} points")
    assert found == []


@pytest.mark.slow
@pytest.mark.training
def test_cache_that_cannot_be_written_ends_no_training(fresh_home):
    found, tried = try_points(fresh_home, "classic", every=8, within="cache")
    assert found == []
    assert tried >= 4


@pytest.mark.slow
@pytest.mark.training
def test_network_that_the_cache_cannot_keep_is_converted_for_this_training(fresh_home):
    found, tried = try_points(fresh_home, "head", every=100, within="cache", errors=["ENOSPC"])
    assert (found, tried) == ([], 1)


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.parametrize("name", RUNS)
def test_cache_that_cannot_be_written_at_any_point_ends_no_training(fresh_home, name):
    found, tried = try_points(fresh_home, name, every=EVERY.get(name, 1), within="cache")
    print(f"{name}: {tried} points")
    assert found == []


# standard output and standard error on a full disk, which /dev/full stands for


def run_into(full, *words, folder):
    """The exit code of a command as a process, and what it printed to the other stream."""
    with Path("/dev/full").open("w") as device:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | {full: device}
        command = [sys.executable, "-m", "tlkit", *words]
        done = subprocess.run(command, cwd=folder, text=True, timeout=100, check=False, **streams)
    return done.returncode, done.stdout or done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this platform has no /dev/full")
def test_output_to_a_full_disk_ends_with_2_and_a_sentence(template):
    for words in (("--version",), ("models",), ("predict", "mine", "photos")):
        code, said = run_into("stdout", *words, folder=template)
        assert (code, said.count("\n")) == (2, 1), words
        assert said.startswith("Error: standard output cannot be written (No space left on device);")


@pytest.mark.training
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this platform has no /dev/full")
def test_messages_to_a_full_disk_end_no_training(fresh_home):
    home = fresh_home()
    code, said = run_into("stderr", *RUNS["classic"], folder=home)
    assert (code, (home / "new" / "DONE").exists()) == (0, True)
    assert "accuracy" in said
    assert run_into("stderr", "predict", "nowhere", "x", folder=home)[0] == 4
