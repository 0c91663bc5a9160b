"""Commands with `--on ray` on a cluster of this machine: what they write is what they write without it."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

pytest.importorskip("ray")

from tests.cli.commands import SMALL, posix, refused, tlkit
from tests.distributed.nodes import running_cluster
from tests.making import encoded, noise
from tlkit.data import survey
from tlkit.distributed import ray_cluster
from tlkit.distributed.workers import use_workers
from tlkit.inference import shards

pytestmark = [pytest.mark.training, pytest.mark.usefixtures("cluster")]
ON_RAY = ("--on", "ray", "--workers", "2")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, one file that is no image, one copy."""
    root = tmp_path_factory.mktemp("data") / "photos"
    for label, name in enumerate(("ants", "bees")):
        (root / name).mkdir(parents=True)
        for number in range(30):
            (root / name / f"{number}.png").write_bytes(encoded(noise(48, 48, seed=100 * label + number)))
    (root / "ants" / "broken.jpg").write_bytes(b"\xff\xd8 no photo")
    shutil.copy(root / "bees" / "3.png", root / "bees" / "copy.png")
    return root


@pytest.fixture
def here_and_ray(tmp_path, monkeypatch, photos):
    """Run a command twice, in caches of their own, here and on Ray; give both results."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        found = []
        for place, on in (("here", ()), ("ray", ON_RAY)):
            monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / f"cache-{place}"))
            done = tlkit(*(str(word).replace("PLACE", place) for word in words), *on)
            assert done.exit_code in (0, 6), done.output
            found.append(done)
        return found

    return run


def test_features_are_equal_to_the_last_bit(here_and_ray, photos):
    here_and_ray("features", photos, "-o", "PLACE.npz", "--backbone", "mobilenet_025", "--weights", "none")
    here, ray = (np.load(f"{place}.npz") for place in ("here", "ray"))
    assert here.files == ray.files
    assert len(here["features"]) == 61
    for name in here.files:
        assert np.array_equal(here[name], ray[name]), name


def test_headers_of_many_files_are_read_by_workers(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(survey, "SENT_FILES", 10)
    files = sorted(photos.rglob("*.*"))
    here = survey.survey_files(files, [""] * len(files))
    monkeypatch.setattr(survey, "read_header", lambda file: pytest.fail(f"'{file}' is read here"))
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "another"))
    with use_workers("ray", 2):
        assert survey.survey_files(files, [""] * len(files)) == here


def test_shards_of_features_are_equal(here_and_ray, photos, tmp_path):
    here_and_ray("features", photos, "-o", "PLACE/", "--backbone", "mobilenet_025", "--weights", "none", "--pca", "4")
    here, ray = ({file.name: file.read_bytes() for file in (tmp_path / place).iterdir()} for place in ("here", "ray"))
    assert here == ray
    assert len(here) == 4


@pytest.mark.slow
@pytest.mark.parametrize("freeze", ["all", "lower"])
def test_runs_are_equal_but_for_times(here_and_ray, photos, freeze):
    words = ["none", "--views", "2"] if freeze == "lower" else ["none"]
    options = [*SMALL[: SMALL.index("--freeze")], "--freeze", freeze, "--epochs", "2", "--weights", *words]
    *_, done = here_and_ray("finetune", photos, "-o", "PLACE", *options)
    assert ("the upper blocks are trained on this machine" in done.stderr) == (freeze == "lower")
    here, ray = Path("here"), Path("ray")
    for name in ("split.csv", "predictions_val.csv", "left_out.csv", "wrong.csv", "confusion_matrix.csv"):
        assert (here / name).read_bytes() == (ray / name).read_bytes(), name
    weights = sorted(file.relative_to(here) for file in (here / "engine").iterdir())
    assert weights
    for name in weights:
        assert (here / name).read_bytes() == (ray / name).read_bytes(), name
    metrics = [json.loads((run / "metrics.json").read_text()) for run in (here, ray)]
    assert metrics[0]["accuracy"] == metrics[1]["accuracy"]
    settings = [json.loads((run / "settings.json").read_text()) for run in (here, ray)]
    assert settings[0] == settings[1]  # nothing says where it was computed


@pytest.mark.slow
def test_a_classic_classifier_is_equal(here_and_ray, photos):
    pytest.importorskip("sklearn")
    pytest.importorskip("skimage")
    here_and_ray("train", photos, "-o", "PLACE", "--descriptor", "hog", "--classifier", "knn")
    assert Path("here/predictions_val.csv").read_bytes() == Path("ray/predictions_val.csv").read_bytes()


def same_run(here: Path, ray: Path, *others: str) -> None:
    """Require that two runs have the same files, but for times and other entries of metrics.json."""
    names = {str(file.relative_to(here)) for file in here.rglob("*") if file.is_file()}
    with_times = {"metrics.json", "model.json", "speed.json", "history.csv", "MODEL_CARD.md", "model.keras"}
    for name in names - with_times:
        assert (here / name).read_bytes() == (ray / name).read_bytes(), name
    history = [(run / "history.csv") for run in (here, ray) if (run / "history.csv").exists()]
    rows = [[row | {"seconds": ""} for row in csv.DictReader(file.open())] for file in history]
    assert not rows or rows[0] == rows[1]
    metrics = [json.loads((run / "metrics.json").read_text()) for run in (here, ray)]
    times = dict.fromkeys(("seconds", "forecast", *others))
    assert metrics[0] | times == metrics[1] | times


@pytest.mark.slow
def test_candidates_of_a_comparison_are_equal_but_for_times(here_and_ray, photos):
    """Also with more than one thread: LeNet had other last bits with one."""
    pytest.importorskip("sklearn")
    pytest.importorskip("skimage")
    here_and_ray("compare", photos, "-o", "PLACE", "--only", "colors,classic,linear,hinge,lenet", "--no-report")
    for name in ("colors", "classic", "linear", "hinge", "lenet"):
        same_run(Path("here") / name, Path("ray") / name)
        assert (Path("ray") / name / "DONE").exists()


def kill_workers(files, number, killed):
    """Kill all workers of this process's cluster when files of a pattern are so many; add them to a list."""
    until = time.monotonic() + 120
    while len(list(Path().glob(files))) < number and time.monotonic() < until:
        time.sleep(0.01)
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            is_worker = (folder / "cmdline").read_bytes().startswith(b"ray::MapWorker")
            if is_worker and parent(parent(folder.name)) == os.getpid():
                os.kill(int(folder.name), signal.SIGKILL)
                killed.append(folder.name)


def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.slow
@posix
def test_a_network_whose_worker_is_killed_ends_with_the_same_weights(here_and_ray, photos):
    """The next worker continues from the checkpoint."""
    killed = []
    killer = Thread(target=kill_workers, args=("ray/lenet/checkpoint-*.npz", 1, killed))
    killer.start()
    here_and_ray("compare", photos, "-o", "PLACE", "--only", "lenet", "--no-report")
    killer.join()
    assert killed
    assert Path("ray/lenet/RESUMED").exists()
    Path("ray/lenet/RESUMED").unlink()
    same_run(Path("here/lenet"), Path("ray/lenet"), "features_reused", "diagnosis")  # of a continued run


@pytest.mark.slow
def test_predictions_and_evaluations_are_equal(here_and_ray, photos, monkeypatch, tmp_path):
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache-here"))
    assert tlkit("finetune", photos, "-o", "run", *SMALL, "none").exit_code == 0
    here, ray = here_and_ray("predict", "run", photos, "--format", "csv", "--probs", "--scores")
    assert here.stdout == ray.stdout
    rows = list(csv.DictReader(here.stdout.splitlines()))
    assert len(rows) == 62
    assert [row["path"] for row in rows if row["status"] == "error"] == [str(photos / "ants" / "broken.jpg")]
    for ending in ("csv", "jsonl", "parquet"):
        here_and_ray("predict", "run", photos, "-o", f"PLACE.{ending}")
        assert Path(f"here.{ending}").read_bytes() == Path(f"ray.{ending}").read_bytes(), ending
    here, ray = here_and_ray("evaluate", "run", photos, "--include-training", "--json")
    assert json.loads(here.stdout) == json.loads(ray.stdout)


def test_shards_of_predictions_are_equal_and_continue_those_of_this_machine(photos, run, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "BLOCK_SIZES", (8, 8))
    command = ("predict", run.path, photos, "no such.jpg", "-o")
    assert tlkit(*command, f"{tmp_path}/here/").exit_code == 6
    shutil.copytree(tmp_path / "here", tmp_path / "ray")
    for file in ("_manifest.json", *[file.name for file in sorted((tmp_path / "ray").glob("*.parquet"))[2:]]):
        (tmp_path / "ray" / file).unlink()
    done = tlkit(*command, f"{tmp_path}/ray/", *ON_RAY)
    assert done.exit_code == 6, done.stderr
    assert "continues: 2 of 8 shards are there" in done.stderr
    assert "47 images at" in done.stderr
    here, ray = ({path.name: path.read_bytes() for path in (tmp_path / place).iterdir()} for place in ("here", "ray"))
    assert here == ray


@pytest.mark.slow
@posix
def test_workers_that_are_killed_change_no_shard(photos, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = "\n".join(str(path) for path in sorted(photos.rglob("*.png"))) + "\n"
    command = ("predict", run.path, "-", "-o")
    assert tlkit(*command, f"{tmp_path}/here/", input=40 * paths).exit_code == 0
    killed = []
    killer = Thread(target=kill_workers, args=("ray/*.parquet", 3, killed))
    killer.start()
    done = tlkit(*command, f"{tmp_path}/ray/", *ON_RAY, input=40 * paths)
    killer.join()
    assert done.exit_code == 0, done.stderr
    assert killed
    here, ray = ({path.name: path.read_bytes() for path in (tmp_path / place).iterdir()} for place in ("here", "ray"))
    assert here == ray
    assert len(here) == 20 + 2


@pytest.mark.slow
def test_a_pass_that_was_done_here_is_not_done_again_on_workers(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    words = ("features", photos, "--backbone", "mobilenet_025", "--weights", "none", "-o")
    assert tlkit(*words, tmp_path / "first.npz").exit_code == 0
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "cache" / "features").rglob("*.npy")}
    assert tlkit(*words, tmp_path / "second.npz", *ON_RAY).exit_code == 0
    assert before == {file: file.stat().st_mtime_ns for file in (tmp_path / "cache" / "features").rglob("*.npy")}


def test_the_keras_engine_cannot_travel(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    words = ("features", photos, "--backbone", "mobilenet_025", "--weights", "none", "--engine", "keras")
    assert "--on ray cannot send a network of the keras engine" in refused(
        2, *words, "-o", tmp_path / "out.npz", *ON_RAY
    )
    assert not (tmp_path / "out.npz").exists()


@pytest.mark.slow
def test_workers_that_write_elsewhere_are_found_out(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("TLKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(ray_cluster, "cache_dir", lambda: tmp_path / "elsewhere")
    words = ("features", photos, "--backbone", "mobilenet_025", "--weights", "none", "-o", tmp_path / "out.npz")
    assert "expected storage with free space that all workers and this machine share" in refused(4, *words, *ON_RAY)


def test_workers_without_a_place_are_refused(photos, tmp_path):
    assert "--workers has no effect without --on ray" in refused(2, "check", photos, "--workers", "2")


TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4}


@pytest.fixture
def other_home(s3, tmp_path):
    """A cluster that asks for a token, whose processes have another home than the command, as on another machine.

    Gives the environment of a command that uses it; the cache is a bucket.
    """
    s3.empty_bucket("common")
    base = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    base |= {"TLKIT_CACHE": "s3://common/cache"}
    variables = TOKEN | {"TLKIT_CACHE": "s3://common/cache", "XDG_CACHE_HOME": str(tmp_path / "worker")}
    with running_cluster(tmp_path, 2, variables) as (address, _):
        yield base | {"RAY_ADDRESS": address, "XDG_CACHE_HOME": str(tmp_path / "driver")}


@pytest.mark.slow
def test_workers_and_driver_have_a_bucket_as_cache_and_a_cluster_may_ask_for_a_token(photos, other_home, tmp_path):
    words = ("features", photos, "--backbone", "mobilenet_025", "--weights", "none")

    def features(output, environment, *more):
        command = [sys.executable, "-m", "tlkit", *map(str, words), "-o", str(tmp_path / output), *more]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)

    assert "it asks for a token: set RAY_AUTH_MODE=token" in features("none.npz", other_home, *ON_RAY).stderr
    assert features("ray.npz", other_home | TOKEN, *ON_RAY).returncode in (0, 6)
    assert list((tmp_path / "worker").rglob("*.npy"))
    assert features("here.npz", other_home | {"TLKIT_CACHE": str(tmp_path / "cache")}).returncode in (0, 6)
    here, ray = (np.load(tmp_path / name) for name in ("here.npz", "ray.npz"))
    for name in here.files:
        assert np.array_equal(here[name], ray[name]), name
