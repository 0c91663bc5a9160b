"""Layer by layer: the course's formulas, its worked examples, and figures that others have published."""

import math
import xml.etree.ElementTree as xml

import pytest

from tests.networks import keras
from tlkit.models.architectures.registry import ARCHITECTURES
from tlkit.models.diagram import blocks_of, draw_network
from tlkit.models.summary import convolution_parameters, named_network, output_size, summarize
from tlkit.settings.commands import SummarySettings

SMALL = [
    name for name in ARCHITECTURES if name not in ("vgg13", "vgg16", "vgg19", "resnet101", "resnet152", "resnet110")
]


def anatomy(name, **changes):
    return summarize(named_network(name, SummarySettings(**changes)))


def row_of(found, name):
    return next(row for row in found.layers if row.name == name)


# the course's worked examples


def test_windows_of_five_with_two_zeros_around_keep_the_size():
    assert output_size(32, window=5, stride=1, padding=2) == 32
    assert output_size(10, window=5, stride=1, padding=2) == 10
    assert output_size(227, window=11, stride=4, padding=0) == 55


def test_parameters_of_three_convolutions():
    source = keras.Input((32, 32, 3))
    values = keras.layers.Conv2D(8, 5, padding="same", name="first")(source)
    values = keras.layers.Conv2D(16, 5, padding="same", name="second")(values)
    values = keras.layers.Conv2D(32, 1, name="third")(values)
    found = summarize(keras.Model(source, values))
    assert [row.parameters for row in found.layers] == [0, 608, 3216, 544]
    assert [row.output for row in found.layers[1:]] == [(32, 32, 8), (32, 32, 16), (32, 32, 32)]
    assert row_of(found, "first").padding == 2
    assert [row.receptive_field for row in found.layers] == [1, 5, 9, 9]
    assert row_of(found, "second").multiply_adds == 32 * 32 * 5 * 5 * 8 * 16


def test_a_linear_classifier_of_digits_has_784_by_10_weights_and_10_biases():
    found = anatomy("linear", num_classes=10, grey=True)
    assert found.total_parameters == 784 * 10 + 10
    assert found.depth == 1


# what others have published


@pytest.mark.parametrize(
    ("name", "depth", "millions", "source"),
    [
        ("alexnet", 8, 724, "Caffe's deploy.prototxt, counted by netscope: 724 million"),
        ("googlenet", 22, 1583, "Szegedy 2014: 22 layers, 1.5 thousand million"),
        ("resnet18", 18, 1814, "He 2015, table 1: 1.8 thousand million"),
        ("resnet34", 34, 3664, "He 2015, table 1: 3.6 thousand million"),
        ("plain34", 34, 3644, "He 2015, table 1, less three shortcuts of 1 × 1"),
        ("resnet20", 20, 41, "He 2015, section 4.2: 20 layers"),
    ],
)
def test_depth_and_multiply_adds_are_the_published_ones(name, depth, millions, source):
    found = anatomy(name)
    assert found.depth == depth
    assert found.multiply_adds / 1e6 == pytest.approx(millions, rel=0.01)


def test_receptive_fields_are_the_published_ones():
    """AlexNet's are in Araujo (2019, Distill); a window of 3 × 3 after a stride of 2 sees four pixels more."""
    found = anatomy("alexnet")
    assert [row_of(found, name).receptive_field for name in ("conv1", "conv2", "conv5", "pool5")] == [11, 51, 163, 195]
    vgg = anatomy("vgg11", image_size=32, width=0.1)
    assert row_of(vgg, "block2_conv1").receptive_field - row_of(vgg, "block1_pool").receptive_field == 2 * 2


# properties of every network


@pytest.mark.parametrize("name", SMALL)
def test_sizes_follow_the_formula_and_parameters_add_up(name):
    model = named_network(name, SummarySettings(num_classes=10, width=0.1))
    found = summarize(model)
    assert found.total_parameters == model.count_params()
    heights = {row.name: row.output[0] for row in found.layers}
    for layer in model.layers:
        row = row_of(found, layer.name)
        if row.window:
            size = layer.input.shape[1]
            assert heights[layer.name] == output_size(size, row.window[0], row.stride, row.padding), row
        if type(layer) is keras.layers.Conv2D and layer.use_bias and row.window[0] == row.window[1]:
            depth, filters = layer.input.shape[-1], layer.filters
            assert row.parameters == convolution_parameters(row.window[0], depth, filters)
        assert row.memory == 4 * math.prod(row.output)


def test_a_network_of_keras_applications_is_whole():
    """Keras's own figure: 3,538,984 parameters (https://keras.io/api/applications/)."""
    found = anatomy("mobilenet_v2")
    assert found.total_parameters == 3_538_984
    assert found.multiply_adds == pytest.approx(300e6, rel=0.01)  # Sandler 2018, table 4


# drawn


@pytest.mark.parametrize("name", ["linear", "lenet5", "googlenet", "resnet20"])
def test_the_drawing_is_xml_with_a_block_per_height(name):
    found = anatomy(name, num_classes=10)
    root = xml.fromstring(draw_network(found))
    heights = {row.output[0] for row in found.layers if len(row.output) == 3}
    maps = [block for block in blocks_of(found) if len(block.shape) == 3]
    assert [block.shape[0] for block in maps] == sorted(heights, reverse=True)
    texts = [element.text for element in root.iter() if element.text]
    assert name in texts
    assert all("×".join(map(str, block.shape)) in texts for block in blocks_of(found))
