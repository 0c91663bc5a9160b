"""Folders of parquet shards: the rows of one file, whole or continued after kills; refusals; readers."""

import hashlib
import json
import multiprocessing
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("pyarrow")

from tests.cli.commands import posix, refused, tlkit
from tests.shared_runs import copy_run, rewrite_json
from tlkit.errors import RunError
from tlkit.inference import shards
from tlkit.inference.predictor import Predictor
from tlkit.inference.shards import BlockList, PredictBlock, choose_block_size, describe_command, write_shards
from tlkit.utils.progress import Silent

SECONDS = 60  # for a process
TEMPORARY = f".tlkit-{'0' * 16}.tmp"
OPTIONS = (
    (),
    ("--top-k", "2", "--probs", "--scores"),
    ("--min-confidence", "0.99"),
    ("--no-unknown",),
    ("--skip-unreadable",),
)


@pytest.fixture
def images(colors, tmp_path):
    """36 images, files that are none, and a name that is not UTF-8."""
    folder = shutil.copytree(colors, tmp_path / "images")
    (folder / "red" / "broken.jpg").touch()
    (folder / "notes.txt").write_text("not an image")
    return folder


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(shards, "BLOCK_SIZES", (5, 5))


def read_folder(folder):
    """All rows of a folder, as a reader of data sets finds them."""
    from pyarrow import dataset

    return dataset.dataset(folder, format="parquet").to_table().replace_schema_metadata()


def read_file(file):
    from pyarrow import parquet

    return parquet.read_table(file).replace_schema_metadata()


def manifest_of(folder):
    return json.loads((folder / "_manifest.json").read_text())


def state(folder):
    """Every name in a folder, with the content of files."""
    return {path.name: path.read_bytes() if path.is_file() else None for path in sorted(folder.iterdir())}


# rows


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_shards_have_the_rows_of_one_parquet_file(run, images, tmp_path, small_blocks, options):
    inputs = (images, images / "red" / "1.png", images / "red" / "1.png", "no such.jpg")
    code = 0 if "--skip-unreadable" in options else 6
    for output in ("out.parquet", "out/"):
        done = tlkit("predict", run.path, *inputs, "-o", f"{tmp_path}/{output}", *options)
        assert done.exit_code == code, done.stderr
    rows = read_folder(tmp_path / "out")
    assert rows.equals(read_file(tmp_path / "out.parquet"))
    assert rows.num_rows == (38 if code == 0 else 41)
    assert rows.column("path").to_pylist().count(str(images / "red" / "1.png")) == 3


def test_the_manifest_says_what_is_in_the_folder(run, images, tmp_path, small_blocks):
    done = tlkit("predict", run.path, images, "-o", f"{tmp_path}/out/", "--json")
    assert done.exit_code == 6
    manifest, printed = manifest_of(tmp_path / "out"), json.loads(done.stdout)
    files = sorted((tmp_path / "out").glob("*.parquet"))
    assert [shard["file"] for shard in manifest["shards"]] == [file.name for file in files]
    assert len(files) == 8
    for shard, file in zip(manifest["shards"], files, strict=True):
        assert shard["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
        assert shard["rows"] == read_file(file).num_rows
    statuses = read_folder(tmp_path / "out").column("status").to_pylist()
    assert (manifest["rows"], manifest["inputs"], manifest["errors"]) == (38, 38, 2)
    assert manifest["unknown"] == statuses.count("unknown")
    assert sum(manifest["labels"].values()) == statuses.count("ok")
    assert manifest["model"] == hashlib.sha256((run.path / "model.json").read_bytes()).hexdigest()
    assert printed["shards"] == f"{tmp_path}/out/"
    assert {name: printed[name] for name in ("inputs", "errors", "unknown", "labels")} == {
        name: manifest[name] for name in ("inputs", "errors", "unknown", "labels")
    }
    assert {path.name for path in (tmp_path / "out").iterdir()} - {file.name for file in files} == {
        "_command.json",
        "_manifest.json",
    }


def test_a_summary_comes_after_the_last_shard(run, images, tmp_path):
    done = tlkit("predict", run.path, images / "blue", "-o", f"{tmp_path}/out/")
    assert (done.exit_code, done.stdout) == (0, "")
    lines = done.stderr.splitlines()
    assert lines[0].startswith("classifying images: 12 images")
    assert lines[1].startswith("12 images: ")
    assert lines[2] == f"shards      {tmp_path}/out/"


def test_format_shards_takes_any_name_and_needs_one(run, images, tmp_path):
    assert tlkit("predict", run.path, images / "blue", "-o", tmp_path / "out", "--format", "shards").exit_code == 0
    assert read_folder(tmp_path / "out").num_rows == 12
    assert "-o answers/" in refused(2, "predict", run.path, images, "--format", "shards")
    words = refused(2, "predict", run.path, images, "-o", f"{tmp_path}/new/", "--format", "csv")
    assert "is not a file name" in words


def test_no_file_leaves_no_folder(run, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "no file was found" in refused(3, "predict", run.path, tmp_path / "empty", "-o", f"{tmp_path}/out/")
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_a_name_in_any_encoding_is_a_row(run, images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = tlkit("predict", run.path, "-", "-o", "out/", input=b"images/red/1.png\ncaf\xe9.png\n")
    assert done.exit_code == 6
    statuses = read_folder(tmp_path / "out").column("status").to_pylist()
    assert statuses == ["ok", "error"]


# continued


def write(run, inputs, output, **options):
    """What the command does, in this process."""
    predictor = Predictor(run, top_k=options.get("top_k", 1))
    spec = describe_command(run, output, **options)
    progress = Silent()
    with BlockList(inputs, spec) as blocks:
        return write_shards(blocks, progress, predictor), progress.notes


def stop_after(folder, count):
    """Make a finished folder one that was stopped after some shards, with what a killed process leaves."""
    for file in sorted(folder.glob("*.parquet"))[count:]:
        file.unlink()
    (folder / "_manifest.json").unlink()
    (folder / TEMPORARY).write_bytes(b"PAR1 half")


def test_an_unfinished_folder_is_continued_to_the_same_bytes(run, images, tmp_path, small_blocks):
    command = ("predict", run.path, images, "-o", f"{tmp_path}/out/")
    assert tlkit(*command).exit_code == 6
    whole = state(tmp_path / "out")
    stop_after(tmp_path / "out", 3)
    times = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").glob("*.parquet")}
    done = tlkit(*command)
    assert done.exit_code == 6
    assert done.stderr.startswith("Note: continues: 3 of 8 shards are there\nclassifying images: 23 images")
    assert "36 classified, 2 skipped" in done.stderr
    assert state(tmp_path / "out") == whole
    assert {file: file.stat().st_mtime_ns for file in times} == times
    stop_after(tmp_path / "out", 8)  # nothing but the manifest is missing
    assert "continues: 8 of 8" in tlkit(*command).stderr
    assert state(tmp_path / "out") == whole


def test_a_folder_that_was_started_keeps_the_size_of_its_shards(run, images, tmp_path, small_blocks, monkeypatch):
    command = ("predict", run.path, images, "-o")
    tlkit(*command, f"{tmp_path}/out/")
    whole = state(tmp_path / "out")
    stop_after(tmp_path / "out", 3)
    monkeypatch.setattr(shards, "BLOCK_SIZES", (7, 7))
    assert "continues: 3 of 8 shards are there" in tlkit(*command, f"{tmp_path}/out/").stderr
    assert state(tmp_path / "out") == whole
    tlkit(*command, f"{tmp_path}/new/")
    assert len(manifest_of(tmp_path / "new")["shards"]) == 6
    assert read_folder(tmp_path / "new").equals(read_folder(tmp_path / "out"))


def test_names_of_shards_are_those_of_a_folder_that_an_earlier_version_started(run, tmp_path):
    """All of them had 1,024 inputs, so that is what `_command.json` says."""
    spec = describe_command(run, tmp_path / "out", top_k=2)
    key = {"format": 1, "block_size": 1024, "model": spec.model, "versions": spec.versions, "engine": "auto"}
    key |= {"top_k": 2, "probs": False, "scores": False, "unknown": None, "min_confidence": 0.0}
    key["skip_unreadable"] = False
    inputs = [f"/photos/{number}.jpg" for number in range(3_000)]
    expected = []
    for number in range(3):
        parts = [json.dumps(key), "", inputs[1024 * number : 1024 * (number + 1)]]
        digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        expected.append(f"part-{number:06d}-{digest[:16]}.parquet")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "_command.json").write_text(json.dumps(key))
    with BlockList(inputs, describe_command(run, tmp_path / "out", top_k=2)) as blocks:
        assert [block.file for block in blocks] == expected
        assert blocks.spec.folder.find() == set()


@pytest.mark.parametrize("num_inputs", [1, 128, 129, 3_000, 32_768, 32_769, 100_000, 262_144, 10**6, 10**9])
def test_the_number_of_inputs_chooses_the_size_of_shards(num_inputs):
    size = choose_block_size(num_inputs)
    num_blocks = -(-num_inputs // size)
    assert 128 <= size <= 1024
    assert num_blocks <= 256 or size == 1024
    assert num_blocks > 250 or size == 128  # enough for many workers, but for small shards


def test_a_run_that_has_moved_continues(run, images, tmp_path, small_blocks):
    moved = copy_run(run, tmp_path)
    tlkit("predict", run.path, images, "-o", f"{tmp_path}/out/")
    whole = {name: content for name, content in state(tmp_path / "out").items() if name != "_manifest.json"}
    stop_after(tmp_path / "out", 3)
    assert tlkit("predict", moved.path, images, "-o", f"{tmp_path}/out/").exit_code == 6
    assert {name: content for name, content in state(tmp_path / "out").items() if name != "_manifest.json"} == whole


def test_a_block_is_the_same_from_another_process(run, images, tmp_path, small_blocks):
    spec = describe_command(run, tmp_path / "here")
    with BlockList([images / "red" / f"{number}.png" for number in range(5)], spec) as blocks:
        (block,) = blocks
    rows = []
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        work = pickle.loads(pickle.dumps((replace(spec, output=tmp_path / folder), block)))
        if folder == "here":
            rows.append(PredictBlock(work[0])(work[1]))
        else:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                rows.append(pool.submit(do_block, *work).result(SECONDS))
    assert rows[0] == rows[1]
    assert state(tmp_path / "here") == state(tmp_path / "there")


def do_block(spec, block):
    return PredictBlock(spec)(block)


def test_relative_inputs_are_found_from_another_folder(run, images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = describe_command(run, tmp_path)
    with BlockList(["images/red/1.png"], spec) as blocks:
        (block,) = blocks
    monkeypatch.chdir("/")
    assert PredictBlock(spec)(block).counts["errors"] == 0
    assert read_file(tmp_path / block.file).column("path").to_pylist() == ["images/red/1.png"]


# refused


def test_what_is_there_is_refused_and_stays(run, images, tmp_path, small_blocks):
    out, command = tmp_path / "out", ("predict", run.path, images, "-o", f"{tmp_path}/out/")
    tlkit(*command)
    assert "is complete" in refused(2, *command)
    stop_after(out, 3)
    before = state(out)
    for options, words in (
        (("--top-k", "2"), "--top-k 1, but now it is 2"),
        (("--probs",), "--probs False, but now it is True"),
        (("--no-unknown",), "--unknown None, but now it is False"),
        (("--min-confidence", "0.5"), "--min-confidence 0.0, but now it is 0.5"),
        (("--skip-unreadable",), "--skip-unreadable False, but now it is True"),
        (("--engine", "litert"), "--engine auto, but now it is litert"),
    ):
        assert words in refused(2, *command, *options)
        assert state(out) == before
    (images / "blue" / "00.png").write_bytes((images / "blue" / "0.png").read_bytes())
    assert "the list of inputs has changed" in refused(2, *command)
    (images / "blue" / "00.png").unlink()
    (out / "thesis.txt").write_text("years of work")
    assert "has other files ('thesis.txt')" in refused(2, *command)
    (out / "thesis.txt").unlink()
    assert state(out) == before
    assert tlkit(*command).exit_code == 6


def test_another_run_is_refused(run, own_run, images, tmp_path, small_blocks):
    tlkit("predict", run.path, images, "-o", f"{tmp_path}/out/")
    stop_after(tmp_path / "out", 3)
    rewrite_json(own_run, "settings.json", own_run.read_settings() | {"seed": 7})
    words = refused(2, "predict", own_run.path, images, "-o", f"{tmp_path}/out/")
    assert "was started with another run" in words


def test_another_version_of_a_package_is_refused(run, images, tmp_path, small_blocks):
    tlkit("predict", run.path, images, "-o", f"{tmp_path}/out/")
    stop_after(tmp_path / "out", 3)
    command = json.loads((tmp_path / "out" / "_command.json").read_text())
    command["versions"]["pillow"] = "1.0"
    (tmp_path / "out" / "_command.json").write_text(json.dumps(command))
    words = refused(2, "predict", run.path, images, "-o", f"{tmp_path}/out/")
    assert "other versions of packages" in words


def test_a_damaged_shard_is_named(run, images, tmp_path, small_blocks):
    command = ("predict", run.path, images, "-o", f"{tmp_path}/out/")
    tlkit(*command)
    whole = state(tmp_path / "out")
    stop_after(tmp_path / "out", 3)
    damaged = sorted((tmp_path / "out").glob("*.parquet"))[1]
    damaged.write_bytes(damaged.read_bytes()[:-9])
    words = refused(2, *command)
    assert damaged.name in words
    damaged.unlink()
    tlkit(*command)
    assert state(tmp_path / "out") == whole


def test_a_folder_among_the_images_is_refused(run, images):
    before = sorted(images.rglob("*"))
    for output in (f"{images}/", f"{images}/out/", f"{images}/red/out/"):
        assert "inside the image folder" in refused(2, "predict", run.path, images, "-o", output)
    assert sorted(images.rglob("*")) == before


def test_a_sheet_or_sorted_folders_are_refused(run, images, tmp_path):
    for options in (("--sheet", tmp_path / "s.html"), ("--sort-into", tmp_path / "sorted")):
        assert options[0] in refused(2, "predict", run.path, images, "-o", f"{tmp_path}/out/", *options)
    assert not (tmp_path / "out").exists()


def test_a_run_that_changes_is_refused_by_every_process(run, own_run, tmp_path):
    spec = describe_command(own_run, tmp_path / "out")
    rewrite_json(own_run, "settings.json", own_run.read_settings() | {"seed": 7})
    with pytest.raises(RunError, match="is not the run that this command started with"):
        PredictBlock(spec)


# many inputs


def test_memory_does_not_grow_with_the_inputs(run, tmp_path):
    spec = describe_command(run, tmp_path / "out")
    peaks = []
    for count in (20_000, 100_000):
        tracemalloc.start()
        with BlockList((f"/photos/of/2026/{number:08}.jpg" for number in range(count)), spec) as blocks:
            assert blocks.num_inputs == sum(len(block.inputs) for block in blocks) == count
            assert blocks.num_blocks == len({block.file for block in blocks})
            assert [block.file for block in blocks] == sorted(block.file for block in blocks)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0] + 100_000


def test_the_name_of_a_shard_holds_all_that_its_rows_depend_on(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = describe_command(run, tmp_path / "out")
    changed = [
        replace(spec, **change)
        for change in (
            {"model": "0" * 64},
            {"versions": {}},
            {"engine": "keras"},
            {"top_k": 2},
            {"probs": True},
            {"scores": True},
            {"unknown": False},
            {"min_confidence": 0.5},
            {"skip_unreadable": True},
            {"root": "/elsewhere"},
        )
    ]
    names = [next(iter(BlockList(["a.jpg", "b.jpg"], item))).file for item in (spec, *changed)]
    names += [next(iter(BlockList(inputs, spec))).file for inputs in (["a.jpg"], ["b.jpg", "a.jpg"], ["a.jpg\nb.jpg"])]
    assert len(set(names)) == len(names)
    same = [replace(spec, **change) for change in ({"run": "/moved"}, {"output": Path("/out")}, {"trust_model": True})]
    assert {next(iter(BlockList(["a.jpg", "b.jpg"], item))).file for item in same} == {names[0]}
    absolute = [replace(spec, root=root) for root in ("/a", "/b")]
    assert len({next(iter(BlockList(["/x/a.jpg"], item))).file for item in absolute}) == 1


# killed

REPEATED = 120  # times that every image is an input: 4,320 inputs, 34 shards


@pytest.fixture(scope="module")
def listed(finetuned_run, colors, tmp_path_factory):
    """A long list of images, each many times, and the rows that one file has of it."""
    folder = tmp_path_factory.mktemp("listed")
    paths = [str(path) for path in sorted(colors.rglob("*.png"))] * REPEATED
    paths[7::1000] = [f"{folder}/missing.png"] * len(paths[7::1000])
    (folder / "list.txt").write_text("\n".join(paths) + "\n")
    done = tlkit("predict", finetuned_run.path, "-", "-o", folder / "all.parquet", input="\n".join(paths))
    assert done.exit_code == 6
    return folder / "list.txt", read_file(folder / "all.parquet")


def start(run, list_file, output):
    command = [sys.executable, "-m", "tlkit", "predict", str(run.path), "-", "-o", f"{output}/"]
    with list_file.open("rb") as stdin:
        return subprocess.Popen(command, stdin=stdin, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def num_shards(output):
    return len(list(Path(output).glob("*.parquet")))


def wait_for_shards(running, output, count):
    """Wait until a process has written some shards, or has ended."""
    until = time.monotonic() + SECONDS
    while running.poll() is None and num_shards(output) < count and time.monotonic() < until:
        time.sleep(0.002)


def check_whole(output, expected):
    """Every input has one row, in order; only what belongs there is there."""
    rows = read_folder(output)
    assert rows.num_rows == expected.num_rows
    assert rows.equals(expected)
    manifest = manifest_of(output)
    assert manifest["rows"] == expected.num_rows
    names = {shard["file"] for shard in manifest["shards"]} | {"_command.json", "_manifest.json"}
    assert {path.name for path in output.iterdir()} == names


@posix
def test_a_command_that_is_killed_twice_continues_with_every_row_once(finetuned_run, listed, tmp_path):
    list_file, expected = listed
    for count in (1, 17):
        running = start(finetuned_run, list_file, tmp_path / "out")
        wait_for_shards(running, tmp_path / "out", count)
        running.kill()
        assert running.wait() == -signal.SIGKILL, running.stderr.read()
        running.stderr.close()
        assert num_shards(tmp_path / "out") >= count
    running = start(finetuned_run, list_file, tmp_path / "out")
    words = running.communicate(timeout=SECONDS)[1].decode()
    assert running.returncode == 6, words
    assert "of 34 shards are there" in words
    check_whole(tmp_path / "out", expected)


@pytest.mark.slow
@posix
@pytest.mark.parametrize("seed", range(20))
def test_kills_at_random_moments_lose_and_double_no_row(finetuned_run, listed, tmp_path, seed):
    list_file, expected = listed
    draw = random.Random(seed)
    for _ in range(40):
        running = start(finetuned_run, list_file, tmp_path / "out")
        wait_for_shards(running, tmp_path / "out", num_shards(tmp_path / "out") + draw.choice((0, 0, 5, 10, 15)))
        try:
            words = running.communicate(timeout=draw.uniform(0, 0.6))[1]
        except subprocess.TimeoutExpired:
            running.kill()
            words = running.communicate()[1]
        assert running.returncode in (-signal.SIGKILL, 6), words
        if (tmp_path / "out" / "_manifest.json").exists():  # even if the kill came just behind it
            break
    check_whole(tmp_path / "out", expected)


@posix
def test_an_interrupt_says_that_the_same_command_continues(finetuned_run, listed, tmp_path):
    list_file, expected = listed
    running = start(finetuned_run, list_file, tmp_path / "out")
    wait_for_shards(running, tmp_path / "out", 1)
    running.send_signal(signal.SIGINT)
    words = running.communicate(timeout=SECONDS)[1].decode()
    assert running.returncode == 130, words
    assert words.splitlines()[-1] == "Stopped. The same command continues it."
    running = start(finetuned_run, list_file, tmp_path / "out")
    running.communicate(timeout=SECONDS)
    check_whole(tmp_path / "out", expected)
