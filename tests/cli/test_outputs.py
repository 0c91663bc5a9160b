"""What commands do to files that are somebody's: nothing. Only what was asked for is new, or gone."""

import hashlib
import os
import shutil
import stat
import sys
from pathlib import Path

import pytest

from tests.cli.test_cli import refused, tlkit

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links need rights there, and it has no FIFOs")

SMALL = ("--backbone", "mobilenet_025", "--weights", "none", "--image-size", "32")
FILES = {  # a command that writes one file: its arguments, and the ending of the file
    "predict": (("predict", "runs/mine", "photos/red/0.png"), ".csv"),
    "features": (("features", "photos", *SMALL), ".npz"),
    "augment": (("augment", "photos", "--images", "2", "--image-size", "32"), ".png"),
    "lr-find": (("lr-find", "photos", *SMALL, "--hidden", "0"), ".png"),
    "summary": (("summary", "lenet5"), ".svg"),
    "models": (("models",), ".png"),
}
RUNS = {  # a command that makes a run folder
    "finetune": (("finetune", "photos", *SMALL, "--freeze", "all", "--epochs", "1"), ""),
    "train": (("train", "photos", "--descriptor", "colours", "--classifier", "knn"), ""),
    "compare": (("compare", "photos", "--only", "colours", "--format", "json"), ""),
}
COMMANDS = FILES | RUNS
READS_PHOTOS = [name for name in COMMANDS if "photos" in COMMANDS[name][0]]
TAKEN = {  # what may be where an output is asked for
    "a file": "notes/thesis.txt",
    "a photo": "photos/red/3.png",
    "a link to a file": "links/to thesis",
    "a link to a folder": "links/to photos",
    "a broken link": "links/to nowhere",
    "a folder": "notes",
    "an empty folder": "empty",
    "a FIFO": "pipe",
    "a device": "/dev/null",
    "a run": "runs/mine",
}


def of(path):
    """What a path is, in a form that shows every change: kind, content or target, time."""
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return ("link", str(path.readlink()))
    if stat.S_ISREG(status.st_mode):
        return (hashlib.sha256(path.read_bytes()).hexdigest(), status.st_mtime_ns)
    return (stat.S_IFMT(status.st_mode), 0)


def everything(root):
    """Every path below a folder, no link followed."""
    found = {}
    for place, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(place) / name
            found[path.relative_to(root).as_posix()] = of(path)
    return found


@pytest.fixture
def home(tmp_path, colours, run, monkeypatch):
    """Photos, a run, notes and links of a person who works in this folder."""
    root = tmp_path / "home"
    shutil.copytree(colours, root / "photos")
    shutil.copytree(run.path, root / "runs" / "mine")
    for folder in ("notes", "links", "empty"):
        (root / folder).mkdir()
    (root / "notes" / "thesis.txt").write_text("years of work")
    (root / "links" / "to thesis").symlink_to("../notes/thesis.txt")
    (root / "links" / "to photos").symlink_to("../photos")
    (root / "links" / "to nowhere").symlink_to("nowhere")
    os.mkfifo(root / "pipe")
    monkeypatch.chdir(root)
    return root


@pytest.mark.parametrize("name", COMMANDS)
def test_whatever_is_where_an_output_is_asked_for_is_refused_and_stays(home, name):
    before = everything(home)
    for taken, path in TAKEN.items():
        words = refused(2, *COMMANDS[name][0], "-o", path)
        assert "already there" in words or "inside the images" in words, (taken, words)
        assert everything(home) == before, taken
    assert not (home / "links" / "nowhere").exists()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "path",
    ["", ".", "..", "notes/", "new/", "new/.", "no/such", "notes/thesis.txt/new", "/proc/new", "n" * 300],
    ids=lambda path: path[:20],
)
def test_a_name_that_no_file_can_be_made_under_is_refused_in_a_sentence(home, name, path):
    before = everything(home)
    assert "-o" in refused(2, *FILES[name][0], "-o", path)
    assert everything(home) == before


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize(
    "path", ["", ".", "..", "notes/", "pipe/new", "/proc/new", "n" * 300], ids=lambda path: path[:20]
)
def test_a_name_that_no_run_folder_can_be_made_under_is_refused_in_a_sentence(home, name, path):
    before = everything(home)
    assert "-o" in refused(2, *RUNS[name][0], "-o", path)
    assert everything(home) == before


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_that_cannot_be_written_to_is_refused(home, name):
    (home / "notes").chmod(0o555)
    assert "Permission denied" in refused(2, *COMMANDS[name][0], "-o", f"notes/new{COMMANDS[name][1]}")
    (home / "notes").chmod(0o755)


@pytest.mark.parametrize("name", READS_PHOTOS)
def test_nothing_is_written_among_the_images(home, name, monkeypatch):
    before = everything(home)
    arguments, ending = COMMANDS[name]
    for path in ("photos/new", "photos/red/new", "links/to photos/blue/new", "notes/../photos/new"):
        assert "would lie inside the images of" in refused(2, *arguments, "-o", path + ending)
    monkeypatch.chdir(home / "photos")
    if name != "features":  # which has no name of its own
        assert "would lie inside the images of" in refused(2, arguments[0], "../photos", *arguments[2:])
    assert everything(home) == before


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "lr-find"])  # that is below
def test_only_what_was_asked_for_is_new(home, name):
    before = everything(home)
    arguments, ending = COMMANDS[name]
    done = tlkit(*arguments, "-o", f"notes/new{ending}")
    assert done.exit_code == 0, done.stderr
    after = everything(home)
    assert {path: after[path] for path in before} == before
    assert {"/".join(path.split("/")[:2]) for path in after.keys() - before.keys()} == {f"notes/new{ending}"}
    assert ending == "" or (home / f"notes/new{ending}").stat().st_size > 0


def test_what_was_learnt_lies_beside_a_table_and_replaces_nothing(home):
    (home / "notes" / "codes.learnt.npz").symlink_to("nowhere")
    before = everything(home)
    words = refused(2, *FILES["features"][0], "--pca", "2", "-o", "notes/codes.csv")
    assert "codes.learnt.npz' is already there" in words
    assert everything(home) == before


@pytest.mark.parametrize(("name", "times"), [("augment", 2), ("lr-find", 1)])  # of which each takes seconds
def test_a_command_with_a_name_of_its_own_takes_the_next_free_one(home, name, times):
    (home / f"{name}.png").symlink_to("nowhere")
    before, expected = everything(home), [f"{name}-2.png", f"{name}-3.png"][:times]
    for file in expected:
        done = tlkit(*FILES[name][0])
        assert done.exit_code == 0, done.stderr
        assert done.stdout.splitlines()[-1] == f"drawn  {file}"
    after = everything(home)
    assert after.keys() - before.keys() == set(expected)
    assert {path: after[path] for path in before} == before


@pytest.mark.parametrize("taken", TAKEN)
def test_digits_are_written_into_no_folder_that_is_there(home, taken):
    before = everything(home)
    assert "already there" in refused(2, "sample", "digits", TAKEN[taken])
    assert everything(home) == before


@pytest.mark.parametrize("path", ["", ".", "..", "notes/", "notes/thesis.txt/new", "/proc/new", "n" * 300])
def test_a_name_that_no_digits_can_be_written_under_is_refused_in_a_sentence(home, path):
    before = everything(home)
    refused(2, "sample", "digits", path)
    assert everything(home) == before
