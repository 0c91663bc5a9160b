"""GoogLeNet's auxiliary classifiers: part of the network in training only."""

import numpy as np
import pytest

from tests.models.architectures.test_registry import classifier, count_trainable
from tests.networks import keras, lazy_functions, run_network
from tlkit.models.architectures.registry import ARCHITECTURES

(add_auxiliary_outputs,) = lazy_functions("tlkit.models.architectures.auxiliary", "add_auxiliary_outputs")
GOOGLENET = ARCHITECTURES["googlenet"]
THIN = {"width": 0.05}
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.float32)
TARGETS = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
WEIGHTS = np.array([1, 2, 0.5, 0.5], np.float32)


@pytest.fixture(scope="module")
def network():
    return classifier("googlenet", 3, False, 32, **THIN)


@pytest.fixture(scope="module")
def supervised(network):
    model = add_auxiliary_outputs(GOOGLENET, network, THIN)
    model.compile(keras.optimizers.SGD(0.1), keras.losses.CategoricalCrossentropy(), weighted_metrics=["accuracy"])
    return model


def test_add_auxiliary_outputs_has_parameters_of_caffe():
    """https://github.com/BVLC/caffe/tree/master/models/bvlc_googlenet: 13,378,280 weights and biases."""
    assert count_trainable(add_auxiliary_outputs(GOOGLENET, classifier("googlenet", 1000, False), {})) == 13_378_280


def test_add_auxiliary_outputs_other_architectures_stay():
    for name in ("linear", "inception_small"):
        network = classifier(name, 3, False, **({} if name == "linear" else THIN))
        assert add_auxiliary_outputs(ARCHITECTURES[name], network, {}) is network


def test_add_auxiliary_outputs_inference_is_that_of_network(network, supervised):
    np.testing.assert_array_equal(run_network(supervised, PIXELS), run_network(network, PIXELS))


def test_compute_loss_adds_fraction_of_auxiliary_losses(supervised):
    from tlkit.models.architectures.auxiliary import AUXILIARY_WEIGHT

    outputs = supervised(PIXELS, training=True)
    loss = keras.losses.CategoricalCrossentropy()
    main, first, second = (float(loss(TARGETS, output, WEIGHTS)) for output in outputs)
    total = float(supervised.compute_loss(PIXELS, TARGETS, outputs, WEIGHTS))
    assert total == pytest.approx(main + AUXILIARY_WEIGHT * (first + second), rel=1e-5)
    assert float(supervised.compute_loss(PIXELS, TARGETS, outputs[0], WEIGHTS, training=False)) == pytest.approx(main)


def test_add_auxiliary_outputs_step_moves_all_layers(network, supervised):
    before = [weight.tobytes() for weight in supervised.get_weights()]
    logs = supervised.train_on_batch(PIXELS, TARGETS, WEIGHTS, return_dict=True)
    assert set(logs) == {"loss", "accuracy"}
    moved = {
        variable.path.split("/")[0]
        for variable, old in zip(supervised.weights, before, strict=True)
        if np.asarray(variable).tobytes() != old
    }
    assert {"auxiliary_1", "auxiliary_2_fc", "conv1", "inception_4d_3x3", "head_logits"} <= moved
    assert not [layer.name for layer in network.layers if layer.name.startswith("auxiliary")]


@pytest.mark.slow
def test_train_googlenet_saves_network_alone(colors, tmp_path):
    from tlkit import TrainSettings, train

    settings = TrainSettings(model="googlenet", image_size=32, width=0.05, epochs=1, batch_size=16)
    done = train(colors, tmp_path / "run", settings)
    saved = keras.models.load_model(done.run.path / "model.keras")
    assert saved.count_params() == classifier("googlenet", 3, False, 32, **THIN).count_params()
    assert len(saved.outputs) == 1
    assert done.history[0]["loss"] > 1.4 * np.log(3)  # three losses, the inner ones at 0.3
