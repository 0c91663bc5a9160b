"""Which layers a network has, which of them are shown, and where it comes from."""

import numpy as np
import pytest

from tests.networks import keras, random_pixels, run_network
from tests.visualization.making import inspected, lively_network, small_networks, two_layers
from tlkit.errors import ModelError, OptionError, RunError
from tlkit.visualization.network import build_named_network, names_run, open_run_network


def test_layers_are_in_the_order_of_computation():
    names = [layer.name for layer in two_layers().layers]
    expected = ["pixels", "scaled", "edges", "pooled", "corners", "corners_relu", "averaged", "logits", "probabilities"]
    assert names == expected
    assert two_layers().find_layer("corners").shape == (12, 12, 6)


def test_unknown_layer_is_refused_with_the_nearest_names():
    with pytest.raises(OptionError, match="--layer is 'corner_relu', which small does not have.*'corners_relu'"):
        two_layers().find_layer("corner_relu")
    with pytest.raises(OptionError, match="'probabilities'"):
        two_layers().find_layer("+++")


def test_stages_have_one_layer_for_each_resolution_and_logits_are_before_the_softmax():
    assert [layer.name for layer in two_layers().stages()] == ["edges", "corners_relu"]
    assert two_layers().logits().name == "logits"


@pytest.mark.parametrize("name", small_networks())
def test_stages_of_every_kind_of_network_halve_and_begin_with_a_layer_that_learns(name):
    network = lively_network(name, small_networks()[name])
    heights = [layer.shape[0] for layer in network.stages()]
    assert all(after * 1.5 <= before for before, after in zip(heights, heights[1:], strict=False))
    assert all(layer.shape[-1] > 3 for layer in network.stages())
    assert bool(heights) == (name not in ("linear", "mlp"))


def test_networks_inside_a_network_are_opened():
    inner = keras.Sequential([keras.layers.Conv2D(5, 3, name="inner_conv"), keras.layers.ReLU(name="inner_relu")])
    pixels = keras.Input((12, 12, 3))
    core = keras.Input((12, 12, 3))
    functional = keras.Model(core, keras.layers.Add(name="sum")([inner(core), inner(core)]), name="functional")
    nested = keras.Model(pixels, keras.layers.GlobalAveragePooling2D(name="average")(functional(pixels)))
    from tlkit.visualization.network import _flat

    network = inspected(_flat(nested), 12)
    assert {"inner_conv", "inner_relu", "sum", "average"} <= {layer.name for layer in network.layers}
    values = random_pixels(2, 12, kind=np.float32)
    np.testing.assert_allclose(run_network(network.model, values), run_network(nested, values), rtol=1e-5)


def test_network_of_a_run_has_its_classes_and_a_classic_run_is_refused(finetuned_run, classic_run):
    network = open_run_network(finetuned_run)
    assert network.class_names == ("blue", "green", "red")
    assert network.image.size == 32
    assert network.logits().shape == (3,)
    with pytest.raises(RunError, match="classic classifier; expected the run of a network"):
        open_run_network(classic_run)


def test_logits_of_a_run_are_what_its_probabilities_are_made_of(finetuned_run):
    network = open_run_network(finetuned_run)
    pixels = random_pixels(3, 32)
    logits, probabilities = network.run([network.logits().tensor, network.model.output], pixels)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(exponentials / exponentials.sum(axis=1, keepdims=True), probabilities, rtol=1e-4)
    assert not np.allclose(logits.sum(axis=1), 1)


def test_name_is_a_backbone_before_it_is_an_architecture_and_a_path_is_a_run():
    network = build_named_network("resnet-50", "none", 32)
    assert network.name == "resnet50, random weights"
    assert network.model.output.shape[-1] == 2048 + 1024  # tlkit's features of the backbone
    assert [names_run(text) for text in ("latest", "runs/x", "./x", "resnet50")] == [True, True, True, False]


def test_what_cannot_be_built_is_refused():
    with pytest.raises(OptionError, match="lenet5 has no pretrained weights; give a run of"):
        build_named_network("lenet5")
    with pytest.raises(OptionError, match="unknown network 'lenett5'; did you mean"):
        build_named_network("lenett5")
    with pytest.raises(OptionError, match="needs at least 32"):
        build_named_network("mobilenet_025", "none", 16)
    with pytest.raises(ModelError, match="is not a weights file"):
        build_named_network("mobilenet_025", "setup.cfg", 32)
