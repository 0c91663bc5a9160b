"""Layer by layer: the formulas, worked examples, and figures that others have published."""

import math

import pytest

from tests.networks import keras, lazy_functions
from tlkit.models.architectures.registry import ARCHITECTURES, find_trainable

build_whole_network, convolution_parameters, output_size, summarize = lazy_functions(
    "tlkit.models.summary", "build_whole_network", "convolution_parameters", "output_size", "summarize"
)
SMALL = ("linear", "lenet5", "lenet5_relu", "alexnet", "inception_small", "resnet20")


def summary_of(name, **options):
    return summarize(build_whole_network(find_trainable(name), **options))


def layer_of(summary, name):
    return next(layer for layer in summary.layers if layer.name == name)


# worked examples


def test_output_size_of_worked_examples():
    assert output_size(32, kernel=5, stride=1, padding=2) == 32
    assert output_size(10, kernel=5, stride=1, padding=2) == 10
    assert output_size(227, kernel=11, stride=4, padding=0) == 55


def test_summarize_three_convolutions():
    source = keras.Input((32, 32, 3))
    values = keras.layers.Conv2D(8, 5, padding="same", name="first")(source)
    values = keras.layers.Conv2D(16, 5, padding="same", name="second")(values)
    values = keras.layers.Conv2D(32, 1, name="third")(values)
    summary = summarize(keras.Model(source, values))
    assert [row.parameters for row in summary.layers] == [0, 608, 3216, 544]
    assert [row.output for row in summary.layers[1:]] == [(32, 32, 8), (32, 32, 16), (32, 32, 32)]
    assert layer_of(summary, "first").padding == 2
    assert [row.field for row in summary.layers] == [1, 5, 9, 9]
    assert layer_of(summary, "second").multiply_adds == 32 * 32 * 5 * 5 * 8 * 16


def test_summarize_linear_has_784_by_10_weights_and_10_biases():
    summary = summary_of("linear", num_classes=10, gray=True)
    assert summary.total_parameters == 784 * 10 + 10
    assert summary.depth == 1


# what others have published


@pytest.mark.parametrize(
    ("name", "depth", "millions", "source"),
    [
        ("googlenet", 22, 1583, "Szegedy 2014: 22 layers, 1.5 thousand million"),
        pytest.param("resnet18", 18, 1814, "He 2015, table 1: 1.8 thousand million", marks=pytest.mark.slow),
        ("resnet20", 20, 41, "He 2015, section 4.2: 20 layers"),
        pytest.param("alexnet", 8, 724, "Caffe's deploy.prototxt, counted by netscope", marks=pytest.mark.slow),
        pytest.param("resnet34", 34, 3664, "He 2015, table 1: 3.6 thousand million", marks=pytest.mark.slow),
        pytest.param("plain34", 34, 3644, "He 2015, table 1, less three shortcuts of 1 × 1", marks=pytest.mark.slow),
    ],
)
def test_summarize_depth_and_multiply_adds_are_published_ones(name, depth, millions, source):
    summary = summary_of(name)
    assert summary.depth == depth
    assert summary.multiply_adds / 1e6 == pytest.approx(millions, rel=0.01)


def test_summarize_receptive_fields_are_published_ones():
    """AlexNet's are in Araujo (2019, Distill); a window of 3 × 3 after a stride of 2 adds four pixels."""
    summary = summary_of("alexnet", width=0.1)
    assert [layer_of(summary, name).field for name in ("conv1", "conv2", "conv5", "pool5")] == [
        11,
        51,
        163,
        195,
    ]
    vgg = summary_of("vgg11", image_size=32, width=0.1)
    assert layer_of(vgg, "block2_conv1").field - layer_of(vgg, "block1_pool").field == 2 * 2


# properties of every network


@pytest.mark.parametrize(
    "name", [name if name in SMALL else pytest.param(name, marks=pytest.mark.slow) for name in ARCHITECTURES]
)
def test_summarize_sizes_follow_formula_and_parameters_add_up(name):
    model = build_whole_network(ARCHITECTURES[name], num_classes=10, width=0.1)
    summary = summarize(model)
    assert summary.total_parameters == model.count_params()
    for layer in model.layers:
        row = layer_of(summary, layer.name)
        if row.kernel:
            assert row.output[0] == output_size(layer.input.shape[1], row.kernel[0], row.stride, row.padding), row
        if type(layer) is keras.layers.Conv2D and layer.use_bias and row.kernel[0] == row.kernel[1]:
            depth, filters = layer.input.shape[-1], layer.filters
            assert row.parameters == convolution_parameters(row.kernel[0], depth, filters)
        assert row.memory == 4 * math.prod(row.output)


def test_summarize_backbone_has_its_last_layer():
    """Keras's own figure: 3,538,984 parameters (https://keras.io/api/applications/)."""
    summary = summary_of("mobilenet_v2")
    assert summary.total_parameters == 3_538_984
    assert summary.multiply_adds == pytest.approx(300e6, rel=0.01)  # Sandler 2018, table 4
