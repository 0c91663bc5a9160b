"""The state of a training on disk, and random draws that depend on seed, epoch and layer alone."""

import numpy as np
import pytest

from tests.networks import keras
from tlkit.errors import RunError
from tlkit.training.loop.history import EpochRecord


def test_seed_draws_depend_on_seed_epoch_and_layer():
    from tlkit.training.loop.checkpoint import seed_draws

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dropout(0.5)])

    def states(seed, epoch):
        seed_draws(model, seed, epoch)
        return [tuple(np.asarray(layer.seed_generator.state).tolist()) for layer in model.layers]

    assert states(0, 1) == states(0, 1)
    assert len({*states(0, 1), *states(0, 2), *states(1, 1)}) == 6


@pytest.fixture
def model():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])


@pytest.fixture
def checkpoint(tmp_path):
    from tlkit.training.loop.checkpoint import Checkpoint

    return Checkpoint(tmp_path / "checkpoint-head.npz")


def test_checkpoint_short_epochs_share_one_and_last_is_written(model, checkpoint, monkeypatch):
    from tlkit.training.loop.checkpoint import TrainingState

    monkeypatch.setattr("tlkit.training.loop.checkpoint.SECONDS_BETWEEN", 1000.0)
    state = TrainingState(model.get_weights(), 8)

    def prepare(loaded):
        assert loaded.batch_size == 8
        model.compile(keras.optimizers.AdamW())

    prepare(state)
    checkpoint.save(model, state)
    assert not checkpoint.file.exists()
    history = [EpochRecord("head", 1, 0.1, 1.0, 0.5, 1.0, 0.5, 0.1, val_criterion=0.4)]
    state.history, state.ended, state.lr_scale = history, True, 0.3
    checkpoint.save(model, state)
    loaded = checkpoint.load(model, prepare)
    assert (loaded.history, loaded.ended, loaded.lr_scale) == (history, True, 0.3)


def test_checkpoint_load_without_file_is_none(model, checkpoint):
    assert checkpoint.load(model, lambda state: None) is None


@pytest.mark.parametrize("content", [b"", b"PK rubbish", b"PK\x05\x06" + bytes(18)])
def test_checkpoint_damaged_file_is_named(content, model, checkpoint):
    checkpoint.file.write_bytes(content)
    with pytest.raises(RunError, match=r"checkpoint-head.npz' is damaged"):
        checkpoint.load(model, lambda state: None)


def test_checkpoint_truncated_file_is_named(model, checkpoint):
    from tlkit.training.loop.checkpoint import TrainingState

    model.compile(keras.optimizers.AdamW())
    state = TrainingState(model.get_weights(), 8)
    state.ended = True
    checkpoint.save(model, state)
    whole = checkpoint.file.read_bytes()
    checkpoint.file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RunError, match=r"checkpoint-head.npz' is damaged"):
        checkpoint.load(model, lambda state: None)
