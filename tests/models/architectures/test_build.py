"""What all architectures have in common: sizes, options, colors."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.networks import keras, lazy_functions
from tlkit.errors import OptionError
from tlkit.models.architectures.registry import ARCHITECTURES

brightness, build_architecture = lazy_functions("tlkit.models.architectures.build", "brightness", "build_architecture")
THIN = {"width": 0.05}
FAST = (
    *("linear", "mlp", "neocognitron", "lenet5", "lenet5_relu", "alexnet", "vgg11", "googlenet", "inception_small"),
    *("resnet18", "resnet20"),
)


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in ARCHITECTURES]
)
def test_build_architecture_min_size_is_smallest(name):
    spec = ARCHITECTURES[name]
    changes = THIN | ({"hidden": (4,)} if spec.name == "mlp" else {})
    body = build_architecture(spec, spec.min_size, changes)
    assert len(body.output.shape) == 2
    values = body(np.full((2, spec.min_size, spec.min_size, 3), 200, np.float32), training=False)
    assert np.isfinite(keras.ops.convert_to_numpy(values)).all()
    if spec.min_size > 1:
        with pytest.raises(OptionError, match=rf"{spec.name} needs at least {spec.min_size}"):
            build_architecture(spec, spec.min_size - 1, changes)


def test_build_architecture_below_min_size_has_no_values_left():
    for name in ("lenet5", "lenet5_relu", "alexnet", "vgg11"):
        spec = replace(ARCHITECTURES[name], min_size=1)
        with pytest.raises(ValueError, match="(?i)negative|size|dimension"):
            build_architecture(spec, ARCHITECTURES[name].min_size - 1, THIN)


def test_build_architecture_weights_depend_on_seed():
    first, again, other = (
        build_architecture(ARCHITECTURES["lenet5_relu"], 32, seed=seed).get_weights() for seed in (1, 1, 2)
    )
    assert all(np.array_equal(*pair) for pair in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_brightness_weighs_colors():
    pixels = keras.Input((1, 1, 3))
    model = keras.Model(pixels, brightness(pixels))
    red, green, white = ([[[255.0, 0, 0]]], [[[0, 255.0, 0]]], [[[255.0, 255, 255]]])
    gray = keras.ops.convert_to_numpy(model(np.array([red, green, white], np.float32))).ravel()
    np.testing.assert_allclose(gray, [0.299 * 255, 0.587 * 255, 255], rtol=1e-5)
    assert model.count_params() == 0


def test_build_architecture_half_width_has_quarter_of_hidden_weights():
    whole, half = (
        build_architecture(ARCHITECTURES["vgg11"], 32, {"width": width}).get_layer("fc7").count_params()
        for width in (0.2, 0.1)
    )
    assert whole / half == pytest.approx(4, rel=0.02)


def test_build_architecture_batch_norm_follows_each_layer():
    plain, normed = (
        build_architecture(ARCHITECTURES["alexnet"], 67, THIN | {"batch_norm": wanted}) for wanted in (False, True)
    )
    count = sum(isinstance(layer, keras.layers.BatchNormalization) for layer in normed.layers)
    assert count == 7
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in plain.layers)


def test_build_architecture_has_activation_and_dropout_of_options():
    body = build_architecture(ARCHITECTURES["mlp"], 8, {"hidden": (5,), "activation": "leaky_relu", "dropout": 0.3})
    assert body.get_layer("hidden_1_leaky_relu").negative_slope == pytest.approx(0.1)
    assert body.get_layer("hidden_1_dropout").rate == pytest.approx(0.3)
    tanh = build_architecture(ARCHITECTURES["lenet5_relu"], 32, {"activation": "tanh"})
    assert tanh.get_layer("conv1_tanh").activation is keras.activations.tanh


def test_lenet5_connections_are_those_of_paper():
    """Table 1 of LeCun (1998): 60 of 96, and each map of S2 is connected to ten of the sixteen of C3."""
    from tlkit.models.architectures.lenet import CONNECTIONS

    assert len(CONNECTIONS) == 16
    assert sum(map(len, CONNECTIONS)) == 60
    assert [sum(index in maps for maps in CONNECTIONS) for index in range(6)] == [10] * 6


def test_residual_block_of_zero_is_identity():
    body = build_architecture(ARCHITECTURES["resnet20"], 8)
    for layer in body.layers:
        if layer.name.endswith("_2_bn"):
            layer.gamma.assign(0 * layer.gamma)
    values = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)
    start = keras.Model(body.input, body.get_layer("conv1_relu").output)(values)
    end = keras.Model(body.input, body.get_layer("conv2_block3_relu").output)(values)
    np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (start, end)))


CHANGES = {"width": 0.1, "activation": "elu", "batch_norm": True, "dropout": 0.25, "hidden": (3,)}


ONE_PER_FUNCTION = {spec.function: name for name, spec in reversed(ARCHITECTURES.items())}.values()


@pytest.mark.parametrize(
    "name",
    [
        name if name in ("linear", "mlp", "neocognitron", "lenet5") else pytest.param(name, marks=pytest.mark.slow)
        for name in ONE_PER_FUNCTION
    ],
)
def test_build_architecture_changes_by_its_options_only(name):
    spec = ARCHITECTURES[name]

    def structure(**changes):
        keras.utils.clear_session(free_memory=False)  # layers without a name are counted
        config = build_architecture(spec, spec.min_size, THIN | changes).get_config()
        return json.dumps(config, sort_keys=True, default=str)

    usual = structure()
    assert {name for name, value in CHANGES.items() if structure(**{name: value}) != usual} == set(spec.options)
