"""What commands do to files that are somebody's: nothing. Only what was asked for is new, or gone."""

import hashlib
import json
import os
import re
import shutil
import stat
import sys
from pathlib import Path

import click
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("skimage")

from tests.cli.commands import refused, tlkit
from tests.making import needs_permissions
from tlkit.cache.folder import MARK, claim_cache
from tlkit.cli import main
from tlkit.comparison.cache import fingerprint, run_key
from tlkit.data.folder import read_folder
from tlkit.features.store import FeatureKey, FeatureStore
from tlkit.models.backbones import cached_backbones
from tlkit.runs.manifest import RUN_FILES
from tlkit.settings.commands import CompareSettings
from tlkit.utils.progress import Silent

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links need rights there, and it has no FIFOs")

SMALL = ("--backbone", "mobilenet_025", "--weights", "none", "--image-size", "32")
FILES = {  # a command that writes one file: its arguments, and the ending of the file
    "predict": (("predict", "runs/mine", "photos/red/0.png"), ".csv"),
    "explain": (("explain", "runs/mine", "photos/red/0.png"), ".png"),
    "features": (("features", "photos", *SMALL), ".npz"),
    "augment": (("augment", "photos", "--rows", "2", "--image-size", "32"), ".png"),
    "lr-find": (("lr-find", "photos", *SMALL, "--freeze", "all", "--hidden", "0"), ".png"),
    "summary": (("summary", "lenet5"), ".svg"),
    "visualize": (("visualize", "lenet5", "--weights", "none"), ".png"),
    "models": (("models",), ".png"),
    "check": (("check", "photos", "--backbone", "none"), ".html"),
    "report": (("report", "runs/mine"), ".html"),
}
RUNS = {  # a command that makes a run folder
    "finetune": (("finetune", "photos", *SMALL, "--freeze", "all", "--epochs", "1"), ""),
    "train": (("train", "photos", "--descriptor", "colors", "--classifier", "knn"), ""),
    "compare": (("compare", "photos", "--only", "colors", "--format", "json"), ""),
}
FOLDERS = {  # a command that makes another folder
    "evaluate": (("evaluate", "runs/mine", "photos"), ""),
    "export": (("export", "runs/mine"), ""),
    "robustness": (("robustness", "runs/mine", "photos", "--corruptions", "jpeg", "--severities", "1"), ""),
    "attack": (("attack", "runs/mine", "photos", "--steps", "1", "--max-images", "1"), ""),
    "index": (("search", "index", "photos", "--descriptor", "pixels"), ""),
}
COMMANDS = FILES | RUNS | FOLDERS
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
    states = {}
    for parent, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(parent) / name
            states[path.relative_to(root).as_posix()] = of(path)
    return states


@pytest.fixture
def home(tmp_path, colors, run, monkeypatch):
    """Photos, a run, notes and links of a person who works in this folder."""
    root = tmp_path / "home"
    shutil.copytree(colors, root / "photos")
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
def test_output_where_anything_is_is_refused_and_that_stays(home, name):
    before = everything(home)
    for taken, path in TAKEN.items():
        words = refused(2, *COMMANDS[name][0], "-o", path)
        assert "already exists" in words or "inside the image folder" in words, (taken, words)
        assert everything(home) == before, taken
    assert not (home / "links" / "nowhere").exists()


@pytest.mark.parametrize("name", ["predict", "features"])
def test_a_folder_of_shards_where_anything_is_is_refused_and_that_stays(home, name):
    before = everything(home)
    for taken, path in TAKEN.items():
        if taken == "an empty folder":
            continue  # which is taken
        words = refused(2, *COMMANDS[name][0], "-o", f"{path}/")
        assert "already exists" in words or "inside the image folder" in words, (taken, words)
        assert everything(home) == before, taken
    done = tlkit(*COMMANDS[name][0], "-o", "empty/")
    assert done.exit_code == 0, done.stderr
    after = everything(home)
    assert {path: after[path] for path in before} == before
    assert {path.partition("/")[0] for path in after.keys() - before.keys()} == {"empty"}


IMPOSSIBLE_FILES = ("", ".", "..", "notes/", "new/", "new/.", "no/such", "notes/thesis.txt/new", "/proc/new", "n" * 300)
IMPOSSIBLE_RUNS = ("", ".", "..", "notes/", "pipe/new", "/proc/new", "n" * 300)


@pytest.mark.parametrize("name", COMMANDS)
def test_output_of_a_name_that_cannot_be_made_is_refused_in_a_sentence(home, name):
    before = everything(home)
    for path in IMPOSSIBLE_FILES if name in FILES else IMPOSSIBLE_RUNS:
        if name in ("explain", "predict", "features") and path == "new/":
            continue  # they make a folder of that name
        assert "-o" in refused(2, *COMMANDS[name][0], "-o", path), path[:20]
        assert everything(home) == before, path[:20]


def test_every_option_that_names_an_output_is_in_these_tables():
    groups = [main, *(command for command in main.commands.values() if isinstance(command, click.Group))]
    commands = [item for group in groups for item in group.commands.items()]
    with_output = {name for name, command in commands if "output" in [item.name for item in command.params]}
    assert with_output == COMMANDS.keys() | {"query"}  # it needs an index: tests/cli/test_search.py


@pytest.mark.parametrize("name", RUNS)
def test_run_without_a_name_where_runs_cannot_be_a_folder_is_refused_in_a_sentence(home, name):
    shutil.rmtree(home / "runs")
    (home / "runs").write_text("a file of this name")
    before = everything(home)
    assert "cannot create the run folder 'runs'" in refused(2, *RUNS[name][0])
    assert everything(home) == before


@needs_permissions
@pytest.mark.parametrize("name", COMMANDS)
def test_output_in_a_folder_that_cannot_be_written_to_is_refused(home, name):
    (home / "notes").chmod(0o555)
    assert "Permission denied" in refused(2, *COMMANDS[name][0], "-o", f"notes/new{COMMANDS[name][1]}")
    (home / "notes").chmod(0o755)


@pytest.mark.parametrize("name", READS_PHOTOS)
def test_output_among_the_images_is_refused(home, name, monkeypatch):
    before = everything(home)
    arguments, ending = COMMANDS[name]
    for path in ("photos/new", "photos/red/new", "links/to photos/blue/new", "notes/../photos/new"):
        assert "is inside the image folder" in refused(2, *arguments, "-o", path + ending)
    monkeypatch.chdir(home / "photos")
    if name not in (
        "attack",
        "features",
        "evaluate",
        "robustness",
        "check",
        "index",
    ):  # which have no name of their own
        assert "is inside the image folder" in refused(2, arguments[0], "../photos", *arguments[2:])
    assert everything(home) == before


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "lr-find"])  # that is below
def test_output_is_all_that_is_new(home, name):
    before = everything(home)
    arguments, ending = COMMANDS[name]
    done = tlkit(*arguments, "-o", f"notes/new{ending}")
    assert done.exit_code == 0, done.stderr
    after = everything(home)
    assert {path: after[path] for path in before} == before
    assert {"/".join(path.split("/")[:2]) for path in after.keys() - before.keys()} == {f"notes/new{ending}"}
    assert ending == "" or (home / f"notes/new{ending}").stat().st_size > 0


def test_output_beside_a_table_replaces_nothing(home):
    (home / "notes" / "codes.learnt.npz").symlink_to("nowhere")
    before = everything(home)
    words = refused(2, *FILES["features"][0], "--pca", "2", "-o", "notes/codes.csv")
    assert "codes.learnt.npz' already exists" in words
    assert everything(home) == before


@pytest.mark.parametrize(("name", "times"), [("augment", 2), ("lr-find", 1)])  # of which each takes seconds
def test_output_without_a_name_takes_the_next_free_one(home, name, times):
    (home / f"{name}.png").symlink_to("nowhere")
    before, expected = everything(home), [f"{name}-2.png", f"{name}-3.png"][:times]
    for file in expected:
        done = tlkit(*FILES[name][0])
        assert done.exit_code == 0, done.stderr
        assert f"{'plot' if name == 'lr-find' else 'file':<12}{file}" in done.stdout.splitlines()
    after = everything(home)
    assert after.keys() - before.keys() == set(expected)
    assert {path: after[path] for path in before} == before


def test_sample_digits_writes_into_no_folder_that_is_there(home):
    before = everything(home)
    for taken, path in TAKEN.items():
        assert "already exists" in refused(2, "sample", "digits", path), taken
        assert everything(home) == before, taken


def test_sample_digits_under_a_name_that_cannot_be_made_is_refused_in_a_sentence(home):
    before = everything(home)
    for path in ("", ".", "..", "notes/", "notes/thesis.txt/new", "/proc/new", "n" * 300):
        refused(2, "sample", "digits", path)
        assert everything(home) == before, path[:20]


# the cache

KEY, SHARD = "0" * 64, "0" * 32
OURS = (  # what the cache may hold
    *(f"engines/{KEY}.tflite", f"engines/{KEY}.json", f"engines/.tlkit-{'0' * 16}.tmp"),
    *(f"features/{KEY}/{SHARD}.npy", f"features/{KEY}/{SHARD}.table", f"features/{KEY}/.tlkit-{'1' * 16}.tmp"),
    *(f"files/hashes/{SHARD}.table", f"files/headers/.tlkit-{'1' * 16}.tmp"),
    *(f"runs/{KEY}/{name}" for name in ("model.keras", "DONE", "engine/head.tflite", "plots/curves.png")),
    f"runs/.tlkit-{'2' * 16}.tmp/settings.json",
)
THEIRS = (  # what somebody has put into it
    *("thesis.txt", ".hidden", "engines/v8.txt", f"engines/{KEY}.txt", f"engines/{KEY[:-1]}.tflite"),
    *("features/thesis/x.csv", f"features/{KEY}/x.csv", f"features/{KEY}/.mine", f"features/{KEY}/deep/{SHARD}.npy"),
    *(f"files/{SHARD}.table", "files/hashes/mine.table"),
    *("features/" + f"{SHARD}.npy", f"runs/{KEY}/notes.txt", f"runs/{KEY}/plots/mine.png", "runs/mine/model.keras"),
)


def put(root, paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)


@pytest.fixture
def cache(home, monkeypatch):
    """A folder of this person's that TLKIT_CACHE names, not there yet."""
    monkeypatch.setenv("TLKIT_CACHE", str(home / "cache"))
    return home / "cache"


def test_cache_is_made_and_marked_and_emptied(home, cache):
    before = everything(home)
    assert tlkit(*RUNS["train"][0], "-o", "runs/new").exit_code == 0
    shutil.rmtree(home / "runs" / "new")
    lines = (cache / "CACHEDIR.TAG").read_text().splitlines()
    assert lines[0] == "Signature: 8a477f597d28d172789f06886806bc55"
    assert "tlkit" in lines[1]
    assert list(cache.glob("features/*/*.npy"))
    done = tlkit("cache", "clear")
    assert (done.exit_code, done.stdout.endswith("B removed\n")) == (0, True)
    after = everything(home)
    assert after.keys() - before.keys() == {"cache", "cache/CACHEDIR.TAG", "cache/runs.txt"}  # the ledger stays
    assert {path: after[path] for path in before} == before


def test_cache_clear_leaves_what_is_not_the_caches_at_every_level(home, cache):
    cache.mkdir()
    claim_cache()
    put(cache, OURS)
    for folder in ("engines", f"features/{KEY}", f"runs/{KEY}/plots"):
        (cache / folder / "link").symlink_to(home / "notes")
    (cache / "features" / ("1" * 64)).symlink_to(home / "notes")
    (home / "notes" / f"{SHARD}.npy").write_text("behind a link, with a shard's name")
    (cache / f"engines/{'3' * 64}.json").symlink_to(home / "notes" / "thesis.txt")
    os.mkfifo(cache / f"engines/{'4' * 64}.json")
    (cache / "features" / KEY / "empty").mkdir()
    put(cache, THEIRS)
    before = everything(home)
    done = tlkit("cache", "clear")
    assert done.exit_code == 0, done.stderr
    after = everything(home)
    gone = {path.removeprefix("cache/") for path in before.keys() - after.keys()}
    folders = {f"runs/{KEY}/engine", f"runs/.tlkit-{'2' * 16}.tmp", "files/headers"}
    assert gone == {*OURS, *folders}
    assert {path: after[path] for path in after} == {path: before[path] for path in after}
    assert f"files that tlkit did not write: .hidden, engines/{KEY[:-1]}.tflite" in " ".join(done.stdout.split())


def foreign(home, kind):
    """A folder that is not tlkit's cache, by whatever is in it."""
    root = home / "cache"
    put(root, [*OURS, *THEIRS])
    marks = {
        "another mark": "Signature: 8a477f597d28d172789f06886806bc55\n# of another program\n",
        "half a mark": "tlkit",
    }
    if kind in marks:
        (root / "CACHEDIR.TAG").write_text(marks[kind])
    elif kind == "a link to a mark":
        (home / "notes" / "mark").write_text(MARK)
        (root / "CACHEDIR.TAG").symlink_to(home / "notes" / "mark")
    return root


@pytest.mark.parametrize("kind", ["no mark", "another mark", "half a mark", "a link to a mark"])
def test_cache_that_is_not_tlkits_is_neither_emptied_nor_written_into(home, cache, kind):
    foreign(home, kind)
    before = everything(home)
    written = ("features", "lr-find", *RUNS) if kind == "no mark" else ("train",)
    for arguments in (("cache", "clear"), *(COMMANDS[name][0] for name in written)):
        asked = () if arguments[0] == "cache" else ("-o", "runs/new.npz")
        words = refused(2, *arguments, *asked)
        assert words.startswith(f"'{home / 'cache'}' is not a tlkit cache")
        assert words.endswith("expected a new or empty folder: set TLKIT_CACHE to one.")
        assert everything(home) == before
    done = tlkit("cache", "info")
    assert done.exit_code == 0
    assert "is not a tlkit cache" in done.stdout
    assert everything(home) == before


def test_cache_in_an_empty_folder_is_made_when_something_is_kept(home, cache):
    put(cache, [".directory"])
    (cache / "lost+found").mkdir()
    before = everything(home)
    for command in ("info", "clear"):
        assert tlkit("cache", command).exit_code == 0
        assert everything(home) == before
    claim_cache()
    assert everything(home).keys() - before.keys() == {"cache/CACHEDIR.TAG"}
    claim_cache()


def test_commands_where_there_can_be_no_cache_work(home, monkeypatch):
    for path in ("notes/thesis.txt", "notes/thesis.txt/cache", "/proc/cache"):
        monkeypatch.setenv("TLKIT_CACHE", path)
        before = everything(home)
        for command in ("info", "clear"):
            assert tlkit("cache", command).exit_code == 0
        done = tlkit(*RUNS["train"][0], "-o", "new")
        assert done.exit_code == 0, done.stderr
        assert {path.split("/")[0] for path in everything(home).keys() - before.keys()} == {"new"}
        shutil.rmtree(home / "new")


@pytest.mark.parametrize("linked", ["shard", "folder", "part"])
def test_feature_store_removes_a_damaged_shard_unless_it_lies_behind_a_link(home, cache, linked):
    claim_cache()
    key = FeatureKey(1, "crop", 32, "keras", "1", "float32", "0" * 64, "")
    folder = cache / "features" / key.digest
    put(home / "notes", [f"{key.digest}/{SHARD}.npy"])
    links = {"shard": folder / f"{SHARD}.npy", "folder": folder, "part": folder.parent}
    target = {"shard": f"{key.digest}/{SHARD}.npy", "folder": key.digest, "part": ""}
    links[linked].parent.mkdir(parents=True, exist_ok=True)
    links[linked].symlink_to(home / "notes" / target[linked])
    before = everything(home)
    FeatureStore(key)
    assert everything(home) == before
    links[linked].unlink()
    put(folder, [f"{SHARD}.npy", f"{'1' * 32}.txt", "2.npy"])
    FeatureStore(key)
    assert sorted(path.name for path in folder.iterdir()) == [f"{'1' * 32}.txt", "2.npy"]


# --resume

TEMPORARIES = [f".tlkit-{digit * 16}.tmp" for digit in "abc"]


@pytest.fixture(scope="module")
def stopped(colors, tmp_path_factory):
    """A run of each command, as if it had been stopped before its end, and its images."""
    root = tmp_path_factory.mktemp("stopped")
    shutil.copytree(colors, root / "photos")
    for name, (arguments, _) in RUNS.items():
        done = tlkit(*(root / "photos" if word == "photos" else word for word in arguments), "-o", root / name)
        assert done.exit_code == 0, done.stderr
        for file in ("DONE", *(["model.json"] if name != "compare" else [])):
            (root / name / file).unlink()
        (root / name / "UNFINISHED").write_text("stopped")
    return root


@pytest.fixture
def resumable(stopped, home):
    """Copies of these runs among this person's things, and things of this person's in them."""
    shutil.copytree(stopped / "photos", home / "photos", dirs_exist_ok=True)
    for name in RUNS:
        path = shutil.copytree(stopped / name, home / "runs" / name)
        for file in path.rglob("settings.json"):
            file.write_text(file.read_text().replace(str(stopped / "photos"), str(home / "photos")))
        put(path, [".gitignore", "notes.txt", "plots/.mine", ".ipynb_checkpoints/x", ".secret/deep/y", "checkpoint-me"])
        for folder, temporary in zip(("", "plots", "engine"), TEMPORARIES, strict=True):
            put(path, [f"{folder}/{temporary}"])
        (path / "pictures").symlink_to(home / "notes")
        (path / f".tlkit-{'d' * 16}.tmp").symlink_to(home / "notes" / "thesis.txt")
        (path / f".tlkit-{'e' * 16}.tmp").mkdir()
        put(path, [f".tlkit-{'e' * 16}.tmp/mine", f"pictures/{TEMPORARIES[0]}", "pictures/.bashrc"])
    settings = CompareSettings(only="colors")  # what the comparison depends on has the path of the images in it
    key = run_key(fingerprint(read_folder(home / "photos"), Silent()), "compare", settings, cached_backbones())
    (home / "runs" / "compare" / "comparison-key.json").write_text(json.dumps(key))
    return home


def with_times(root):
    """Everything below a folder, and when each folder was changed."""
    folders = [root, *(path for path in root.rglob("*") if path.is_dir() and not path.is_symlink())]
    return everything(root), {path: path.lstat().st_mtime_ns for path in folders}


@pytest.mark.training
@pytest.mark.parametrize("name", RUNS)
def test_resume_changes_what_a_run_writes_and_nothing_else(resumable, name):
    path = resumable / "runs" / name
    before = everything(resumable)
    done = tlkit(name, "--resume", path)
    assert done.exit_code == 0, done.stderr
    assert (path / "DONE").exists()
    after = everything(resumable)
    changed = {file for file in before.keys() | after.keys() if before.get(file) != after.get(file)}
    assert all(file.startswith(f"runs/{name}/") for file in changed)
    assert all(RUN_FILES.files.fullmatch(file.removeprefix(f"runs/{name}/")) for file in changed)
    assert not any(
        (path / folder / file).exists() for folder, file in zip(("", "plots", "engine"), TEMPORARIES, strict=True)
    )
    assert (path / "pictures" / TEMPORARIES[0]).exists()


def change_images(home, path):
    (home / "photos" / "red" / "0.png").unlink()


def damage_settings(home, path):
    (path / "settings.json").write_text("{")


def link(name):
    def change(home, path):
        shutil.rmtree(path / name) if (path / name).is_dir() else (path / name).unlink(missing_ok=True)
        (path / name).symlink_to(home / "notes" / ("thesis.txt" if "." in name else ""))

    return change


def pipe(home, path):
    (path / "history.csv").unlink(missing_ok=True)
    os.mkfifo(path / "history.csv")


REFUSED = {  # what was done to a run, the exit code of --resume and words of the sentence
    "another seed": (None, 2, "omit it or start a new"),
    "changed images": (change_images, 4, "have changed|changed since"),
    "damaged settings": (damage_settings, 4, "settings.json|is not a comparison"),
    "linked plots": (link("plots"), 4, "plots' is a symbolic link"),
    "linked tensorboard": (link("tensorboard"), 4, "tensorboard' is a symbolic link"),
    "linked model": (link("model.keras"), 4, "model.keras' is a symbolic link"),
    "linked table": (link("split.csv"), 4, "split.csv' is a symbolic link"),
    "link inside": (link("engine/head.tflite"), 4, "head.tflite' is a symbolic link"),
    "a FIFO": (pipe, 4, "history.csv' is not a regular file"),
}


@pytest.mark.training
@pytest.mark.parametrize("why", REFUSED)
@pytest.mark.parametrize("name", RUNS)
def test_resume_that_is_refused_changes_nothing(resumable, name, why):
    path = resumable / "runs" / name
    change, code, words = REFUSED[why]
    if change:
        change(resumable, path)
    before = with_times(resumable)
    said = refused(code, name, "--resume", path, *(("--seed", "5") if not change else ()))
    assert re.search(words, said), said
    assert with_times(resumable) == before


@pytest.mark.training
@pytest.mark.parametrize("name", ["colors", "colors/plots", "colors/metrics.json"])
def test_resume_of_a_comparison_follows_no_links_in_its_runs(resumable, name):
    path = resumable / "runs" / "compare"
    link(name)(resumable, path)
    before = with_times(resumable)
    assert f"{name}' is a symbolic link" in refused(4, "compare", "--resume", path)
    assert with_times(resumable) == before


@pytest.mark.training
def test_resume_of_a_comparison_goes_on_beside_what_somebody_put_there(resumable, cache):
    path = resumable / "runs" / "compare"
    for name in ("DONE", "model.json", "speed.json"):
        (path / "colors" / name).unlink()
    put(path / "colors", ["UNFINISHED", ".gitignore", ".ipynb_checkpoints/x", f"plots/{TEMPORARIES[0]}"])
    before = everything(resumable)
    done = tlkit("compare", "--resume", path)
    assert done.exit_code == 0, done.stderr
    assert (path / "colors" / "DONE").exists()
    after = everything(resumable)
    mine = [file for file in before if "colors/." in file]
    assert {file: after[file] for file in mine} == {file: before[file] for file in mine}
    assert not (path / "colors" / "plots" / TEMPORARIES[0]).exists()


@pytest.mark.training
def test_resume_of_a_comparison_leaves_a_folder_with_somebodys_files_alone(resumable, cache):
    path = resumable / "runs" / "compare"
    shutil.rmtree(path / "colors")
    put(path, ["colors/thesis.txt"])
    before = everything(resumable)
    assert "has files that tlkit did not write" in refused(4, "compare", "--resume", path)
    after = everything(resumable)
    assert {file: after[file] for file in before if "colors" in file} == {
        file: before[file] for file in before if "colors" in file
    }
