"""A `.tflite` file of a Keras network, written layer by layer: it gives what Keras gives, or the layer is refused."""

import numpy as np
import pytest

from tests.networks import FAMILIES, enliven, keras, lively_body, random_pixels, run_network
from tlkit.engines.base import EngineSpec, is_installed, run_in_batches
from tlkit.engines.factory import open_engine
from tlkit.engines.litert_graph import UnsupportedLayerError
from tlkit.engines.litert_network import network_to_litert
from tlkit.models.graph import averaged_map

SIDE, ENGINES = 9, [name for name in ("litert", "openvino") if is_installed(name)]


def shared_convolution(k, x):
    """A convolution that two layers need: neither the batch norm nor the activation may become part of it."""
    common = k.Conv2D(4, 3)(x)
    normal = k.BatchNormalization()(common)
    return k.Concatenate()([k.ReLU()(common), k.ReLU(6.0)(normal), normal])


def squeezed(k, x):
    average = k.GlobalAveragePooling2D(keepdims=True)(x)
    return k.Multiply()([x, k.Conv2D(3, 1, activation="sigmoid")(average)])


def normalized(k, x):
    layer = k.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 0.0, 1.0])
    return layer(x)


PARTS = {
    "same convolution": lambda k, x: k.Conv2D(5, 3, strides=2, padding="same", activation="relu")(x),
    "oblong kernel": lambda k, x: k.Conv2D(5, (1, 3), strides=(2, 1), use_bias=False)(x),
    "batch norm and relu6": lambda k, x: k.ReLU(6.0)(k.BatchNormalization()(k.Conv2D(5, 3)(x))),
    "batch norm after an activation": lambda k, x: k.BatchNormalization()(k.Conv2D(5, 3, activation="relu")(x)),
    "batch norm without scale": lambda k, x: k.BatchNormalization(scale=False)(k.Conv2D(5, 3)(x)),
    "batch norm alone": lambda k, x: k.Activation("relu")(k.BatchNormalization()(x)),
    "shared convolution": shared_convolution,
    "depthwise": lambda k, x: k.BatchNormalization()(k.DepthwiseConv2D(3, depth_multiplier=2)(x)),
    "depthwise relu6": lambda k, x: k.ReLU(6.0)(k.DepthwiseConv2D(3, strides=2, padding="same")(x)),
    "separable": lambda k, x: k.ReLU()(k.BatchNormalization()(k.SeparableConv2D(5, 3)(x))),
    "separable silu": lambda k, x: k.SeparableConv2D(5, 3, padding="same", activation="silu")(x),
    "zeros inside a convolution": lambda k, x: k.Conv2D(4, 3, strides=2)(k.ZeroPadding2D(1)(x)),
    "zeros on one side": lambda k, x: k.DepthwiseConv2D(4, strides=1)(k.ZeroPadding2D(((1, 2), (1, 2)))(x)),
    "zeros on the other side": lambda k, x: k.Conv2D(4, 4)(k.ZeroPadding2D(((2, 1), (2, 1)))(x)),
    "more zeros than same": lambda k, x: k.Conv2D(4, 3)(k.ZeroPadding2D(2)(x)),
    "zeros for a pool": lambda k, x: k.MaxPooling2D(3, strides=2)(k.ZeroPadding2D(1)(k.ReLU()(x))),
    "pools": lambda k, x: k.AveragePooling2D(3, strides=2, padding="same")(k.MaxPooling2D(2, strides=1)(x)),
    "cropping": lambda k, x: k.Cropping2D(((1, 2), (3, 0)))(x),
    "sum of three": lambda k, x: k.ReLU()(k.Add()([x, k.Conv2D(3, 1)(x), k.ReLU()(x)])),
    "operations": lambda k, x: k.ReLU(6.0)(x + 3.0) * (1 / 6) - 0.5,
    "squeeze": squeezed,
    "normalization": normalized,
    "rescaling": lambda k, x: k.Rescaling([0.1, 0.2, 0.3], offset=[1.0, 2.0, 3.0])(x),
    "dense on a map": lambda k, x: k.Dense(4, activation="tanh")(x),
    "dense": lambda k, x: k.Dense(4)(k.Dense(6, activation="relu")(k.Flatten()(x))),
    "softmax": lambda k, x: k.Softmax()(k.Dense(4)(k.Dropout(0.5)(k.Flatten()(x)))),
    "reshape": lambda k, x: k.Conv2D(2, 2)(k.Reshape((3, 9, 9))(x)),
    **{
        name: lambda k, x, name=name: k.Activation(name)(k.Conv2D(4, 1)(x))
        for name in ("relu", "silu", "sigmoid", "hard_sigmoid", "hard_silu", "tanh", "softmax", "linear")
    },
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("part", PARTS)
def test_network_to_litert_gives_what_keras_gives(part, engine, tmp_path):
    network = small_network(PARTS[part])
    rows = np.random.default_rng(0).normal(0, 3, (5, *network.input.shape[1:])).astype(np.float32)
    expected = run_network(network, rows)
    file = tmp_path / "network.tflite"
    file.write_bytes(network_to_litert(network, pixels=False))
    opened = open_engine(EngineSpec(engine), file)
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(run_in_batches(opened, opened.session(), rows), expected, rtol=1e-4, atol=2e-5)


def small_network(part):
    keras.utils.set_random_seed(0)
    source = keras.Input((SIDE, SIDE, 3))
    network = keras.Model(source, part(keras.layers, source))
    enliven(network)
    return network


REFUSED = {
    "dilated": lambda k, x: k.Conv2D(3, 3, dilation_rate=2)(x),
    "in groups": lambda k, x: k.Conv2D(3, 3, groups=3)(x),
    "leaky": lambda k, x: k.ReLU(negative_slope=0.1)(x),
    "another limit": lambda k, x: k.ReLU(max_value=2)(x),
    "own activation": lambda k, x: k.Activation(relu)(x),
    "unknown activation": lambda k, x: k.Activation("selu")(x),
    "unknown layer": lambda k, x: k.UpSampling2D(2)(x),
    "softmax over places": lambda k, x: k.Softmax(axis=1)(x),
}


def relu(values):
    return values - 1


@pytest.mark.parametrize("part", REFUSED)
def test_network_to_litert_refuses_what_it_would_get_wrong(part):
    with pytest.raises(UnsupportedLayerError):
        network_to_litert(small_network(REFUSED[part]), pixels=False)


def test_network_to_litert_of_pixels_has_maps_too(tmp_path):
    network, pixels = lively_body(), random_pixels(2, 64)
    maps = averaged_map(network)
    file = tmp_path / "network.tflite"
    file.write_bytes(network_to_litert(network, pixels=True, maps=maps))
    opened = open_engine(EngineSpec("litert"), file)
    features, found = opened.session_with_maps()(pixels[:1])
    expected = keras.Model(network.input, [network.output, maps])(pixels[:1].astype(np.float32), training=False)
    for values, wanted in zip((features, found), map(keras.ops.convert_to_numpy, expected), strict=True):
        np.testing.assert_allclose(values, wanted, atol=1e-5 * np.abs(wanted).max())


def test_network_to_litert_gives_the_same_bytes_again():
    network = lively_body()
    assert network_to_litert(network, pixels=True) == network_to_litert(network, pixels=True)


WRITTEN = [name for name in FAMILIES if name != "convnext_tiny"]  # its layers are left to TensorFlow


def refuse(*arguments):
    raise UnsupportedLayerError


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITTEN)
def test_network_to_litert_writes_every_family_of_backbones(name, tmp_path, monkeypatch):
    """As near to Keras as the file of TensorFlow's converter: in random Inceptions every rounding grows."""
    from tlkit.engines import keras as converter
    from tlkit.models.backbones import BACKBONES
    from tlkit.models.build import build_backbone
    from tlkit.testing import calibrate_batch_norms

    size = max(96, BACKBONES[name].min_size)
    network, pixels = build_backbone(BACKBONES[name], "none", size), random_pixels(4, size)
    calibrate_batch_norms(network, pixels.astype(np.float32))
    expected, differences = run_network(network, pixels.astype(np.float32)), {}
    monkeypatch.setattr(converter, "network_to_litert", refuse)
    contents = {
        "written": network_to_litert(network, pixels=True, maps=averaged_map(network)),
        "converted": converter.to_litert(network, pixels=True),
    }
    for way, content in contents.items():
        file = tmp_path / f"{way}.tflite"
        file.write_bytes(content)
        opened = open_engine(EngineSpec("litert"), file)
        found = run_in_batches(opened, opened.session(), pixels)
        differences[way] = np.abs(found - expected).max() / np.abs(expected).max()
    assert differences["written"] <= max(1e-4, 4 * differences["converted"])
    assert expected.std(axis=0).max() > 0.01 * np.abs(expected).max()
