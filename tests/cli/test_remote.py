"""Commands on DATA in an object store: the same as from disk, and no secret in anything that they write."""

import json

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("skimage")

from tests.cli.commands import refused, tlkit
from tests.data.sources.making import write_parquet, write_tars
from tests.object_store import set_environment
from tests.training.stops import StoppedError, StopsInEpoch, assert_same_training
from tlkit.runs.run import Run
from tlkit.settings.training import TrainSettings
from tlkit.training.from_scratch import train
from tlkit.training.resume import resume

SMALL = ("--backbone", "mobilenet_025", "--image-size", "32", "--hidden", "0", "--freeze", "all", "--no-report")
NETWORK = ("--backbone", "mobilenet_025", "--weights", "none", "--image-size", "32")
READERS = {  # commands that read DATA and write what OUT is replaced by
    "train": ("train", "DATA", "--descriptor", "colors", "--classifier", "knn", "-o", "OUT"),
    "compare": ("compare", "DATA", "--only", "chance,colors", "-o", "OUT"),
    "check": ("check", "DATA", "--backbone", "none", "-o", "OUT.html"),
    "features": ("features", "DATA", *NETWORK, "-o", "OUT.npz"),
    "augment": ("augment", "DATA", "--rows", "2", "--image-size", "32", "-o", "OUT.png"),
    "evaluate": ("evaluate", "RUN", "DATA", "-o", "OUT"),
    "robustness": ("robustness", "RUN", "DATA", "--corruptions", "jpeg", "--severities", "1", "-o", "OUT"),
    "attack": ("attack", "RUN", "DATA", "--steps", "1", "--max-images", "1", "-o", "OUT"),
    "explain": ("explain", "RUN", "DATA/red/0.png", "-o", "OUT.png"),
    "predict": ("predict", "RUN", "DATA", "-o", "OUT.csv"),
    "sorted": ("predict", "RUN", "DATA", "-o", "OUT.csv", "--sort-into", "OUT", "--copy", "--sheet", "OUT.png"),
    "report": ("report", "RUN", "--images", "DATA", "-o", "OUT.html"),
    "export": ("export", "RUN", "--data", "DATA", "--quantize", "int8", "-o", "OUT"),
    "index": ("search", "index", "DATA", "--descriptor", "pixels", "-o", "OUT"),
    "near": ("search", "near", "DATA", "--backbone", "none"),
}


@pytest.fixture
def remote(s3, colors):
    """The URI of the three classes."""
    return s3.upload(colors, "s3://commands/colors")


def files_below(folder):
    """The content of every file, by path."""
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def assert_no_secret(folder, store, *texts):
    """Neither of the two words is in a file or in what was printed."""
    for secret in (store.secret, store.access_key):
        assert [name for name, content in files_below(folder).items() if secret.encode() in content] == []
        assert [text for text in texts if secret in text] == []


@pytest.mark.training
def test_a_run_from_the_store_is_that_from_disk(s3, remote, colors, weights_file, tmp_path):
    for name, data in (("here", colors), ("there", remote)):
        done = tlkit("finetune", data, *SMALL, "--weights", weights_file, "--epochs", "2", "-o", tmp_path / name)
        assert done.exit_code == 0, done.stderr
        assert_no_secret(tmp_path, s3, done.stdout, done.stderr)
    here, there = files_below(tmp_path / "here"), files_below(tmp_path / "there")
    assert here.keys() == there.keys()
    equal = {name for name in here if here[name] == there[name]}
    assert {
        "split.csv",
        "engine/head.tflite",
        "engine/head.npz",
        "predictions_val.csv",
        "confusion_matrix.csv",
    } <= equal
    settings = json.loads(there["settings.json"])
    assert (settings["data"], settings["images"]) == (remote, "")
    for name in here.keys() - equal:  # they hold the name of DATA, seconds, or hashes of such files
        assert name in {
            "settings.json",
            "metrics.json",
            "model.json",
            "history.csv",
            "MODEL_CARD.md",
            "model.keras",
        } | {"plots/confusion.png"}
    told = [tlkit("evaluate", tmp_path / name, "--json", "--quiet") for name in ("here", "there")]  # its own images
    assert json.loads(told[0].stdout)["accuracy"] == json.loads(told[1].stdout)["accuracy"]
    assert tlkit("report", tmp_path / "there").exit_code == 0
    assert b"data:image/jpeg" in (tmp_path / "there" / "report.html").read_bytes()


@pytest.mark.parametrize("name", READERS)
def test_every_command_reads_the_store(s3, remote, finetuned_run, tmp_path, name):
    words = {"RUN": str(finetuned_run.path), "DATA": remote, "OUT": str(tmp_path / "out")}
    args = list(READERS[name])
    for word, text in words.items():
        args = [arg.replace(word, text) for arg in args]
    before = s3.keys("commands")
    done = tlkit(*args)
    assert done.exit_code == 0, done.output + repr(done.exception)
    assert_no_secret(tmp_path, s3, done.stdout, done.stderr)
    assert s3.keys("commands") == before
    assert list(tmp_path.iterdir()) or name == "near"


def test_predictions_are_those_from_disk(remote, colors, finetuned_run):
    here, there = (tlkit("predict", finetuned_run.path, data, "--format", "csv") for data in (colors, remote))
    assert there.stdout.replace(remote, "ROOT") == here.stdout.replace(str(colors), "ROOT")
    table = tlkit("predict", finetuned_run.path, remote, "--format", "table").stdout
    assert "was trained on" in table
    assert "s3://" not in table.splitlines()[1]


def test_an_index_finds_images_of_the_store(remote, colors, tmp_path):
    assert tlkit("search", "index", remote, "--descriptor", "pixels", "-o", tmp_path / "index").exit_code == 0
    done = tlkit("search", "query", tmp_path / "index", f"{remote}/red/0.png", "-k", "3", "--json")
    assert done.exit_code == 0, done.stderr
    assert "red/0.png" in done.stdout
    sheet = tlkit("search", "query", tmp_path / "index", colors / "red" / "0.png", "-o", tmp_path / "sheet.png")
    assert sheet.exit_code == 0, sheet.stderr


@pytest.mark.training
def test_a_stopped_run_on_the_store_is_resumed(remote, tmp_path, monkeypatch):
    monkeypatch.setattr("tlkit.training.loop.checkpoint.SECONDS_BETWEEN", 0.0)
    settings = TrainSettings(model="linear", image_size=8, epochs=4, batch_size=16)
    whole = train(remote, tmp_path / "whole", settings)
    with pytest.raises(StoppedError):
        train(remote, tmp_path / "stopped", settings, StopsInEpoch(2))
    assert_same_training(resume(tmp_path / "stopped").run, whole.run)
    assert Run(tmp_path / "stopped").read_settings()["data"] == remote


@pytest.mark.training
def test_a_training_on_shards_is_one_on_the_folder(s3, colors, tmp_path):
    write_tars(colors, tmp_path / "tars")
    write_parquet(colors, tmp_path / "rows" / "photos.parquet")
    arguments = ("--descriptor", "colors", "--classifier", "knn", "--no-report", "-o")
    found = []
    for number, data in enumerate((colors, tmp_path / "tars", s3.upload(tmp_path / "tars", "s3://shards-cli/tars"))):
        assert tlkit("train", data, *arguments, tmp_path / f"run{number}").exit_code == 0
        run = Run(tmp_path / f"run{number}")
        found.append(sorted((row["sha256"], row["split"], row["class"]) for row in run.read_rows("split.csv")))
    assert found[0] == found[1] == found[2]
    done = tlkit("evaluate", tmp_path / "run1", tmp_path / "rows" / "photos.parquet", "--json", "--include-training")
    assert json.loads(done.stdout)["num_images"] == 36
    assert tlkit("evaluate", tmp_path / "run1", "--json").exit_code == 0


def test_errors_of_the_store_are_sentences_with_exit_code_3(s3, remote, finetuned_run, monkeypatch, tmp_path):
    assert "there is no bucket 's3://no-such-bucket'" in refused(3, "finetune", "s3://no-such-bucket/photos")
    assert "does not exist, but the bucket" in refused(3, "finetune", f"{remote}-none")
    assert "does not exist" in tlkit("predict", finetuned_run.path, f"{remote}/none.png").stdout
    assert "there is no bucket" in refused(3, "predict", finetuned_run.path, "s3://no-such-bucket/x.png")
    assert "expected s3://" in refused(3, "check", "https://example.org/photos")
    assert "credentials in it" in refused(3, "check", f"s3://{s3.access_key}:{s3.secret}@commands/colors")
    assert "are not files of this machine" in refused(3, "check", remote, "--backbone", "none", "--fix", tmp_path / "x")
    assert "add --copy" in refused(3, "predict", finetuned_run.path, remote, "--sort-into", tmp_path / "y")
    with s3.asking_for_credentials():
        set_environment(monkeypatch, {"AWS_SECRET_ACCESS_KEY": "wrong"})
        text = refused(3, "finetune", remote)
    assert "may not be used with the credentials that were found" in text
    assert s3.access_key not in text
