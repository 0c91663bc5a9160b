"""Every kind of layer in the registry, compared with Keras on random images in ONNX Runtime."""

# ruff: noqa: PLW0108 - a layer is made when its test runs, since no test file imports Keras at its top

import numpy as np
import onnx
import pytest

from tests.export.running import run_onnx
from tests.networks import keras, random_pixels, run_network
from tlkit.errors import ModelError
from tlkit.export.onnx.activations import ACTIVATIONS
from tlkit.export.onnx.graph import OPSET
from tlkit.export.onnx.layers import CONVERTERS
from tlkit.export.onnx.writer import keras_to_onnx

SIZE = 9  # odd, so that "same" adds more on one side
PIXELS = random_pixels(3, SIZE)


def network(build):
    """A network of one layer or more, with random weights; its inputs are small, its output is a row."""
    keras.utils.set_random_seed(0)
    pixels = keras.Input((SIZE, SIZE, 3))
    values = keras.layers.Rescaling(1 / 64, -2.0)(pixels)
    model = keras.Model(pixels, keras.layers.Flatten()(build(values)))
    draws = np.random.default_rng(0)
    for weight in model.weights:
        if "seed" not in weight.path:
            weight.assign(
                draws.uniform(0.5, 1.5, weight.shape) if "variance" in weight.path else draws.normal(size=weight.shape)
            )
    return model


def check(build, tolerance=3e-5):
    """The file answers as Keras does, to a fraction of the largest value; returns it."""
    model = network(build)
    content = keras_to_onnx(model, {})
    expected = run_network(model, PIXELS.astype(np.float32))
    np.testing.assert_allclose(run_onnx(content, PIXELS), expected, atol=tolerance * np.abs(expected).max())
    return onnx.load_from_string(content)


def kinds(file):
    return [node.op_type for node in file.graph.node]


def channels_last(values):
    """A map whose channels are last in the graph."""
    return keras.layers.LayerNormalization()(values)


def applications():
    """The modules of keras.applications, which have layers of their own."""
    return keras.src.applications


DROPPING = ("Dropout", "SpatialDropout2D", "GaussianDropout", "GaussianNoise", "AlphaDropout")
LAYERS = {
    "Conv2D": lambda x: keras.layers.Conv2D(4, (3, 2), strides=2, padding="same")(x),
    "Conv2D dilated": lambda x: keras.layers.Conv2D(4, 3, dilation_rate=2, padding="same", activation="relu")(x),
    "Conv2D valid": lambda x: keras.layers.Conv2D(4, 4, strides=3, use_bias=False)(x),
    "Conv2D 1x1 strided": lambda x: keras.layers.Conv2D(4, 1, strides=2, padding="same")(x),
    "Conv2D grouped": lambda x: keras.layers.Conv2D(6, 3, groups=3)(x),
    "DepthwiseConv2D": lambda x: keras.layers.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2)(x),
    "SeparableConv2D": lambda x: keras.layers.SeparableConv2D(5, 3, strides=2, padding="same", depth_multiplier=2)(x),
    "Dense": lambda x: keras.layers.Dense(5, activation="tanh")(keras.layers.Flatten()(x)),
    "Dense on maps": lambda x: keras.layers.Dense(5)(x),
    "Dense on maps, channels last": lambda x: keras.layers.Dense(5, use_bias=False)(channels_last(x)),
    "Dense on rows": lambda x: keras.layers.Dense(5)(keras.layers.Reshape((SIZE, SIZE * 3))(x)),
    "MaxPooling2D": lambda x: keras.layers.MaxPooling2D(3, 2, padding="same")(x),
    "MaxPooling2D valid": lambda x: keras.layers.MaxPooling2D(2)(x),
    "AveragePooling2D": lambda x: keras.layers.AveragePooling2D((3, 2), 2, padding="same")(x),
    "GlobalAveragePooling2D": lambda x: keras.layers.GlobalAveragePooling2D()(x),
    "GlobalMaxPooling2D": lambda x: keras.layers.GlobalMaxPooling2D(keepdims=True)(x),
    "ZeroPadding2D": lambda x: keras.layers.ZeroPadding2D(((1, 0), (2, 3)))(x),
    "Cropping2D": lambda x: keras.layers.Cropping2D(((1, 0), (2, 3)))(x),
    "Pad": lambda x: keras.ops.pad(x, ((0, 0), (1, 2), (0, 0), (3, 1))),
    "GetItem": lambda x: x[:, 1:-1:2, ::3, :2],
    "GetItem with dots": lambda x: x[..., 1:],
    "Split": lambda x: keras.layers.Concatenate()(keras.ops.split(x, 3, axis=-1)[::-1]),
    "Split at places": lambda x: keras.ops.split(x, [2, 5], axis=1)[1],
    "Concatenate": lambda x: keras.layers.Concatenate()([x, channels_last(x), 2 * x]),
    "Concatenate rows": lambda x: keras.layers.Concatenate(axis=1)([x, x]),
    "Reshape": lambda x: keras.layers.Reshape((3, 27, 3))(x) + 1.0,
    "ExpandDims": lambda x: keras.ops.expand_dims(keras.layers.GlobalAveragePooling2D()(x), 1),
    "Squeeze": lambda x: keras.ops.squeeze(keras.layers.GlobalAveragePooling2D(keepdims=True)(x), (1, 2)),
    "Mean": lambda x: keras.ops.mean(x, axis=-1, keepdims=True) + keras.ops.mean(x, axis=(1, 2), keepdims=True),
    "Mean of channels": lambda x: keras.ops.mean(x, axis=1),
    "BatchNormalization": lambda x: keras.layers.BatchNormalization()(x),
    "BatchNormalization of rows": lambda x: keras.layers.BatchNormalization(scale=False)(keras.layers.Flatten()(x)),
    "LayerNormalization": lambda x: keras.layers.LayerNormalization(epsilon=1e-6)(x),
    "LayerNormalization plain": lambda x: keras.layers.LayerNormalization(center=False, scale=False)(x),
    "Normalization": lambda x: keras.layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0])(x),
    "Rescaling": lambda x: keras.layers.Rescaling([1.0, 2.0, 3.0], offset=[0.0, 0.5, -1.0])(x),
    "Add": lambda x: keras.layers.Add()([x, x, channels_last(x)]),
    "Add a constant": lambda x: x + 3.0 + np.arange(3, dtype=np.float32),
    "Subtract": lambda x: 1.0 - keras.layers.Subtract()([x, channels_last(x)]),
    "Multiply": lambda x: keras.layers.Multiply()([x, keras.layers.GlobalAveragePooling2D(keepdims=True)(x)]) * 2,
    "Divide": lambda x: keras.ops.divide(x, 3.0),
    "TrueDivide": lambda x: x / np.array([1.0, 2.0, 3.0], np.float32),
    "Maximum": lambda x: keras.layers.Maximum()([x, keras.layers.Minimum()([2 * x, -x])]),
    "Average": lambda x: keras.layers.Average()([x, 2 * x, 3 * x]),
    "Cast": lambda x: keras.ops.cast(x, "float32"),
    "ReLU": lambda x: keras.layers.ReLU(max_value=1.5)(x),
    "ReLU with a slope": lambda x: keras.layers.ReLU(max_value=1.0, negative_slope=0.1)(x),
    "LeakyReLU": lambda x: keras.layers.LeakyReLU(0.3)(x),
    "ELU": lambda x: keras.layers.ELU(0.7)(x),
    "PReLU": lambda x: keras.layers.PReLU(shared_axes=[1, 2])(keras.layers.Conv2D(4, 1)(x)),
    "Softmax": lambda x: keras.layers.Softmax()(x),
    "Gelu": lambda x: keras.ops.gelu(x, approximate=True) + keras.ops.gelu(x, approximate=False),
    "operations": lambda x: keras.ops.relu6(keras.ops.silu(x)) + keras.ops.hard_sigmoid(x) * keras.ops.hard_silu(x),
    "more operations": lambda x: keras.ops.relu(x) + keras.ops.sigmoid(x) + keras.ops.tanh(x) + keras.ops.softplus(x),
    "Elu": lambda x: keras.ops.elu(x, alpha=0.5) + keras.ops.leaky_relu(x, 0.1),
    "Dropout": lambda x: keras.Sequential([getattr(keras.layers, kind)(0.5) for kind in DROPPING])(x),
    "Identity": lambda x: keras.layers.Identity()(keras.layers.ActivityRegularization(0.1)(x)),
    "LayerScale": lambda x: applications().convnext.LayerScale(0.5, 3)(x),
    "StochasticDepth": lambda x: applications().convnext.StochasticDepth(0.5)(x),
    "CustomScaleLayer": lambda x: applications().inception_resnet_v2.CustomScaleLayer(0.3)([x, channels_last(x)]),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_answers_as_in_keras(name):
    check(LAYERS[name])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_answers_as_in_keras(name):
    check(lambda x: keras.layers.Activation(name)(x))
    check(lambda x: keras.layers.Conv2D(4, 1, activation=name)(x))


def test_every_kind_of_the_registry_is_compared():
    written = set()
    for build in LAYERS.values():
        model = network(build)
        inner = [layer for layer in model.layers if isinstance(layer, keras.Sequential)]
        written |= {
            type(operation).__name__
            for part in (model, *inner)
            for operation in getattr(part, "operations", part.layers)
        }
    assert set(CONVERTERS) - written == {"Activation"}  # see above


def test_a_batch_norm_becomes_part_of_the_layer_before_it():
    def build(values):
        values = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, use_bias=False)(values))
        values = keras.layers.BatchNormalization()(keras.layers.DepthwiseConv2D(3, depth_multiplier=2)(values))
        values = keras.layers.BatchNormalization(center=False)(keras.layers.SeparableConv2D(3, 1)(values))
        return keras.layers.BatchNormalization()(keras.layers.Dense(3)(keras.layers.Flatten()(values)))

    file = check(build)
    assert "BatchNormalization" not in kinds(file)
    assert kinds(file).count("Conv") == 4
    assert kinds(file).count("Mul") == kinds(file).count("Add") == 1  # of the rescaling


def test_a_batch_norm_stays_where_others_see_what_is_before_it():
    def build(values):
        values = keras.layers.Conv2D(4, 3)(values)
        return keras.layers.BatchNormalization()(values) + values

    assert kinds(check(build)).count("BatchNormalization") == 1
    assert "BatchNormalization" in kinds(
        check(lambda x: keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 1, activation="relu")(x)))
    )


def test_models_inside_a_model_are_part_of_its_graph():
    def build(values):
        inner = keras.Sequential([keras.layers.Conv2D(3, 3, padding="same"), keras.layers.BatchNormalization()])
        return inner(inner(values)) + values

    file = check(build)
    assert kinds(file).count("Conv") == 2
    names = {
        initializer.name
        for node in file.graph.node
        for initializer in file.graph.initializer
        if initializer.name in node.input and node.op_type == "Conv"
    }
    assert len(names) == 2  # one kernel and one bias, each once


def test_a_layer_that_is_called_twice_has_one_copy_of_its_weights():
    def build(values):
        layer = keras.layers.Conv2D(3, 3, padding="same")
        return layer(layer(values))

    shapes = [tuple(item.dims) for item in check(build).graph.initializer]
    assert shapes.count((3, 3, 3, 3)) == 1


def test_the_file_states_its_opset():
    file = check(LAYERS["Dense"])
    assert [(item.domain, item.version) for item in file.opset_import] == [("", OPSET)]
    onnx.checker.check_model(file, full_check=True)


@pytest.mark.parametrize(
    ("build", "problem"),
    [
        (lambda x: keras.layers.Conv2DTranspose(3, 2, name="up")(x), "the layer 'up' (Conv2DTranspose) cannot"),
        (lambda x: keras.layers.Lambda(lambda y: y + 1, name="odd")(x), "the layer 'odd' (Lambda) cannot"),
        (lambda x: keras.layers.LayerNormalization(axis=1, name="n")(x), "(LayerNormalization over other axes"),
        (lambda x: keras.layers.ReLU(threshold=1.0, name="r")(x), "(ReLU with a threshold)"),
        (lambda x: keras.layers.Activation(keras.activations.sparsemax, name="a")(x), "with the activation sparsemax"),
        (lambda x: keras.ops.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)), "reflect"), "with other values than zero"),
        (lambda x: x[:, 0], "that takes single rows"),
        (lambda x: x[:, ::-1], "backwards"),
    ],
)
def test_what_cannot_be_written_is_refused_by_name(build, problem):
    with pytest.raises(ModelError) as refused:
        keras_to_onnx(network(build), {})
    assert problem in str(refused.value)
    assert str(refused.value).endswith("cannot be written as ONNX; export the run as saved_model.")


def test_a_layer_of_another_package_is_not_taken_for_keras_own():
    class Add(keras.layers.Layer):
        def call(self, values):
            return values + 1

    with pytest.raises(ModelError, match=r"the layer 'mine' \(Add\) cannot be written as ONNX"):
        keras_to_onnx(network(Add(name="mine")), {})
