"""Frozen batch norms folded into convolutions: the same function, fewer layers, and the way back."""

import numpy as np
import pytest

from tests.networks import (
    enliven,
    keras,
    lazy_functions,
    lively_body,
    random_pixels,
    relative_difference,
    shared_body,
)

batch_norm_names, choose_cut, cut_points, freeze, split_at = lazy_functions(
    "tlkit.models.cut", "batch_norm_names", "choose_cut", "cut_points", "freeze", "split_at"
)
(fold_batch_norms,) = lazy_functions("tlkit.models.fold_batch_norm", "fold_batch_norms")
Head, attach_head = lazy_functions("tlkit.models.head", "Head", "attach_head")


def top_of(body, cut="auto"):
    classifier = attach_head(body, Head(0.5, True, (8,)), 3)
    keras.utils.set_random_seed(2)
    for layer in classifier.layers[-4:]:
        layer.set_weights([np.random.default_rng(3).normal(0, 0.1, value.shape) for value in layer.get_weights()])
    tensor = choose_cut(body, cut_points(body), cut).tensor
    extractor, top = split_at(classifier, tensor)
    freeze(classifier, extractor.layers, batch_norm_names(classifier))
    return top


def chain(*inner, size=8):
    source = keras.Input((size, size, 3), name="in")
    value = source
    for layer in inner:
        value = layer(value)
    return keras.Model(source, keras.layers.GlobalAveragePooling2D()(value))


def frozen_norm(**options):
    return keras.layers.BatchNormalization(trainable=False, **options)


def activations(network, count=4):
    return np.random.default_rng(0).normal(0, 1, (count, *network.input.shape[1:])).astype(np.float32)


def norms_of(network):
    """The backbone's, not the head's."""
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    return [norm for norm in norms if not norm.name.startswith("head_")]


def kinds(network):
    return [type(layer).__name__ for layer in network.layers]


def test_fold_batch_norms_computes_same_with_fewer_layers():
    top = top_of(lively_body("mobilenet_v2_035", 32))
    folded = fold_batch_norms(top).network
    values = activations(top)
    assert relative_difference(folded(values).numpy(), top(values).numpy()) < 1e-5
    assert norms_of(folded) == []
    assert len(folded.layers) == len(top.layers) - kinds(top).count("BatchNormalization") + 1


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("mobilenet_025", "resnet50", "densenet121", "convnext_tiny", "efficientnet_b0")
    ],
)
def test_fold_batch_norms_every_family_computes_same(name):
    top = top_of(lively_body(name))
    values = activations(top)
    assert relative_difference(fold_batch_norms(top).network(values).numpy(), top(values).numpy()) < 1e-4


@pytest.mark.parametrize("shifts", [False, True])
def test_unfold_returns_what_was_learned(shifts):
    top = top_of(lively_body(image_size=32))
    folded = fold_batch_norms(top, shifts)
    before = [norm.get_weights() for norm in norms_of(top)]
    for variable in folded.network.trainable_variables:
        variable.assign(variable + np.random.default_rng(1).normal(0, 0.02, variable.shape))
    values = activations(top)
    learned = folded.network(values).numpy()
    assert relative_difference(top(values).numpy(), learned) > 0.01
    folded.unfold()
    assert relative_difference(top(values).numpy(), learned) < 1e-5
    for norm, (gamma, beta, mean, variance) in zip(norms_of(top), before, strict=True):
        now = norm.get_weights()
        np.testing.assert_array_equal(now[0], gamma)
        np.testing.assert_array_equal(now[2:], [mean, variance])
        assert np.array_equal(now[1], beta) != shifts


def test_unfold_returns_bias_of_convolution():
    network = chain(keras.layers.Conv2D(4, 3, name="c"), frozen_norm())
    enliven(network)
    folded = fold_batch_norms(network)
    assert [variable.path for variable in folded.network.trainable_variables] == ["c/kernel", "c/bias"]
    folded.network.get_layer("c").bias.assign([1.0, 2.0, 3.0, 4.0])
    folded.unfold()
    values = activations(network)
    assert relative_difference(network(values).numpy(), folded.network(values).numpy()) < 1e-5


def test_fold_batch_norms_trains_new_biases_only_with_shifts():
    top = top_of(lively_body(image_size=32))
    before = {variable.path for variable in top.trainable_variables}
    assert {variable.path for variable in fold_batch_norms(top).network.trainable_variables} == before
    more = {variable.path for variable in fold_batch_norms(top, shifts=True).network.trainable_variables} - before
    assert len(more) == len(norms_of(top))
    assert all(path.endswith("/bias") for path in more)


def test_fold_batch_norms_what_cannot_be_folded_stays():
    conv, depthwise = keras.layers.Conv2D, keras.layers.DepthwiseConv2D
    networks = {
        "trained": chain(conv(4, 3), keras.layers.BatchNormalization()),
        "not linear": chain(conv(4, 3, activation="relu"), frozen_norm()),
        "frozen convolution": chain(conv(4, 3, trainable=False), frozen_norm()),
        "depth multiplier": chain(depthwise(3, depth_multiplier=2), frozen_norm()),
        "not after a convolution": chain(conv(4, 3), keras.layers.ReLU(), frozen_norm()),
    }
    folded = [name for name, network in networks.items() if fold_batch_norms(network).network is not network]
    assert folded == []


def test_fold_batch_norms_pointwise_is_product_with_same_gradient():
    network = chain(
        keras.layers.Conv2D(4, 1, name="c"),
        frozen_norm(),
        keras.layers.Conv2D(4, 1, strides=2, name="s"),
        frozen_norm(),
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


def test_pointwise_rounds_factors_but_no_weight_to_bfloat16():
    network = chain(keras.layers.Conv2D(64, 1, name="c"), frozen_norm())
    enliven(network)
    exact, rounded = (fold_batch_norms(network, product_dtype=kind).network for kind in ("float32", "bfloat16"))
    values, kernel = activations(network), exact.get_layer("c").get_weights()[0]
    assert {str(variable.dtype) for variable in rounded.variables} == {"float32"}
    layer = rounded.get_layer("c")
    factors = [np.float32(keras.ops.cast(keras.ops.cast(array, "bfloat16"), "float32")) for array in (values, kernel)]
    product = layer(values, training=True).numpy() - layer.get_weights()[1]
    np.testing.assert_allclose(product, factors[0] @ factors[1].squeeze(), rtol=2**-8, atol=1e-6)
    assert 1e-5 < relative_difference(rounded(values, training=True).numpy(), exact(values).numpy()) < 2e-2
    np.testing.assert_array_equal(rounded.predict_on_batch(values), exact.predict_on_batch(values))


def test_fold_batch_norms_convolution_with_two_users_stays():
    source = keras.Input((8, 8, 3))
    shared = keras.layers.Conv2D(4, 3)(source)
    network = keras.Model(source, keras.layers.Add()([frozen_norm()(shared), shared]))
    assert fold_batch_norms(network).network is network


def test_fold_batch_norms_channel_of_scale_zero_stays():
    network = chain(keras.layers.Conv2D(2, 3), frozen_norm(name="norm"))
    network.get_layer("norm").set_weights(np.array([[1, 0], [0, 0], [0, 0], [1, 1]], np.float32))
    assert fold_batch_norms(network).network is network


def test_fold_batch_norms_whole_network_computes_same():
    body = shared_body()
    for layer in body.layers:
        layer.trainable = layer.name not in batch_norm_names(body)
    try:
        pixels = random_pixels(2, 64, kind=np.float32)
        assert relative_difference(fold_batch_norms(body).network(pixels).numpy(), body(pixels).numpy()) < 1e-4
    finally:
        for layer in body.layers:
            layer.trainable = True
