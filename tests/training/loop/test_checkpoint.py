"""The state of a training on disk."""

import pytest

from tests.networks import keras, lazy_functions
from tlkit.errors import RunError
from tlkit.training.loop.history import EpochRecord

(KerasLearner,) = lazy_functions("tlkit.training.loop.keras_learner", "KerasLearner")


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
    checkpoint.save(KerasLearner(model), state)
    assert not checkpoint.file.exists()
    history = [EpochRecord("head", 1, 0.1, 1.0, 0.5, 1.0, 0.5, 0.1, val_criterion=0.4)]
    state.history, state.ended, state.lr_scale = history, True, 0.3
    checkpoint.save(KerasLearner(model), state)
    loaded = checkpoint.load(KerasLearner(model), prepare)
    assert (loaded.history, loaded.ended, loaded.lr_scale) == (history, True, 0.3)


def test_checkpoint_load_without_file_is_none(model, checkpoint):
    assert checkpoint.load(KerasLearner(model), lambda state: None) is None


@pytest.mark.parametrize("content", [b"", b"PK rubbish", b"PK\x05\x06" + bytes(18)])
def test_checkpoint_damaged_file_is_named(content, model, checkpoint):
    checkpoint.file.write_bytes(content)
    with pytest.raises(RunError, match=r"checkpoint-head.npz' is damaged"):
        checkpoint.load(KerasLearner(model), lambda state: None)


def test_checkpoint_truncated_file_is_named(model, checkpoint):
    from tlkit.training.loop.checkpoint import TrainingState

    model.compile(keras.optimizers.AdamW())
    state = TrainingState(model.get_weights(), 8)
    state.ended = True
    checkpoint.save(KerasLearner(model), state)
    whole = checkpoint.file.read_bytes()
    checkpoint.file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RunError, match=r"checkpoint-head.npz' is damaged"):
        checkpoint.load(KerasLearner(model), lambda state: None)
