"""Curves for TensorBoard, written during the training."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tlkit.utils.progress import Advance, Progress

FOLDER = "tensorboard"
SCALARS = ("learning_rate", "loss", "accuracy", "val_loss", "val_accuracy")


class TensorBoard:
    """A `Progress` that passes everything on, and also writes each epoch's figures.

    Args:
        folder: gets one sub-folder per phase; `tensorboard --logdir` shows it
    """

    def __init__(self, progress: Progress, folder: Path) -> None:
        self._progress, self._folder = progress, folder
        self._writers: dict[str, Any] = {}

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
        """Pass the epoch on, and write its figures."""
        import tensorflow as tf

        phase = row["phase"]
        if phase not in self._writers:
            self._writers[phase] = tf.summary.create_file_writer(str(self._folder / phase))
        with self._writers[phase].as_default(step=row["epoch"]):
            for name in SCALARS:
                tf.summary.scalar(name, row[name])
        self._writers[phase].flush()
        self._progress.on_epoch_end(row)
