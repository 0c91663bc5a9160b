"""Trainings that are stopped on purpose, and what a training leaves to compare."""

from contextlib import contextmanager

import numpy as np

from tests.networks import keras
from tlkit.utils.progress import Silent


class StoppedError(Exception):
    """Stands for a crash: nothing of tlkit catches it."""


class StopsInEpoch(Silent):
    """Stops a training as an epoch ends, once `epochs` others have left their checkpoints."""

    def __init__(self, epochs, error=StoppedError):
        super().__init__()
        self.left, self.error = epochs, error

    def on_epoch_end(self, row):
        self.left -= 1
        if self.left < 0:
            raise self.error


class StopsAtStage(Silent):
    """Stops a training as a stage begins."""

    def __init__(self, stage, error=StoppedError):
        super().__init__()
        self.stop, self.error = stage, error

    @contextmanager
    def stage(self, name, total, unit):
        if name == self.stop:
            raise self.error
        yield lambda count: None


def trained_arrays(run):
    """Every array of what was trained, in order."""
    if (run.path / "model.keras").exists():
        return keras.models.load_model(run.path / "model.keras", compile=False).get_weights()
    with np.load(run.path / "classic.npz", allow_pickle=False) as arrays:
        return [arrays[name] for name in sorted(arrays.files)]


def assert_same_training(run, expected):
    """Bit for bit the same classifier, and the same predictions."""
    for array, wanted in zip(trained_arrays(run), trained_arrays(expected), strict=True):
        np.testing.assert_array_equal(array, wanted)
    name = "predictions_val.csv"
    assert (run.path / name).read_bytes() == (expected.path / name).read_bytes()
