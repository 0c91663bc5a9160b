"""The table of features as a folder of shards: the rows of one file, also after kills; refusals; object stores."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("sklearn")
pytest.importorskip("faiss")

import tlkit
from tests.cli.commands import posix, refused
from tests.cli.commands import tlkit as command
from tests.filling import KEY, record
from tests.shared_runs import copy_run
from tlkit.distributed.shard_folder import ShardFolder
from tlkit.features import tables
from tlkit.features.store import FeatureStore
from tlkit.features.stored import StoredFeatures
from tlkit.features.table_shards import write_table_shards
from tlkit.features.tables import Table
from tlkit.utils.progress import Silent
from tlkit.utils.storage import as_location, open_filesystem

SECONDS = 120  # for a process
ROWS = 7  # of a shard: six of 36 images
NUM_SHARDS = 6
KINDS = {"plain": (), "components": ("--pca", "5"), "codes": ("--pca", "8", "--pq", "4")}
CHILD = f"""
import os, signal, sys
from tlkit.distributed.shard_folder import ShardFolder
from tlkit.features import tables
tables.BLOCK_ROWS = {ROWS}
left, write = int(sys.argv.pop(1)), ShardFolder.write
def write_then_die(folder, name, content):
    global left
    written = write(folder, name, content)
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return written
ShardFolder.write = write_then_die
from tlkit.cli import main
main()
"""


@pytest.fixture(scope="module")
def options(weights_file):
    return ("--backbone", "mobilenet_025", "--weights", str(weights_file), "--image-size", "32")


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(tables, "BLOCK_ROWS", ROWS)


def read(location):
    """All rows of a folder or a file, as a reader of data sets finds them."""
    from pyarrow import dataset

    location = as_location(str(location))
    store, name = (None, location) if not hasattr(location, "uri") else open_filesystem(location)
    return dataset.dataset(name, filesystem=store, format="parquet").to_table()


def state(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def stop_after(folder, count):
    """Make a finished folder one that was stopped after some shards."""
    for file in sorted(folder.glob("*.parquet"))[count:]:
        file.unlink()
    (folder / "_manifest.json").unlink()


@pytest.mark.parametrize("kind", KINDS)
def test_shards_have_the_rows_and_columns_of_one_file(options, colors, tmp_path, small_blocks, kind):
    for output in ("all.parquet", "out/"):
        done = command("features", colors, *options, *KINDS[kind], "-o", f"{tmp_path}/{output}")
        assert done.exit_code == 0, done.stderr
    words = done.stdout.replace("\n            ", "")  # a long path goes on in the next line
    assert f"shards      {tmp_path}/out/" in words
    rows, expected = read(tmp_path / "out"), read(tmp_path / "all.parquet")
    assert len(list((tmp_path / "out").glob("*.parquet"))) == NUM_SHARDS
    assert rows.equals(expected)
    assert rows.schema.equals(expected.schema, check_metadata=True)
    assert rows.column("path").to_pylist() == sorted(file.relative_to(colors).as_posix() for file in colors.glob("*/*"))
    manifest = json.loads((tmp_path / "out" / "_manifest.json").read_text())
    assert [shard["rows"] for shard in manifest["shards"]] == [7, 7, 7, 7, 7, 1]
    assert (manifest["rows"], manifest["data"], manifest["pca"]) == (36, str(colors), int((*KINDS[kind], 0, 0)[1]))
    assert (tmp_path / "out" / "_learnt.npz").exists() == (kind != "plain")
    if kind != "plain":
        with np.load(tmp_path / "out" / "_learnt.npz") as here, np.load(tmp_path / "all.learnt.npz") as there:
            assert set(here.files) == set(there.files)
            assert all(np.array_equal(here[name], there[name]) for name in here.files if name != "facts")


def test_the_library_gives_the_same_table(options, colors, tmp_path, small_blocks):
    settings = dict(zip(("backbone", "weights", "image_size"), (*options[1:4:2], 32), strict=True))
    export = tlkit.export_features(colors, f"{tmp_path}/out/", **settings)
    assert export.files == [tmp_path / "out"]
    assert export.shape == (36, export.table.num_values)
    values = np.array(read(tmp_path / "out").column("features").to_pylist(), np.float32)
    assert np.array_equal(values, export.table.rows)
    assert export.to_pandas().shape == (36, export.shape[1] + 3)


@posix
def test_a_command_that_is_killed_behind_each_file_continues_to_the_same_bytes(options, colors, tmp_path, small_blocks):
    words = ("features", str(colors), *options, *KINDS["codes"], "-o")
    assert command(*words, f"{tmp_path}/whole/").exit_code == 0
    for number, left in enumerate((1, 1, 1, 2, 0)):  # how many files each process writes before it dies
        done = start((*words, f"{tmp_path}/killed/"), left)
        assert done.returncode == (-signal.SIGKILL if left else 0), done.stderr
        there = len(list((tmp_path / "killed").glob("*.parquet")))
        assert there >= (0, 0, 1, 3, NUM_SHARDS)[number]  # the first two files are no shards; other threads write, too
    assert re.search(rb"continues: [3-6] of 6 shards are there", done.stderr)
    assert state(tmp_path / "killed") == state(tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "whole"]


@pytest.mark.slow
@posix
@pytest.mark.parametrize("seed", range(20))
def test_kills_at_random_moments_leave_the_same_bytes(options, colors, tmp_path, seed, monkeypatch):
    monkeypatch.setattr(tables, "BLOCK_ROWS", 1)
    words = ("features", str(colors), *options, "--pca", "5", "-o")
    assert command(*words, f"{tmp_path}/whole/").exit_code == 0
    program = [sys.executable, "-c", CHILD.replace(f"BLOCK_ROWS = {ROWS}", "BLOCK_ROWS = 1"), "0"]
    out, draw = tmp_path / "killed", random.Random(seed)
    for _ in range(40):
        wanted = len(list(out.glob("*.parquet"))) + draw.randrange(25)
        with subprocess.Popen([*program, *words, f"{out}/"], stderr=subprocess.PIPE) as running:
            until = time.monotonic() + SECONDS
            while running.poll() is None and len(list(out.glob("*.parquet"))) < wanted and time.monotonic() < until:
                time.sleep(0.002)
            if wanted < 36:
                time.sleep(draw.uniform(0, 0.02))
                running.kill()
            said = running.communicate(timeout=SECONDS)[1]
        if running.returncode != -signal.SIGKILL:
            break
    assert running.returncode == 0 or b"is complete" in said, said  # the kill may come behind the manifest
    assert state(out) == state(tmp_path / "whole")


def start(words, left):
    """Run a command that kills itself behind some files; 0 for none."""
    program = [sys.executable, "-c", CHILD, str(left), *words]
    return subprocess.run(program, capture_output=True, timeout=SECONDS, check=False, env=os.environ)


def test_an_unfinished_folder_takes_the_codec_that_is_there(options, colors, tmp_path, small_blocks):
    words = ("features", colors, *options, "--pq", "4", "-o", f"{tmp_path}/out/")
    assert command(*words).exit_code == 0
    whole = state(tmp_path / "out")
    stop_after(tmp_path / "out", 2)
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    done = command(*words)
    assert done.exit_code == 0
    assert "continues: 2 of 6 shards are there" in done.stderr
    assert state(tmp_path / "out") == whole
    assert times == {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in times}
    stop_after(tmp_path / "out", 2)
    for damaged in (whole["_learnt.npz"][:-9], b"", whole["_learnt.npz"][:300] + b"x" + whole["_learnt.npz"][301:]):
        (tmp_path / "out" / "_learnt.npz").write_bytes(damaged)
        assert "_learnt.npz' is damaged (" in refused(2, *words)
    (tmp_path / "out" / "_learnt.npz").unlink()
    assert command(*words).exit_code == 0  # fitted again, to the same arrays
    assert state(tmp_path / "out") == whole


def test_what_is_there_is_refused_and_stays(options, colors, tmp_path, small_blocks):
    photos, out = shutil.copytree(colors, tmp_path / "photos"), tmp_path / "out"
    words = ("features", photos, *options, "--pca", "3", "-o", f"{out}/")
    assert command(*words).exit_code == 0
    assert refused(2, *words) == f"'{out}' already exists and is complete; choose another folder with -o."
    stop_after(out, 2)
    before = state(out)
    for changed, said in (
        (("--pca", "4"), "--pca 3, but now it is 4"),
        (("--pca", "0"), "--pca 3, but now it is 0"),
        (("--seed", "1"), "--seed 0, but now it is 1"),
        (("--image-size", "64"), "--image-size 32, but now it is 64"),
        (("--layer", "conv_pw_3_relu"), "--layer , but now it is conv_pw_3_relu"),
    ):
        assert said in refused(2, *words, *changed)
        assert state(out) == before
    (photos / "red" / "0.png").write_bytes((photos / "blue" / "0.png").read_bytes())
    assert "the list of inputs has changed" in refused(2, *words)
    shutil.copy(colors / "red" / "0.png", photos / "red" / "0.png")
    shard = sorted(out.glob("*.parquet"))[1]
    shard.write_bytes(before[shard.name][:200] + b"??" + before[shard.name][202:])
    assert f"{shard.name}' is damaged (" in refused(2, *words)
    shard.write_bytes(before[shard.name])
    (out / "thesis.txt").write_text("years of work")
    assert "has other files ('thesis.txt')" in refused(2, *words)
    (out / "thesis.txt").unlink()
    assert state(out) == before
    assert command(*words).exit_code == 0


def test_a_run_that_has_moved_continues_and_another_network_is_refused(
    finetuned_run, options, colors, tmp_path, small_blocks
):
    words = ("features", colors, "-o", f"{tmp_path}/out/")
    assert command(*words, "--run", finetuned_run.path).exit_code == 0
    rows = read(tmp_path / "out").replace_schema_metadata()
    stop_after(tmp_path / "out", 3)
    done = command(*words, "--run", copy_run(finetuned_run, tmp_path).path)
    assert done.exit_code == 0, done.stderr
    assert "continues: 3 of 6 shards are there" in done.stderr
    assert read(tmp_path / "out").replace_schema_metadata().equals(rows)
    stop_after(tmp_path / "out", 3)
    assert "was started with" in refused(2, *words, *options)


def test_refusals_before_any_image_is_read(options, colors, tmp_path):
    for output, said in (
        (f"{colors}/out/", "is inside the image folder"),
        (f"{tmp_path}/no/out/", "is not a folder"),
        (f"{tmp_path}/out", "or in / for a folder of shards"),
    ):
        assert said in refused(2, "features", colors, *options, "-o", output)
    assert "--csv-dialect" in refused(2, "features", colors, *options, "-o", f"{tmp_path}/o/", "--csv-dialect", "excel")
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_rows(tmp_path, monkeypatch):
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tables, "BLOCK_ROWS", 50)
    store, peaks = FeatureStore(KEY), []
    for count in (400, 1600):
        for start in range(0, count, 200):
            store.add([made for made in map(record, range(start, start + 200)) if not store.find(made.sha256)])
        hashes = [f"{number:064x}" for number in range(count)]
        names = [f"{number:05}.png" for number in range(count)], ["a"] * count, ["train"] * count
        table = Table(names, StoredFeatures(store, hashes), {"class_names": ["a"]})
        folder = ShardFolder(tmp_path / f"{count}", {"format": 1})
        tracemalloc.start()
        write_table_shards(table, folder, {"features": KEY.digest}, Silent())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        values = np.array(read(tmp_path / f"{count}").column("features").to_pylist(), np.float32)
        assert np.array_equal(values, np.stack([record(number).values for number in range(count)]))
    assert 1600 * record(0).values.nbytes > 2 * peaks[1]
    assert peaks[1] < 1.5 * peaks[0]


# in an object store


@pytest.fixture
def bucket(s3):
    """An empty bucket."""
    return s3.empty_bucket("features")


def test_shards_in_an_object_store_have_the_bytes_of_those_on_disk(options, colors, tmp_path, s3, bucket, small_blocks):
    for output in (f"{tmp_path}/out/", "s3://features/some/out/"):
        done = command("features", colors, *options, "--pca", "3", "-o", output, "--json")
        assert done.exit_code == 0, done.stderr
        assert json.loads(done.stdout)["files"] == [output]
    keys = [key for key in s3.keys("features") if not key.endswith("/")]
    assert keys == [f"some/out/{name}" for name in sorted(state(tmp_path / "out"))]
    for key in keys:
        content = bucket.get_object(Bucket="features", Key=key)["Body"].read()
        assert content == (tmp_path / "out" / key.rpartition("/")[2]).read_bytes(), key
    assert read("s3://features/some/out").equals(read(tmp_path / "out"))
    words = refused(2, "features", colors, *options, "--pca", "3", "-o", "s3://features/some/out/")
    assert words == "'s3://features/some/out' already exists and is complete; choose another folder with -o."
    assert "--pca 3, but now it is 4" in refused_without_manifest(bucket, options, colors)


def refused_without_manifest(bucket, options, colors):
    bucket.delete_object(Bucket="features", Key="some/out/_manifest.json")
    return refused(2, "features", colors, *options, "--pca", "4", "-o", "s3://features/some/out/")


@posix
def test_a_command_that_is_killed_continues_in_an_object_store(options, colors, tmp_path, s3, bucket, small_blocks):
    s3.upload(colors, "s3://features/photos")
    words = ("features", "s3://features/photos", *options, "--pq", "4", "-o", "s3://features/out/")
    for left in (4, 0):
        done = start(words, left)
        assert done.returncode == (-signal.SIGKILL if left else 0), done.stderr
    assert re.search(rb"continues: [2-6] of 6 shards are there", done.stderr)
    done = command(*words[:1], colors, *words[2:-1], f"{tmp_path}/out/")
    assert done.exit_code == 0, done.stderr
    assert read("s3://features/out").equals(read(tmp_path / "out"))
    keys = [key for key in s3.keys("features") if key.startswith("out/") and not key.endswith("/")]
    assert len(keys) == NUM_SHARDS + 3


def test_one_file_is_put_under_its_name(options, colors, tmp_path, s3, bucket):
    for output in (f"{tmp_path}/t.parquet", "s3://features/t.parquet"):
        done = command("features", colors, *options, "--pca", "3", "-o", output)
        assert done.exit_code == 0, done.stderr
    assert "file        s3://features/t.parquet" in done.stdout
    assert "file        s3://features/t.learnt.npz" in done.stdout
    assert sorted(s3.keys("features")) == ["t.learnt.npz", "t.parquet"]
    assert read("s3://features/t.parquet").equals(read(tmp_path / "t.parquet"))
    for output, code, said in (
        ("s3://features/t.parquet", 2, "already exists"),
        ("s3://features/t.csv", 2, "t.learnt.npz' already exists"),
        ("s3://features/t", 2, "unknown ending"),
        ("s3://nowhere/t.npz", 3, "there is no bucket"),
        ("s3://nowhere/t/", 3, "there is no bucket"),
    ):
        assert said in refused(code, "features", colors, *options, "--pca", "3", "-o", output), output
