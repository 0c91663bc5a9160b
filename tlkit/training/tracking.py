"""Trackers that log a training while it runs: MLflow, Weights & Biases, TensorBoard; all on this machine.

A tracker gets the settings at the start, each epoch, and at the end the figures, plots, page and card of the finished
run. One that fails is left out from there on, with a note: the training is worth more.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from tlkit.errors import require
from tlkit.runs.manifest import MODEL_CARD, REPORT_PAGE
from tlkit.training.recipe import TrainingMetrics
from tlkit.utils.progress import Advance, Progress

PROJECT = "tlkit"  # the experiment of MLflow, the project of Weights & Biases
SCALARS = ("learning_rate", "loss", "accuracy", "val_loss", "val_accuracy")  # of an epoch
PACKAGES = {"mlflow": "mlflow", "wandb": "wandb", "tensorboard": "tensorboard"}  # package and extra, by tracker


class Tracker(Protocol):
    """A log of a training, opened with the run's folder and its settings."""

    def log_epoch(self, row: Mapping[str, Any]) -> None:
        """Log an epoch: its row of history.csv."""

    def log_result(self, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        """Log the figures of the finished run by name, and its plots, page and card."""

    def close(self, is_done: bool) -> None:
        """End the log; the training failed or was interrupted unless `is_done`."""


class TensorBoard:
    """Curves in the folder tensorboard/ of the run, one sub-folder per phase, and the settings as text."""

    def __init__(self, run: Path, settings: Mapping[str, Any]) -> None:
        self._folder, self._settings = run / "tensorboard", settings
        self._writers: dict[str, Any] = {}

    def log_epoch(self, row: Mapping[str, Any]) -> None:
        """Write the scalars of an epoch."""
        import tensorflow as tf

        phase = row["phase"]
        if phase not in self._writers:
            self._writers[phase] = tf.summary.create_file_writer(str(self._folder / phase))
            lines = [f"    {name}: {value}" for name, value in self._settings.items()]
            with self._writers[phase].as_default(step=0):
                tf.summary.text("settings", "\n".join(lines))
        with self._writers[phase].as_default(step=row["epoch"]):
            for name in SCALARS:
                tf.summary.scalar(name, row[name])
        self._writers[phase].flush()

    def log_result(self, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        """Write nothing: the run is finished, and its files have hashes."""

    def close(self, is_done: bool) -> None:
        """Close the files."""
        for writer in self._writers.values():
            writer.close()


class MLflow:
    """A run of MLflow, in mlflow.db and mlruns/ of the current folder, or where MLFLOW_TRACKING_URI says."""

    def __init__(self, run: Path, settings: Mapping[str, Any]) -> None:
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        store, artifacts = os.environ.get("MLFLOW_TRACKING_URI"), None
        if not store:
            store, artifacts = f"sqlite:///{Path('mlflow.db').resolve()}", Path("mlruns").resolve().as_uri()
        self._client = MlflowClient(tracking_uri=store)
        experiment = self._client.get_experiment_by_name(PROJECT)
        number = experiment.experiment_id if experiment else self._client.create_experiment(PROJECT, artifacts)
        self._id = self._client.create_run(
            number, run_name=run.name, tags={"tlkit.run": str(run.resolve())}
        ).info.run_id
        for name, value in settings.items():
            self._client.log_param(self._id, name, str(value)[:500])

    def log_epoch(self, row: Mapping[str, Any]) -> None:
        """Log the scalars of an epoch as `<phase>/<name>`."""
        for name in SCALARS:
            self._client.log_metric(self._id, f"{row['phase']}/{name}", float(row[name]), step=int(row["epoch"]))

    def log_result(self, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        """Log figures as metrics, files as artifacts."""
        for name, value in figures.items():
            self._client.log_metric(self._id, name, value)
        for file in files:
            self._client.log_artifact(self._id, str(file), "plots" if file.suffix == ".png" else None)

    def close(self, is_done: bool) -> None:
        """End the run of MLflow."""
        self._client.set_terminated(self._id, "FINISHED" if is_done else "FAILED")


class WeightsAndBiases:
    """An offline run of Weights & Biases in wandb/ of the current folder; `wandb sync` uploads it."""

    def __init__(self, run: Path, settings: Mapping[str, Any]) -> None:
        import wandb

        self._wandb = wandb
        quiet = wandb.Settings(silent=True, console="off")
        self._run = wandb.init(
            project=PROJECT,
            name=run.name,
            config={**settings, "run": str(run.resolve())},
            mode=os.environ.get("WANDB_MODE") or "offline",
            settings=quiet,
        )

    def log_epoch(self, row: Mapping[str, Any]) -> None:
        """Log the scalars of an epoch as `<phase>/<name>`."""
        self._run.log({f"{row['phase']}/{name}": row[name] for name in ("epoch", *SCALARS)})

    def log_result(self, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        """Log figures in the summary, plots as images, and the other files as an artifact."""
        self._run.summary.update(dict(figures))
        plots = [file for file in files if file.suffix == ".png"]
        self._run.log({f"plots/{file.stem}": self._wandb.Image(str(file)) for file in plots})
        artifact = self._wandb.Artifact("report", type="report")
        for file in files:
            if file not in plots:
                artifact.add_file(str(file))
        self._run.log_artifact(artifact)

    def close(self, is_done: bool) -> None:
        """End the run of Weights & Biases."""
        self._run.finish(exit_code=0 if is_done else 1)


TRACKERS: dict[str, Callable[[Path, Mapping[str, Any]], Tracker]] = {
    "mlflow": MLflow,
    "wandb": WeightsAndBiases,
    "tensorboard": TensorBoard,
}


def require_trackers(names: Sequence[str]) -> None:
    """Check that the packages of trackers are installed; else ModelError"""
    for name in names:
        require(PACKAGES[name], name, f"--log-to {name}")


class TrackedProgress:
    """A `Progress` that passes everything on, and gives each epoch to trackers.

    Attributes:
        trackers: those that have not failed, by name
    """

    def __init__(self, progress: Progress, trackers: dict[str, Tracker]) -> None:
        self._progress, self.trackers = progress, trackers

    def run_started(self, path: Path) -> None:
        """Pass the folder on."""
        self._progress.run_started(path)

    def stage(self, name: str, total: int, unit: str) -> AbstractContextManager[Advance]:
        """Pass the stage on."""
        return self._progress.stage(name, total, unit)

    def waiting(self, text: str) -> None:
        """Pass the text on."""
        self._progress.waiting(text)

    def note(self, text: str, transient: bool = False) -> None:
        """Pass the note on."""
        self._progress.note(text, transient)

    def on_epoch_end(self, row: Mapping[str, Any]) -> None:
        """Pass the epoch on, and log it."""
        self.each(lambda tracker: tracker.log_epoch(row))
        self._progress.on_epoch_end(row)

    def log_result(self, run: Path, metrics: TrainingMetrics) -> None:
        """Log the figures and files of a finished run."""
        files = [*sorted((run / "plots").glob("*.png")), *(run / name for name in (REPORT_PAGE, MODEL_CARD))]
        written = [file for file in files if file.is_file()]
        self.each(lambda tracker: tracker.log_result(_figures(metrics), written))

    def close(self, is_done: bool) -> None:
        """End every log."""
        self.each(lambda tracker: tracker.close(is_done))

    def each(self, action: Callable[[Tracker], None]) -> None:
        """Do something with every tracker; one that fails is left out from now on."""
        for name, tracker in list(self.trackers.items()):
            try:
                action(tracker)
            except Exception as error:
                del self.trackers[name]
                self._progress.note(_failure(name, error))


@contextmanager
def tracked(
    progress: Progress, run: Path, names: Sequence[str], settings: Mapping[str, Any]
) -> Iterator[TrackedProgress]:
    """Open trackers for a training, and close them at its end, also where it fails.

    Args:
        names: of `TRACKERS`
        settings: of the training, by name
    """
    trackers: dict[str, Tracker] = {}
    for name in dict.fromkeys(names):
        try:
            trackers[name] = TRACKERS[name](run, settings)
        except Exception as error:
            progress.note(_failure(name, error))
    watch, is_done = TrackedProgress(progress, trackers), False
    try:
        yield watch
        is_done = True
    finally:
        watch.close(is_done)


def _failure(name: str, error: Exception) -> str:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")
    return f"{name} failed ({reason}); the training continues without it."


def _figures(metrics: TrainingMetrics) -> dict[str, float]:
    """Give the figures of a run by name, without those it does not have."""
    low, high = metrics.accuracy_ci95
    values = {
        "accuracy": metrics.accuracy,
        "accuracy_low": low,
        "accuracy_high": high,
        "baseline_accuracy": metrics.baseline_accuracy,
        "macro_f1": metrics.macro_f1,
        "test_accuracy": (metrics.test or {}).get("accuracy"),
        "folds_accuracy": (metrics.folds or {}).get("accuracy"),
        "calibration_error": metrics.calibration["ece"],
        "seconds": metrics.seconds["total"],
    }
    return {name: float(value) for name, value in values.items() if value is not None}
