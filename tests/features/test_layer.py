"""Outputs of networks: of a backbone, of a run, by the name of a layer."""

import numpy as np
import pytest

from tests.networks import keras, random_pixels, run_network
from tlkit.errors import OptionError, RunError
from tlkit.features.layer import LayerOutput, backbone_layer, run_layer
from tlkit.models.backbones import BACKBONES
from tlkit.models.sources import PretrainedBackbone


@pytest.fixture(scope="module")
def network():
    """Maps, a vector, logits and probabilities, each with a name."""
    inputs = keras.Input((8, 8, 3))
    maps = keras.layers.Conv2D(5, 3, activation="relu", name="maps")(inputs)
    vector = keras.layers.GlobalAveragePooling2D(name="vector")(maps)
    logits = keras.layers.Dense(2, name="head_logits")(vector)
    return keras.Model(inputs, keras.layers.Softmax(name="probabilities")(logits))


def output(network, layer):
    return LayerOutput("toy", lambda: network, layer, "cut", None)


def test_build_averages_maps_over_the_image_and_leaves_vectors(network):
    pixels = random_pixels(3, 8, kind=np.float32)
    average = run_network(output(network, "vector").build(), pixels)
    np.testing.assert_allclose(run_network(output(network, "maps").build(), pixels), average, rtol=1e-6)
    assert run_network(output(network, "head_logits").build(), pixels).shape == (3, 2)


def test_build_without_a_layer_ends_where_the_head_begins(network):
    pixels = random_pixels(3, 8, kind=np.float32)
    for whole in (network, keras.Model(network.input, network.get_layer("vector").output)):
        expected = run_network(output(network, "vector").build(), pixels)
        np.testing.assert_array_equal(run_network(output(whole, "").build(), pixels), expected)


def test_build_of_an_unknown_layer_names_the_nearest(network):
    for layer, hints in (("map", ["maps"]), ("xyz", ["head_logits", "probabilities"])):
        with pytest.raises(OptionError) as caught:
            output(network, layer).build()
        assert all(word in str(caught.value) for word in (f"'{layer}'", "toy", *hints))


def test_backbone_layer_is_told_apart_by_network_and_layer():
    sources = [PretrainedBackbone(BACKBONES[name], "none", 32) for name in ("mobilenet_025", "mobilenet_050")]
    outputs = [backbone_layer(source, layer) for source in sources for layer in ("", "preprocessing", "conv1_relu")]
    assert len({item.identity for item in outputs}) == 6
    # layers without weights are told apart by nothing else than the cut
    assert len({item.cut for item in outputs if item.layer}) == 4
    assert {item.cut for item in outputs if not item.layer} == {""}
    assert outputs[0].identity == sources[0].identity()


def test_run_layer_is_told_apart_by_weights_and_layer(finetuned_run, blocks_run):
    outputs = [run_layer(run, layer) for run in (finetuned_run, blocks_run) for layer in ("", "conv1_relu")]
    assert len({item.identity for item in outputs}) == len({item.cut for item in outputs}) == 4


def test_run_layer_of_a_classic_run_is_refused(classic_run):
    with pytest.raises(RunError, match="contains a classic classifier"):
        run_layer(classic_run, "")
