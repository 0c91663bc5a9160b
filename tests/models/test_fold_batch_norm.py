"""Frozen batch norms folded into convolutions: the same function, fewer layers, and the way back."""

import numpy as np
import pytest

from tests.networks import enliven, keras, lively_body, random_pixels, relative_difference, shared_body
from tlkit.models.cut import batch_norm_names, choose_cut, cut_points
from tlkit.models.fold_batch_norm import fold_batch_norms
from tlkit.models.head import Head, attach_head
from tlkit.training.phases import trainable_top

layers = keras.layers


def upper_of(body, cut="auto"):
    classifier = attach_head(body, Head(0.5, True, (8,)), 3)
    keras.utils.set_random_seed(2)
    for layer in classifier.layers[-4:]:
        layer.set_weights([np.random.default_rng(3).normal(0, 0.1, value.shape) for value in layer.get_weights()])
    tensor = choose_cut(body, cut_points(body), cut).tensor
    return trainable_top(classifier, tensor, batch_norm_names(classifier))


def chain(*inner, size=8):
    source = keras.Input((size, size, 3), name="in")
    value = source
    for layer in inner:
        value = layer(value)
    return keras.Model(source, layers.GlobalAveragePooling2D()(value))


def frozen_norm(**options):
    return layers.BatchNormalization(trainable=False, **options)


def activations(network, count=4):
    return np.random.default_rng(0).normal(0, 1, (count, *network.input.shape[1:])).astype(np.float32)


def norms_of(network):
    """The backbone's, not the head's."""
    found = [layer for layer in network.layers if isinstance(layer, layers.BatchNormalization)]
    return [layer for layer in found if not layer.name.startswith("head_")]


def kinds(network):
    return [type(layer).__name__ for layer in network.layers]


def test_the_folded_network_computes_the_same_with_fewer_layers():
    upper = upper_of(lively_body("mobilenet_v2_035"))
    folded = fold_batch_norms(upper).network
    values = activations(upper)
    assert relative_difference(folded(values).numpy(), upper(values).numpy()) < 1e-5
    assert norms_of(folded) == []
    assert len(folded.layers) == len(upper.layers) - kinds(upper).count("BatchNormalization") + 1


@pytest.mark.parametrize("name", ["resnet50", "densenet121", "convnext_tiny", "efficientnet_b0"])
def test_networks_of_every_kind_compute_the_same(name):
    upper = upper_of(lively_body(name))
    values = activations(upper)
    assert relative_difference(fold_batch_norms(upper).network(values).numpy(), upper(values).numpy()) < 1e-4


@pytest.mark.parametrize("shifts", [False, True])
def test_what_was_learnt_comes_back(shifts):
    upper = upper_of(lively_body("mobilenet_v2_035"))
    folded = fold_batch_norms(upper, shifts)
    kept = [norm.get_weights() for norm in norms_of(upper)]
    for variable in folded.network.trainable_variables:
        variable.assign(variable + np.random.default_rng(1).normal(0, 0.02, variable.shape))
    values = activations(upper)
    learnt = folded.network(values).numpy()
    assert relative_difference(upper(values).numpy(), learnt) > 0.01
    folded.unfold()
    assert relative_difference(upper(values).numpy(), learnt) < 1e-5
    for norm, (gamma, beta, mean, variance) in zip(norms_of(upper), kept, strict=True):
        now = norm.get_weights()
        np.testing.assert_array_equal(now[0], gamma)
        np.testing.assert_array_equal(now[2:], [mean, variance])
        assert np.array_equal(now[1], beta) != shifts


def test_a_bias_before_the_batch_norm_learns_as_it_did():
    network = chain(layers.Conv2D(4, 3, name="c"), frozen_norm())
    enliven(network)
    folded = fold_batch_norms(network)
    assert [variable.path for variable in folded.network.trainable_variables] == ["c/kernel", "c/bias"]
    folded.network.get_layer("c").bias.assign([1.0, 2.0, 3.0, 4.0])
    folded.unfold()
    values = activations(network)
    assert relative_difference(network(values).numpy(), folded.network(values).numpy()) < 1e-5


def test_biases_begin_to_learn_only_where_they_shall():
    upper = upper_of(lively_body("mobilenet_v2_035"))
    before = {variable.path for variable in upper.trainable_variables}
    assert {variable.path for variable in fold_batch_norms(upper).network.trainable_variables} == before
    more = {variable.path for variable in fold_batch_norms(upper, shifts=True).network.trainable_variables} - before
    assert len(more) == len(norms_of(upper))
    assert all(path.endswith("/bias") for path in more)


@pytest.mark.parametrize(
    "network",
    [
        chain(layers.Conv2D(4, 3), layers.BatchNormalization()),
        chain(layers.Conv2D(4, 3, activation="relu"), frozen_norm()),
        chain(layers.Conv2D(4, 3, trainable=False), frozen_norm()),
        chain(layers.DepthwiseConv2D(3, depth_multiplier=2), frozen_norm()),
        chain(layers.Conv2D(4, 3), layers.ReLU(), frozen_norm()),
    ],
    ids=["learns", "not linear", "frozen convolution", "depth multiplier", "not after a convolution"],
)
def test_what_cannot_be_folded_stays_as_it_is(network):
    assert fold_batch_norms(network).network is network


def test_a_pointwise_convolution_becomes_a_product_and_learns_alike():
    network = chain(
        layers.Conv2D(4, 1, name="c"), frozen_norm(), layers.Conv2D(4, 1, strides=2, name="s"), frozen_norm()
    )
    enliven(network)
    folded = fold_batch_norms(network).network
    assert [type(folded.get_layer(name)).__name__ for name in "cs"] == ["Pointwise", "Conv2D"]
    values = activations(network)
    gradients = []
    for layer in (network.get_layer("c"), folded.get_layer("c")):
        before = layer.get_weights()
        model = network if layer is network.get_layer("c") else folded
        model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=False)
        model.train_on_batch(values, np.ones((4, 4), np.float32))
        gradients.append(before[0] - layer.get_weights()[0])
        layer.set_weights(before)
    scale = network.layers[2].gamma / np.sqrt(network.layers[2].moving_variance + 1e-3)
    np.testing.assert_allclose(gradients[0], gradients[1] * scale, rtol=1e-3, atol=1e-5)  # of W and of W·scale


def test_a_convolution_that_two_layers_read_stays():
    source = keras.Input((8, 8, 3))
    shared = layers.Conv2D(4, 3)(source)
    network = keras.Model(source, layers.Add()([frozen_norm()(shared), shared]))
    assert fold_batch_norms(network).network is network


def test_a_channel_that_is_multiplied_by_nothing_is_not_folded():
    network = chain(layers.Conv2D(2, 3), frozen_norm(name="norm"))
    network.get_layer("norm").set_weights(np.array([[1, 0], [0, 0], [0, 0], [1, 1]], np.float32))
    assert fold_batch_norms(network).network is network


def test_the_whole_network_folds_too():
    body = shared_body()
    for layer in body.layers:
        layer.trainable = layer.name not in batch_norm_names(body)
    try:
        pixels = random_pixels(2, 64, kind=np.float32)
        assert relative_difference(fold_batch_norms(body).network(pixels).numpy(), body(pixels).numpy()) < 1e-4
    finally:
        for layer in body.layers:
            layer.trainable = True
