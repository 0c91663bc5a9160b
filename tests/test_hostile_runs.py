"""Runs of strangers: a table of hostile folders. Each ends in one sentence, runs no code and opens nothing outside."""

import csv
import io
import json
import os
import pickle
import sys
import time
import zipfile
from contextlib import contextmanager

import numpy as np
import pytest

from tests.cli.commands import posix, refused, tlkit
from tests.shared_runs import copy_foreign_run, copy_run
from tlkit.utils.files import sha256_file

pytestmark = posix

_listeners: list[list[str]] = []  # each gets the paths that this process opens


def _hear(event, args):
    if event == "open":
        for listener in _listeners:
            listener.append(str(args[0]))


sys.addaudithook(_hear)


@contextmanager
def opened_files():
    """Collect the paths that are opened in the block."""
    found: list[str] = []
    _listeners.append(found)
    try:
        yield found
    finally:
        _listeners.remove(found)


@pytest.fixture
def image(colors):
    return colors / "red" / "0.png"


@pytest.fixture
def canary(tmp_path):
    """A pipe outside the run: who opens it waits for ever."""
    file = tmp_path / "outside" / "canary"
    file.parent.mkdir()
    os.mkfifo(file)
    return file


def forge(run, **values):
    """Change fields of model.json, as a stranger can."""
    content = json.loads((run.path / "model.json").read_text())
    (run.path / "model.json").write_text(json.dumps(content | values))


def rehash(run, *names):
    """Write the hashes of changed files into model.json, as a stranger can."""
    content = json.loads((run.path / "model.json").read_text())
    forge(run, sha256=content["sha256"] | {name: sha256_file(run.path / name) for name in names})


def stages(*files, engine="litert", precision="float32"):
    return {"stages": [{"file": file, "engine": engine, "precision": precision} for file in files]}


LOWER = "engine/lower.tflite"
FORGED = {  # fields of model.json
    "infinity": {"max_megapixels": float("inf")},
    "not a number": {"max_megapixels": float("nan")},
    "negative megapixels": {"max_megapixels": -1},
    "huge megapixels": {"max_megapixels": 1e9},
    "gray range of infinity": {"gray_range": [0, float("inf")]},
    "image size beyond all": {"image_size": 10**6},
    "image size zero": {"image_size": 0},
    "image size true": {"image_size": True},
    "image size a fraction": {"image_size": 32.5},
    "image size of thousands of digits": {"image_size": 10**4000},
    "resize a list": {"resize": ["crop"]},
    "unknown engine": {"engine": "torch"},
    "engine a list": {"engine": []},
    "unknown precision": {"precision": "float64"},
    "unknown engine of a stage": stages(LOWER, engine="torch"),
    "unknown precision of a stage": stages(LOWER, precision="int4"),
    "bfloat16 on LiteRT": stages(LOWER, precision="bfloat16"),
    "engine that reads another file": stages(LOWER, engine="classic"),
    "a file name 5,000 long": stages("engine/" + "x" * 5000),
    "1,000 stages": stages(*[LOWER] * 1000),
    "a stage twice": stages(LOWER, LOWER),
    "stages in another order": stages("engine/upper.tflite", LOWER),
    "no stage": stages(),
    "absolute path": stages("/etc/hostname"),
    "absolute path with the right ending": stages("/tmp/lower.tflite"),
    "path with ..": stages("engine/../../outside/lower.tflite"),
    "path with . and //": stages("./engine//lower.tflite"),
    "NUL in a path": stages("engine/lower.tflite\0"),
    "address": stages("https://example.org/lower.tflite"),
    "another file of the run": stages("settings.json"),
    "hash of a file outside": {"sha256": {"../outside/canary": "0" * 64}},
    "short hash": {"sha256": {LOWER: "0" * 10}},
    "hash in capitals": {"sha256": {LOWER: "A" * 64}},
    "hash a list": {"sha256": {LOWER: []}},
    "hashes a list": {"sha256": [[LOWER, "0" * 64]]},
    "10,000 hashes": {"sha256": {f"tensorboard/a/events.out.tfevents.{n}": "0" * 64 for n in range(10_000)}},
    "lone surrogate": {"class_names": ["blue", "green", "\ud800"]},
    "one class": {"class_names": ["blue"]},
    "the same class twice": {"class_names": ["blue", "blue", "red"]},
    "class without a name": {"class_names": ["blue", "", "red"]},
    "class that is a number": {"class_names": ["blue", 3, "red"]},
    "class name of 100,000 characters": {"class_names": ["blue", "x" * 100_000, "red"]},
    "a million classes": {"class_names": [str(number) for number in range(10**6)]},
    "classes a text": {"class_names": "blue"},
    "two classes of three": {"class_names": ["blue", "red"]},
    "temperature zero": {"temperature": 0},
    "temperature infinity": {"temperature": float("inf")},
    "temperature a text": {"temperature": "hot"},
    "unknown a list": {"unknown": [1]},
    "unknown of infinity": {"unknown": {"threshold": [float("inf")]}},
    "unknown too large": {"unknown": {"values": [0] * 100_000}},
    "unknown too deep": {"unknown": {"a": [[[[[[["x" * 5000]]]]]]]}},
    "head a text": {"head": "linear"},
    "head with a million layers": {"head": {"hidden": [1] * 10**6, "dropout": 0, "batch_norm": False}},
    "format a list": {"format": []},
    "versions a text": {"versions": "new", "format": 99},
    "versions of control characters": {"versions": {"tlkit": "\x1b[31m\n" * 99}, "format": 99},
    "backbone a list": {"backbone": [[]]},
}


def test_forged_fields_of_model_json_end_in_one_sentence(finetuned_run, image, tmp_path, canary):
    run = copy_run(finetuned_run, tmp_path)
    original = (run.path / "model.json").read_text()
    for kind, values in FORGED.items():
        (run.path / "model.json").write_text(original)
        forge(run, **values)
        with opened_files() as opened:
            words = refused(4, "predict", run.path, image)
        assert str(run.path) in words, kind
        assert len(words) < 700 and "\x1b" not in words, kind
        assert not any("canary" in path or path.startswith("/etc/hostname") for path in opened), kind


SPECIAL = {
    "pipe": lambda file, canary: os.mkfifo(file),
    "link to a pipe outside": lambda file, canary: file.symlink_to(canary),
    "link to /dev/zero": lambda file, canary: file.symlink_to("/dev/zero"),
    "link to a file outside": lambda file, canary: file.symlink_to(file.with_name("moved")),
    "broken link": lambda file, canary: file.symlink_to("nothing"),
    "link to itself": lambda file, canary: file.symlink_to(file),
    "folder": lambda file, canary: file.mkdir(),
    "nothing": lambda file, canary: None,
    "empty": lambda file, canary: file.touch(),
    "5 TB of nothing": lambda file, canary: (file.touch(), os.truncate(file, 5 << 40)),
    "16 MB of brackets": lambda file, canary: file.write_text("[" * 15_999_999),
    "no UTF-8": lambda file, canary: file.write_bytes(b"\xff\xfe{}"),
    "numbers of 100,000 digits": lambda file, canary: file.write_text('{"format": ' + "9" * 100_000 + "}"),
}
READ = {  # files of a run, and a command that reads each
    "model.json": ("predict", "RUN", "IMAGE"),
    LOWER: ("predict", "RUN", "IMAGE"),
    "settings.json": ("evaluate", "RUN"),
    "split.csv": ("evaluate", "RUN"),
    "predictions_val.csv": ("evaluate", "RUN"),
}


@pytest.mark.parametrize("name", READ)
def test_special_files_are_not_opened(name, finetuned_run, image, tmp_path, canary):
    run = copy_run(finetuned_run, tmp_path)
    words = {"RUN": run.path, "IMAGE": image}
    file = run.path / name
    file.rename(file.with_name("moved"))
    for kind, make in SPECIAL.items():
        make(file, canary)
        with opened_files() as opened:
            refused(4, *(words.get(word, word) for word in READ[name]))
        assert not any("canary" in path or path == "/dev/zero" for path in opened), kind
        if "link" in kind or "pipe" in kind:
            assert str(file) not in opened, kind
        if file.is_dir():
            file.rmdir()
        file.unlink(missing_ok=True)


def test_links_on_the_way_are_not_followed(finetuned_run, image, tmp_path):
    run = copy_run(finetuned_run, tmp_path)
    (run.path / "engine").rename(tmp_path / "outside_engine")
    (run.path / "engine").symlink_to(tmp_path / "outside_engine")
    with opened_files() as opened:
        words = refused(4, "predict", run.path, image)
    assert "is a link or not a folder" in words
    assert not any("lower.tflite" in path for path in opened)


def write_table(run, name, change):
    """Change the rows of a table, and its hash."""
    rows = list(csv.reader(io.StringIO((run.path / name).read_text(), newline="")))
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(change(rows))
    (run.path / name).write_text(text.getvalue())
    rehash(run, name)


TABLES = {
    "empty": lambda rows: [],
    "only a header": lambda rows: rows[:1],
    "without a column": lambda rows: [row[1:] for row in rows],
    "a short row": lambda rows: [*rows, rows[-1][:2]],
    "a long row": lambda rows: [*rows, [*rows[-1], "x"]],
    "a class that is not the run's": lambda rows: [*rows, [rows[-1][0], "purple", *rows[-1][2:]]],
    "a path outside": lambda rows: [*rows, ["../../outside/canary", *rows[-1][1:]]],
    "an absolute path": lambda rows: [*rows, ["/etc/passwd", *rows[-1][1:]]],
    "NUL in a path": lambda rows: [*rows, ["a\0b", *rows[-1][1:]]],
    "a field of a million characters": lambda rows: [*rows, ["x" * 10**6, *rows[-1][1:]]],
}


@pytest.mark.parametrize("name", ("split.csv", "predictions_val.csv"))
def test_damaged_tables_end_in_one_sentence(name, finetuned_run, tmp_path, canary):
    run = copy_run(finetuned_run, tmp_path)
    kept = [(run.path / file).read_bytes() for file in (name, "model.json")]
    for kind, change in TABLES.items():
        (run.path / name).write_bytes(kept[0])
        (run.path / "model.json").write_bytes(kept[1])
        write_table(run, name, change)
        with opened_files() as opened:
            refused(4, "evaluate", run.path)
        assert not any("canary" in path or path == "/etc/passwd" for path in opened), kind


def npz(arrays, **metadata):
    """Write arrays as the file of a classic pipeline, with some of its metadata changed."""
    content = json.loads(str(arrays["metadata"])) | metadata
    file = io.BytesIO()
    np.savez(file, **(arrays | {"metadata": np.array(json.dumps(content))}))
    return file.getvalue()


def zipped(**members):
    """Write an archive with these members, in which zeros are packed."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def header(shape, kind="<f4"):
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


class Payload:
    """Runs code where it is unpickled."""

    def __init__(self, marker):
        self._marker = marker

    def __reduce__(self):
        return (open, (str(self._marker), "w"))


def damage_deflate(content):
    """Damage the packed data of the first member, not its header."""
    damaged = bytearray(content)
    start = content.index(b".npy") + 60
    damaged[start : start + 60] = b"\xff" * 60
    return bytes(damaged)


ARCHIVES = {  # arrays of a pipeline and its bytes to the bytes of a hostile one
    "damaged deflate stream": lambda arrays, content, marker: damage_deflate(content),
    "cut": lambda arrays, content, marker: content[: len(content) // 2],
    "empty archive": lambda arrays, content, marker: zipped(),
    "text": lambda arrays, content, marker: b"<html>" * 100,
    "bad header expression": lambda arrays, content, marker: zipped(**{"metadata.npy": header("(1+")}),
    "header that calls": lambda arrays, content, marker: zipped(
        **{"metadata.npy": header(f"(open('{marker}', 'w'),)")}
    ),
    "header that promises 35 TB": lambda arrays, content, marker: zipped(
        **{"metadata.npy": header("(8796093022208,)")}
    ),
    "bomb": lambda arrays, content, marker: zipped(**{"a.npy": header("(268435456,)") + bytes(1 << 30)}),
    "pickle": lambda arrays, content, marker: npz(arrays | {"scaler/mean": np.array([Payload(marker)], object)}),
    "pickle as a file": lambda arrays, content, marker: pickle.dumps(Payload(marker)),
    "pickle as metadata": lambda arrays, content, marker: (
        npz(arrays) and zipped(**{"metadata.npy": header("(1,)", "|O") + pickle.dumps(Payload(marker))})
    ),
    "temperature beyond float": lambda arrays, content, marker: npz(arrays, temperature=10**400),
    "no descriptors": lambda arrays, content, marker: npz(arrays, descriptors=[]),
    "descriptors a number": lambda arrays, content, marker: npz(arrays, descriptors=5),
    "LBP of 4,096 pixels 300 times": lambda arrays, content, marker: npz(
        arrays, descriptors=["lbp"] * 300, sizes=[4096] * 300
    ),
    "scores that are not numbers": lambda arrays, content, marker: npz(
        arrays | {"classifier/bias": np.full_like(arrays["classifier/bias"], np.nan)}
    ),
    "values of another length": lambda arrays, content, marker: npz(
        arrays | {"scaler/mean": arrays["scaler/mean"][:-1]}
    ),
    "10 million labels": lambda arrays, content, marker: npz(
        {name: array for name, array in arrays.items() if not name.startswith("classifier")}
        | {
            "classifier/rows": np.zeros((1, len(arrays["scaler/mean"])), np.float32),
            "classifier/lengths": np.zeros(1),
            "classifier/labels": np.array([10**7]),
            "classifier/neighbors": np.array(1),
        },
        classifier="knn",
    ),
    "path as a name": lambda arrays, content, marker: zipped(**{"../../outside/x.npy": header("(0,)")}),
}


@pytest.mark.slow
def test_hostile_archives_end_in_one_sentence(classic_run, image, tmp_path):
    run, marker = copy_run(classic_run, tmp_path), tmp_path / "code_was_run"
    file = run.path / "classic.npz"
    content = file.read_bytes()
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    for kind, forged in ARCHIVES.items():
        file.write_bytes(forged(arrays, content, marker))
        rehash(run, "classic.npz")
        started = time.monotonic()
        assert "classic.npz" in refused(4, "predict", run.path, image), kind
        assert time.monotonic() - started < 20, kind
        assert not marker.exists(), kind
        assert not (tmp_path / "outside").exists(), kind


RECOMMENDED = ("..", ".", "../outside", "/etc", "a\0b", "x" * 5000, "\ud800", "", ["linear"], None, "link", "missing")


def test_a_hostile_comparison_names_no_run_outside(finetuned_run, image, tmp_path, canary):
    folder = tmp_path / "comparison"
    folder.mkdir()
    copy_run(finetuned_run, tmp_path).path.rename(tmp_path / "outside_run")
    (folder / "link").symlink_to(tmp_path / "outside_run")
    for name in ("DONE", "compare.csv"):
        (folder / name).touch()
    for name in RECOMMENDED:
        (folder / "compare.json").write_text(json.dumps({"advice": {"name": name}, "models": [{"model": name}]}))
        with opened_files() as opened:
            refused(4, "predict", folder, image)
        assert not any("outside" in path for path in opened), name
    (folder / "compare.json").unlink()
    (folder / "compare.json").symlink_to(canary)
    refused(4, "predict", folder, image)


def test_a_hostile_unfinished_run_is_named_in_a_short_sentence(image, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    for command in ("\x1b[31m" + "x" * 10**6, 5, None, ["train"], "rm -rf ~;", "\ud800"):
        (run / "settings.json").write_text(json.dumps({"command": command, "data": "/"}))
        words = refused(4, "predict", run, image)
        assert f"`tlkit finetune --resume {run}`" in words and len(words) < 1000


GOLDEN = {
    "a list": [],
    "no samples": {"tolerance": 1e-4, "samples": []},
    "a file outside": {"tolerance": 1e-4, "samples": [{"file": "../outside/canary"}]},
    "an absolute file": {"tolerance": 1e-4, "samples": [{"file": "/etc/hostname"}]},
    "a number beyond float": {"tolerance": 10**400, "samples": []},
    "infinite tolerance": {"tolerance": float("inf"), "samples": []},
    "a tolerance of everything": {"tolerance": 1e9},
}


def test_hostile_golden_samples_end_in_one_sentence(finetuned_run, image, tmp_path, canary):
    run = copy_run(finetuned_run, tmp_path)
    good = json.loads((run.path / "golden.json").read_text())
    for kind, changed in GOLDEN.items():
        content = good | changed if isinstance(changed, dict) else changed
        if isinstance(changed, dict) and changed.get("samples"):
            content["samples"] = [good["samples"][0] | sample for sample in changed["samples"]]
        (run.path / "golden.json").write_text(json.dumps(content))
        rehash(run, "golden.json")
        with opened_files() as opened:
            refused(4, "predict", run.path, image, "--verify")
        assert not any("canary" in path or path == "/etc/hostname" for path in opened), kind


def test_code_in_the_folder_of_a_run_is_not_imported(finetuned_run, image, tmp_path, monkeypatch):
    run, marker = copy_run(finetuned_run, tmp_path), tmp_path / "code_was_run"
    forge(run, note="made by a stranger")  # so that its files are tried in a child process
    for name in ("numpy", "json", "tlkit", "ai_edge_litert", "keras", "sitecustomize", "usercustomize"):
        (run.path / f"{name}.py").write_text(f"open({str(marker)!r}, 'w')")
    monkeypatch.chdir(run.path)
    assert tlkit("predict", ".", image).exit_code == 0
    assert not marker.exists()


def test_explain_opens_no_training_image_of_a_strangers_run(finetuned_run, image, tmp_path):
    root, found = finetuned_run.read_settings()["data"], []
    for run in (finetuned_run, copy_foreign_run(finetuned_run, tmp_path)):
        with opened_files() as opened:
            done = tlkit("explain", run.path, image, "-o", tmp_path / f"{len(found)}.png")
        assert done.exit_code == 0, done.stderr
        found.append({path for path in opened if path.startswith(f"{root}{os.sep}")})
    assert len(found[0]) > 1
    assert found[1] <= {str(image)}
