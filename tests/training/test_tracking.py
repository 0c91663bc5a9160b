"""Trackers: what they are given, and that one that fails ends nothing."""

import sqlite3
import time
from importlib.util import find_spec

import pytest

import tlkit
from tests.cli.commands import refused
from tests.estimator.conftest import SMALL
from tlkit.training.loop.history import EpochRecord
from tlkit.training.tracking import SCALARS, TRACKERS, TensorBoard, TrackedProgress, tracked
from tlkit.utils.progress import Silent

EPOCHS = {"head": (1, 2), "blocks": (1, 2, 3)}
ROWS = [EpochRecord(phase, epoch, 0.1, 1.0, 0.5, 0.9, 0.6, 0.2).as_row() for phase in EPOCHS for epoch in EPOCHS[phase]]


class Listening(Silent):
    """A progress that keeps its epochs."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def on_epoch_end(self, row):
        self.rows.append(row)


class Listed:
    """A tracker that keeps what it gets, and fails at an epoch."""

    def __init__(self, fails_at=None):
        self.epochs, self.closed, self.fails_at = [], None, fails_at

    def log_epoch(self, row):
        if row["epoch"] == self.fails_at:
            raise OSError("no space left on device.")
        self.epochs.append(row["epoch"])

    def close(self, is_done):
        self.closed = is_done


def scalars(folder):
    from tensorflow.python.summary.summary_iterator import summary_iterator

    [file] = folder.iterdir()
    return {(value.tag, event.step) for event in summary_iterator(str(file)) for value in event.summary.value}


def test_tensorboard_writes_each_phase_and_passes_everything_on(tmp_path):
    progress = Listening()
    watch = TrackedProgress(progress, {"tensorboard": TensorBoard(tmp_path, {"seed": 1})})
    for row in ROWS:
        watch.on_epoch_end(row)
    watch.note("a note")
    with watch.stage("head", 5, "epochs") as advance:
        advance(1)
    watch.close(is_done=True)
    assert progress.rows == ROWS
    assert progress.notes == ["a note"]
    for phase, numbers in EPOCHS.items():
        expected = {(name, epoch) for name in SCALARS for epoch in numbers}
        assert scalars(tmp_path / "tensorboard" / phase) == expected | {("settings", 0)}


def test_a_tracker_that_fails_is_a_note_and_the_others_continue(tmp_path):
    progress, good, bad = Listening(), Listed(), Listed(fails_at=2)
    watch = TrackedProgress(progress, {"good": good, "bad": bad})
    for row in ROWS:
        watch.on_epoch_end(row)
    watch.close(is_done=True)
    assert progress.rows == ROWS
    assert good.epochs == [1, 2, 1, 2, 3]
    assert bad.epochs == [1]
    assert (good.closed, bad.closed) == (True, None)
    assert progress.notes == ["bad failed (no space left on device); the training continues without it."]


def test_a_tracker_that_cannot_be_opened_is_a_note(tmp_path, monkeypatch):
    monkeypatch.setitem(TRACKERS, "mlflow", lambda run, settings: 1 / 0)
    progress = Listening()
    with tracked(progress, tmp_path, ["mlflow"], {}) as watch:
        watch.on_epoch_end(ROWS[0])
    assert progress.rows == ROWS[:1]
    assert progress.notes == ["mlflow failed (division by zero); the training continues without it."]


def test_a_missing_package_is_one_sentence_before_any_work(colors, tmp_path, monkeypatch):
    monkeypatch.setattr("tlkit.errors.find_spec", lambda name: None if name == "wandb" else find_spec(name))
    words = refused(4, "finetune", colors, "-o", tmp_path / "run", "--log-to", "wandb")
    assert "--log-to wandb needs wandb, which is not installed: pip install 'tlkit[wandb]'." in words
    assert not (tmp_path / "run").exists()


@pytest.fixture
def trained(colors, weights_file, tmp_path, monkeypatch):
    """Train a head with trackers, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def train(*names):
        settings = tlkit.FinetuneSettings(**SMALL | {"weights": str(weights_file), "epochs": 2}, log_to=names)
        progress = Silent()
        result = tlkit.finetune(colors, tmp_path / "run", settings, progress)
        assert progress.notes == []
        return result

    return train


@pytest.mark.slow
def test_files_of_tensorboard_keep_their_hashes(trained):
    result = trained("tensorboard")
    [name] = [name for name in result.run.manifest.sha256 if name.startswith("tensorboard/head/")]
    assert result.run.checked_file(name).stat().st_size > 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mlflow_gets_settings_epochs_figures_and_files(trained, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    result = trained("mlflow", "tensorboard")
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    [run] = client.search_runs([client.get_experiment_by_name("tlkit").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "run"
    assert run.data.params["dropout"] == "0.5"
    assert run.data.metrics["accuracy"] == result.metrics.accuracy
    history = client.get_metric_history(run.info.run_id, "head/val_loss")
    assert [item.value for item in history] == pytest.approx([row["val_loss"] for row in result.history])
    assert {item.path for item in client.list_artifacts(run.info.run_id)} == {"plots", "report.html", "MODEL_CARD.md"}
    assert sqlite3.connect(tmp_path / "mlflow.db").execute("select count(*) from runs").fetchone() == (1,)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_wandb_is_offline_and_gets_settings_epochs_figures_and_files(trained, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    result = trained("wandb")
    [folder] = (tmp_path / "wandb").glob("offline-run-*")
    [log] = folder.glob("*.wandb")
    words = {b"head/val_loss", b"dropout", b"macro_f1", b"confusion", repr(result.metrics.macro_f1).encode()[:12]}
    for _ in range(100):  # a process of its own writes the file
        if missing := [word for word in words if word not in log.read_bytes()]:
            time.sleep(0.2)
    assert missing == []
