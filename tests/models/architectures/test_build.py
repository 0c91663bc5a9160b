"""What all networks of the course have in common: sizes, variants, colours."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.networks import keras
from tlkit.errors import OptionError
from tlkit.models.architectures.build import brightness, build_architecture
from tlkit.models.architectures.lenet import CONNECTIONS
from tlkit.models.architectures.registry import _ARCHITECTURES, ARCHITECTURES, find_trainable

THIN = {"width": 0.05}


DEEP = ("resnet101", "resnet152", "resnet110", "resnet56", "resnet44")


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, id=row.name, marks=pytest.mark.slow if row.name in DEEP else ()) for row in _ARCHITECTURES],
)
def test_a_network_can_be_built_for_its_least_size_and_says_so_below_it(row):
    changes = THIN | ({"hidden": (4,)} if row.name == "mlp" else {})
    body = build_architecture(row, row.least_size, changes)
    assert len(body.output.shape) == 2
    values = body(np.full((2, row.least_size, row.least_size, 3), 200, np.float32), training=False)
    assert np.isfinite(keras.ops.convert_to_numpy(values)).all()
    if row.least_size > 1:
        with pytest.raises(OptionError, match=rf"{row.name} needs at least {row.least_size}"):
            build_architecture(row, row.least_size - 1, changes)


@pytest.mark.parametrize("name", ["lenet5", "lenet5_relu", "alexnet", "vgg11"])
def test_below_the_least_size_nothing_would_be_left(name):
    row = ARCHITECTURES[name]
    with pytest.raises(ValueError, match="(?i)negative|size|dimension"):
        build_architecture(replace(row, least_size=1), row.least_size - 1, THIN)


def test_one_seed_draws_the_same_weights_and_another_others():
    first, again, other = (
        build_architecture(ARCHITECTURES["lenet5_relu"], 32, seed=seed).get_weights() for seed in (1, 1, 2)
    )
    assert all(np.array_equal(*pair) for pair in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_grey_is_the_brightness_of_the_colours():
    pixels = keras.Input((1, 1, 3))
    model = keras.Model(pixels, brightness(pixels))
    red, green, white = ([[[255.0, 0, 0]]], [[[0, 255.0, 0]]], [[[255.0, 255, 255]]])
    found = keras.ops.convert_to_numpy(model(np.array([red, green, white], np.float32))).ravel()
    np.testing.assert_allclose(found, [0.299 * 255, 0.587 * 255, 255], rtol=1e-5)
    assert model.count_params() == 0


def test_half_the_width_is_a_quarter_of_the_weights_between_hidden_layers():
    whole, half = (
        build_architecture(ARCHITECTURES["vgg11"], 32, {"width": width}).get_layer("fc7").count_params()
        for width in (0.2, 0.1)
    )
    assert whole / half == pytest.approx(4, rel=0.02)


def test_a_batch_norm_follows_each_layer_where_it_is_asked_for():
    plain, normed = (
        build_architecture(ARCHITECTURES["alexnet"], 67, THIN | {"batch_norm": wanted}) for wanted in (False, True)
    )
    count = sum(isinstance(layer, keras.layers.BatchNormalization) for layer in normed.layers)
    assert count == 7
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in plain.layers)


def test_the_activation_and_the_dropout_are_the_ones_asked_for():
    body = build_architecture(ARCHITECTURES["mlp"], 8, {"hidden": (5,), "activation": "leaky_relu", "dropout": 0.3})
    assert body.get_layer("hidden_1_leaky_relu").negative_slope == pytest.approx(0.1)
    assert body.get_layer("hidden_1_dropout").rate == pytest.approx(0.3)
    tanh = build_architecture(ARCHITECTURES["lenet5_relu"], 32, {"activation": "tanh"})
    assert tanh.get_layer("conv1_tanh").activation is keras.activations.tanh


def test_lenets_table_has_the_papers_connections():
    """Table 1 of LeCun (1998): 60 of 96, and each map of S2 is seen by ten of the sixteen of C3."""
    assert len(CONNECTIONS) == 16
    assert sum(map(len, CONNECTIONS)) == 60
    assert [sum(place in maps for maps in CONNECTIONS) for place in range(6)] == [10] * 6


def test_a_residual_block_that_adds_nothing_passes_its_input_on():
    body = build_architecture(ARCHITECTURES["resnet20"], 8)
    for layer in body.layers:
        if layer.name.endswith("_2_bn"):
            layer.gamma.assign(0 * layer.gamma)
    values = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)
    start = keras.Model(body.input, body.get_layer("conv1_relu").output)(values)
    end = keras.Model(body.input, body.get_layer("conv2_block3_relu").output)(values)
    np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (start, end)))


def test_an_unknown_network_is_named_with_its_neighbours():
    with pytest.raises(OptionError, match="there is no network 'resnet19'; did you mean resnet18"):
        find_trainable("resnet19")


def test_any_network_of_keras_applications_has_a_row():
    assert find_trainable("InceptionV3").constructor == "InceptionV3"
    assert find_trainable("ResNet50").file == "resnet"


OTHERWISE = {"width": 0.1, "activation": "elu", "batch_norm": True, "dropout": 0.25, "hidden": (3,)}


ONE_OF_EACH = {row.function: row for row in reversed(_ARCHITECTURES)}.values()


@pytest.mark.parametrize("row", ONE_OF_EACH, ids=lambda row: row.name)
def test_a_network_is_varied_in_the_ways_it_takes_and_in_no_other(row):
    def structure(**changes):
        keras.utils.clear_session()  # layers without a name are counted
        config = build_architecture(row, row.least_size, THIN | changes).get_config()
        return json.dumps(config, sort_keys=True, default=str)

    usual = structure()
    assert {name for name, value in OTHERWISE.items() if structure(**{name: value}) != usual} == set(row.takes)
