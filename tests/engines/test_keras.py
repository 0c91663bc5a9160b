"""Conversion from Keras, and files of Keras models."""

import numpy as np
import pytest

from tests.networks import keras
from tlkit.engines.base import EngineSpec, run_in_batches
from tlkit.engines.factory import open_engine
from tlkit.engines.keras import load_network, save_network, to_litert


def litert_outputs(content, rows, folder):
    (folder / "converted.tflite").write_bytes(content)
    engine = open_engine(EngineSpec("litert"), folder / "converted.tflite")
    return run_in_batches(engine, engine.session(), rows)


def test_to_litert_takes_dropout_and_batch_norm_as_inference(tmp_path):
    source = keras.Input((6,))
    hidden = keras.layers.Dropout(0.9)(keras.layers.BatchNormalization()(source))
    rows = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    outputs = litert_outputs(to_litert(keras.Model(source, hidden), pixels=False), rows, tmp_path)
    np.testing.assert_allclose(outputs, rows / np.sqrt(1 + 1e-3), rtol=1e-5)


def test_to_litert_through_a_file_gives_the_same_values(network, network_files, pixels, tmp_path, monkeypatch):
    first = litert_outputs(network_files["litert"].read_bytes(), pixels[:4], tmp_path)
    monkeypatch.setattr("tlkit.engines.keras.LARGE_NETWORK", 0)
    through_file = litert_outputs(to_litert(network, pixels=True), pixels[:4], tmp_path)
    np.testing.assert_allclose(through_file, first, rtol=1e-5, atol=1e-6)


def test_to_litert_twice_gives_the_same_network(network, network_files, pixels, tmp_path):
    first = litert_outputs(network_files["litert"].read_bytes(), pixels[:4], tmp_path)
    np.testing.assert_array_equal(litert_outputs(to_litert(network, pixels=True), pixels[:4], tmp_path), first)


def test_save_network_comes_back_and_leaves_nothing_beside_it(network, pixels, tmp_path):
    save_network(network, tmp_path / "model.keras")
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]
    again = load_network(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.get_weights()[0], network.get_weights()[0])
    assert again.name == network.name


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_save_network_that_fails_leaves_the_old_file_alone(error, tmp_path):
    class Failing:
        def save(self, file):
            file.write_bytes(b"half")
            raise error

    (tmp_path / "model.keras").write_bytes(b"old")
    with pytest.raises(error):
        save_network(Failing(), tmp_path / "model.keras")
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]
    assert (tmp_path / "model.keras").read_bytes() == b"old"
