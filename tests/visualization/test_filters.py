"""Filters of the first layer, in the colors of the photos they respond to."""

import numpy as np
import pytest

from tests.networks import build_backbone, keras, random_pixels
from tests.visualization.making import inspected, lively_network, small_networks, two_layers
from tlkit.errors import OptionError, RunError
from tlkit.models.backbones import BACKBONES
from tlkit.visualization.filters import class_templates, effective_filters, first_filters
from tlkit.visualization.network import open_run_network


def first_weights(model, name):
    return np.asarray(model.get_layer(name).kernel)


def test_filters_are_the_kernels_of_the_first_convolution():
    network = two_layers()
    filters = effective_filters(network, network.find_layer("edges"))
    kernels = np.moveaxis(first_weights(network.model, "edges"), -1, 0)
    assert filters.shape == (4, 3, 3, 3)
    np.testing.assert_allclose(filters, kernels * (2 * filters[0, 0, 0, 0] / kernels[0, 0, 0, 0] / 2), rtol=1e-4)


def test_gray_is_zero_and_the_strongest_weight_is_full():
    row = first_filters(two_layers())
    kernels = np.moveaxis(first_weights(two_layers().model, "edges"), -1, 0)
    tiles = row.tiles[:, ::16, ::16].astype(float)
    expected = 127.5 + 127.5 * kernels / np.abs(kernels).max(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(tiles, expected, atol=0.51)
    assert set(np.abs(tiles - 127.5).max(axis=(1, 2, 3))) == {127.5}
    assert (row.layer, row.units, row.labels) == ("edges", (0, 1, 2, 3), ("0", "1", "2", "3"))


def red_filter(preprocessing):
    """A network whose single filter responds to red alone, behind a preprocessing of `keras.applications`."""
    from tlkit.models.build import preprocess

    pixels = keras.Input((8, 8, 3))
    values = preprocess(preprocessing, pixels)
    output = keras.layers.Conv2D(1, 3, use_bias=False, name="first")(values)
    model = keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(output))
    kernel = np.zeros((3, 3, 3, 1))
    kernel[1, 1, 2 if preprocessing == "caffe" else 0] = 1  # caffe's channels are blue, green, red
    model.get_layer("first").set_weights([kernel])
    return inspected(model, 8)


@pytest.mark.parametrize("preprocessing", ["tf", "torch", "caffe", "built-in"])
def test_colors_are_right_behind_every_preprocessing(preprocessing):
    row = first_filters(red_filter(preprocessing))
    tile = row.tiles[0, ::16, ::16].astype(int)
    assert tile[1, 1].tolist() == [255, 128, 128]
    assert set(np.delete(tile.reshape(9, 3), 4, axis=0).ravel().tolist()) == {128}


def test_separable_filters_are_what_the_layer_computes():
    random = np.random.default_rng(0)
    for layer in (
        keras.layers.SeparableConv2D(5, 3, depth_multiplier=2, use_bias=False, name="first"),
        keras.layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False, name="first"),
    ):
        pixels = keras.Input((3, 3, 3))
        model = keras.Model(pixels, layer(pixels))
        network = inspected(model, 3)
        filters = effective_filters(network, network.find_layer("first"))
        values = random.uniform(0, 255, (1, 3, 3, 3)).astype(np.float32)
        found = np.einsum("fhwc,hwc->f", filters, values[0]) / 255  # filters are per full pixel
        np.testing.assert_allclose(found, np.asarray(model(values)).ravel(), rtol=1e-4)


def test_dense_layer_on_pixels_has_templates_named_by_class():
    pixels = keras.Input((6, 6, 3))
    values = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(pixels))
    logits = keras.layers.Dense(2, name="templates")(keras.layers.Dropout(0.5)(values))
    model = keras.Model(pixels, keras.layers.Softmax()(logits))
    weights = np.random.default_rng(0).normal(0, 1, (108, 2))
    model.get_layer("templates").set_weights([weights, np.zeros(2)])
    network = inspected(model, 6, ("cat", "dog"))
    filters = effective_filters(network, network.find_layer("templates"))
    np.testing.assert_allclose(filters, weights.T.reshape(2, 6, 6, 3), rtol=1e-4)
    assert first_filters(network).labels == ("cat", "dog")
    assert "2 templates of 6×6 pixels" in first_filters(network).title


def test_network_without_such_a_layer_is_refused():
    pixels = keras.Input((6, 6, 3))
    model = keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(3, 1)(pixels)))
    with pytest.raises(OptionError, match="no layer that sees patterns of pixels"):
        first_filters(inspected(model, 6))


@pytest.mark.parametrize("name", [name for name in small_networks() if name != "linear"])
def test_first_layer_is_found_in_every_kind_of_network(name):
    row = first_filters(lively_network(name, small_networks()[name]))
    assert row.tiles.shape[-1] == 3
    assert len(row.tiles) == len(row.units) == len(row.labels) <= 256
    assert len({tile.tobytes() for tile in row.tiles}) > 1


def test_gray_network_has_gray_filters(scratch_run):
    from tlkit.models.architectures.build import build_architecture
    from tlkit.models.architectures.registry import ARCHITECTURES

    network = inspected(build_architecture(ARCHITECTURES["lenet5_relu"], 32, gray=True), 32)
    filters = effective_filters(network, next(layer for layer in network.layers if "conv1" in layer.name))
    expected = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(
        filters / filters.sum(axis=-1, keepdims=True), np.broadcast_to(expected, filters.shape), rtol=1e-2
    )


def test_filters_of_a_run_are_those_of_its_network(finetuned_run):
    network = open_run_network(finetuned_run)
    row = first_filters(network)
    assert row.layer == "conv1"
    assert row.tiles.shape[0] == build_backbone(BACKBONES["mobilenet_025"], "none", 32).get_layer("conv1").filters


@pytest.fixture(scope="module")
def linear_run(colors, tmp_path_factory):
    """A linear classifier on pixels of three colors."""
    from tlkit.training.classic import train_classic

    return train_classic(
        colors, tmp_path_factory.mktemp("linear") / "run", descriptor="pixels", classifier="logistic"
    ).run


@pytest.mark.training
def test_linear_classifier_on_pixels_has_templates_in_the_colors_of_its_classes(linear_run):
    row = class_templates(linear_run)
    assert (row.labels, row.shape) == (("blue", "green", "red"), (3,))
    means = row.tiles.astype(float).mean(axis=(1, 2))
    assert means.argmax(axis=1).tolist() == [2, 1, 0]  # blue, green, red


@pytest.mark.training
def test_templates_are_what_the_classifier_computes(linear_run, colors):
    from tlkit.classic.pipeline import open_pipeline

    pipeline = open_pipeline(linear_run.path / "classic.npz")
    side = pipeline.descriptors.sizes[0]
    images = random_pixels(2, side)
    scores = np.log(pipeline.predict_proba(images))
    difference = (images[0].astype(float) - images[1]) / 255
    row = class_templates(linear_run)
    factor = row.tiles.shape[1] // side
    filters = (row.tiles[:, ::factor, ::factor].astype(float) - 127.5) / 127.5  # each scaled by itself
    found, expected = np.einsum("fhwc,hwc->f", filters, difference), scores[0] - scores[1]
    assert np.sign(found[0] - found[1]) == np.sign(expected[0] - expected[1])


def test_other_classic_classifiers_have_no_templates(classic_run):
    with pytest.raises(RunError, match="expected the run of a network, or of a linear classifier on pixels"):
        class_templates(classic_run)
