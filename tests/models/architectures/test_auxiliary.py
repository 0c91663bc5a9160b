"""GoogLeNet's auxiliary classifiers: there while it is trained, gone afterwards."""

import numpy as np
import pytest

from tests.models.architectures.test_registry import classifier, count_trainable
from tests.networks import keras
from tlkit.models.architectures.auxiliary import AUXILIARY_WEIGHT, add_auxiliary_outputs
from tlkit.models.architectures.registry import _ARCHITECTURES, ARCHITECTURES
from tlkit.settings.training import TrainSettings
from tlkit.training.from_scratch import train

ROW = ARCHITECTURES["googlenet"]
THIN = {"width": 0.05}
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.float32)
TARGETS = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
WEIGHTS = np.array([1, 2, 0.5, 0.5], np.float32)


@pytest.fixture
def network():
    return classifier("googlenet", 3, False, 32, **THIN)


@pytest.fixture
def supervised(network):
    found = add_auxiliary_outputs(ROW, network, THIN)
    found.compile(keras.optimizers.SGD(0.1), keras.losses.CategoricalCrossentropy(), weighted_metrics=["accuracy"])
    return found


def test_with_both_it_has_as_many_parameters_as_caffes():
    """https://github.com/BVLC/caffe/tree/master/models/bvlc_googlenet: 13,378,280 weights and biases."""
    assert count_trainable(add_auxiliary_outputs(ROW, classifier("googlenet", 1000, False), {})) == 13_378_280


@pytest.mark.parametrize("row", [row for row in _ARCHITECTURES if row.name in ("linear", "inception_small")], ids=str)
def test_networks_without_any_stay_as_they_are(row):
    network = classifier(row.name, 3, False)
    assert add_auxiliary_outputs(row, network, {}) is network


def test_outside_training_it_is_the_network_itself(network, supervised):
    np.testing.assert_array_equal(supervised.predict_on_batch(PIXELS), network.predict_on_batch(PIXELS))


def test_the_loss_is_the_networks_and_a_share_of_theirs(supervised):
    outputs = supervised(PIXELS, training=True)
    loss = keras.losses.CategoricalCrossentropy()
    main, first, second = (float(loss(TARGETS, output, WEIGHTS)) for output in outputs)
    found = float(supervised.compute_loss(PIXELS, TARGETS, outputs, WEIGHTS))
    assert found == pytest.approx(main + AUXILIARY_WEIGHT * (first + second), rel=1e-5)
    assert float(supervised.compute_loss(PIXELS, TARGETS, outputs[0], WEIGHTS, training=False)) == pytest.approx(main)


def test_a_step_moves_them_and_the_network_below_them(network, supervised):
    before = [weight.tobytes() for weight in supervised.get_weights()]
    found = supervised.train_on_batch(PIXELS, TARGETS, WEIGHTS, return_dict=True)
    assert set(found) == {"loss", "accuracy"}
    moved = {
        variable.path.split("/")[0]
        for variable, old in zip(supervised.weights, before, strict=True)
        if np.asarray(variable).tobytes() != old
    }
    assert {"auxiliary_1", "auxiliary_2_fc", "conv1", "inception_4d_3x3", "head_logits"} <= moved
    assert not [layer.name for layer in network.layers if layer.name.startswith("auxiliary")]


@pytest.mark.slow
def test_a_run_keeps_the_network_alone(colours, tmp_path):
    settings = TrainSettings(model="googlenet", image_size=32, width=0.05, epochs=1, batch_size=16)
    done = train(colours, tmp_path / "run", settings)
    kept = keras.models.load_model(done.run.path / "model.keras")
    assert kept.count_params() == classifier("googlenet", 3, False, 32, **THIN).count_params()
    assert len(kept.outputs) == 1
    assert done.history[0]["loss"] > 1.4 * np.log(3)  # three losses, the inner ones at 0.3
