"""A `.keras` file written without Keras: Keras opens it, with the layers and the outputs that it should have."""

import zipfile

import numpy as np
import pytest

from tests.networks import keras, lazy_functions, run_network, shared_body
from tlkit.models.head import Head
from tlkit.models.keras_file import write_keras_file
from tlkit.training.head.learner import HeadLearner

HEADS = {
    "wide and deep": Head(0.5, True, (16,)),
    "linear": Head(0.0, False, ()),
    "dropout on a batch norm": Head(0.3, True, ()),
    "two hidden layers with penalties": Head(0.5, False, (16, 8), l1=1e-4, l2=1e-3),
}
SHOWN = ("units", "activation", "use_bias", "rate", "momentum", "epsilon", "axis", "kernel_regularizer", "name")
attach_head, split_head, save_network = (
    *lazy_functions("tlkit.models.head", "attach_head", "split_head"),
    *lazy_functions("tlkit.engines.keras", "save_network"),
)


@pytest.fixture(scope="module")
def body_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("body") / "body.keras"
    save_network(shared_body(), file)
    return file


def written(head, body_file, file):
    """A classifier with random weights as Keras opens it, and its head in NumPy."""
    learner, random = HeadLearner(head, shared_body().output.shape[-1], 3, 0), np.random.default_rng(0)
    for name, value in learner.weights.items():
        value[:] = random.uniform(0.5, 2, value.shape) if name == "variance" else random.normal(0, 0.1, value.shape)
    write_keras_file(body_file, head, learner.weights, file)
    return keras.models.load_model(file), learner


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_written_classifier_gives_in_keras_what_its_parts_give(head, body_file, tmp_path):
    model, learner = written(head, body_file, tmp_path / "model.keras")
    pixels = np.random.default_rng(1).uniform(0, 255, (4, 64, 64, 3)).astype(np.float32)
    features = run_network(shared_body(), pixels)
    np.testing.assert_allclose(run_network(model, pixels), learner.predict(features), atol=1e-6)


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_written_classifier_has_the_layers_of_one_that_keras_built(head, body_file, tmp_path):
    model, _ = written(head, body_file, tmp_path / "model.keras")
    expected = attach_head(shared_body(), head, 3)

    def layers(network):
        configs = [(type(layer).__name__, layer.get_config()) for layer in network.layers]
        return [(kind, {name: config.get(name) for name in SHOWN}) for kind, config in configs]

    assert layers(model) == layers(expected)
    assert (model.name, model.count_params()) == ("classifier", expected.count_params())
    assert [layer.name for layer in split_head(model)[1].layers][1:] == [
        layer.name for layer in split_head(expected)[1].layers
    ][1:]
    trained = [layer for layer in model.layers if layer.trainable_weights]
    assert {layer.name.partition("_")[0] for layer in trained} == {"head"}


def test_written_classifier_can_be_trained_and_saved_by_keras(body_file, tmp_path):
    model, _ = written(HEADS["wide and deep"], body_file, tmp_path / "model.keras")
    model.compile("adam", "categorical_crossentropy")
    pixels, targets = np.zeros((2, 64, 64, 3), np.float32), np.eye(3, dtype=np.float32)[:2]
    assert model.train_on_batch(pixels, targets) > 0
    model.save(tmp_path / "again.keras")
    again = keras.models.load_model(tmp_path / "again.keras")
    np.testing.assert_array_equal(run_network(again, pixels), run_network(model, pixels))


def test_body_that_is_damaged_leaves_no_file(body_file, tmp_path):
    damaged = tmp_path / "body.keras"
    damaged.write_bytes(body_file.read_bytes()[:1000])
    head = HEADS["linear"]
    with pytest.raises(zipfile.BadZipFile):
        write_keras_file(damaged, head, HeadLearner(head, 4, 3, 0).weights, tmp_path / "model.keras")
    assert list(tmp_path.iterdir()) == [damaged]
