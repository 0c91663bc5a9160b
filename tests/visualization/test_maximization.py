"""Images that units respond to most."""

import numpy as np
import pytest

from tests.networks import keras, random_pixels
from tests.visualization.making import inspected, lively_network, small_networks, two_layers
from tlkit.visualization.maximization import before_activation, maximize, spread_units
from tlkit.visualization.network import build_named_network, open_run_network


def activations(network, layer, pixels):
    """The mean rectified activation of every channel, or the values of every unit, per image."""
    [values] = network.run([before_activation(keras, layer)], pixels.astype(np.float32))
    return np.maximum(values, 0).mean(axis=(1, 2)) if values.ndim == 4 else values


def assert_units_respond(network, layer, factor):
    """Check that units respond to their images several times as strongly as to the start and to 20 images of noise."""
    units = spread_units(layer)
    found = maximize(network, layer, units, steps=40)
    size = network.image.size
    assert (found.images.shape, found.images.dtype) == ((len(units), size, size, 3), np.uint8)
    own = np.diag(activations(network, layer, found.images)[:, list(units)])
    np.testing.assert_allclose(own, found.activations, rtol=1e-3, atol=1e-4)
    noise = activations(network, layer, random_pixels(20, size))[:, list(units)].max(axis=0)
    assert np.all(own > noise)
    assert np.median(own / np.maximum(noise, 1e-3)) > factor
    assert np.median(own / np.maximum(found.before, 1e-3)) > factor


def test_every_channel_responds_several_times_as_strongly_as_to_noise():
    network = two_layers()
    assert_units_respond(network, network.find_layer("corners_relu"), 3)


def test_every_channel_of_a_real_network_responds_several_times_as_strongly_as_to_noise(shared_data):
    weights = shared_data / "keras_home" / "models" / "mobilenet_2_5_224_tf_no_top.h5"
    network = build_named_network("mobilenet_025", str(weights), 96)
    assert_units_respond(network, network.find_layer("conv_pw_11_relu"), 3)


def test_images_are_determined_by_the_seed_and_do_not_depend_on_each_other():
    network = two_layers()
    layer = network.find_layer("corners")
    together = maximize(network, layer, (0, 3, 5), steps=5, seed=1)
    again = maximize(network, layer, (0, 3, 5), steps=5, seed=1)
    alone = maximize(network, layer, (3,), steps=5, seed=1)
    other = maximize(network, layer, (3,), steps=5, seed=2)
    np.testing.assert_array_equal(together.images, again.images)
    assert np.abs(together.images[1].astype(int) - alone.images[0]).max() <= 2
    assert np.abs(other.images[0].astype(int) - alone.images[0]).mean() > 2


def test_silent_unit_still_has_a_way_up():
    pixels = keras.Input((16, 16, 3))
    values = keras.layers.Rescaling(1 / 255)(pixels)
    layer = keras.layers.Conv2D(1, 3, activation="relu", name="silent")
    model = keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(layer(values)))
    layer.set_weights([np.full((3, 3, 3, 1), 0.1), np.array([-1.5])])  # bright images alone reach it
    network = inspected(model, 16)
    found = maximize(network, network.find_layer("silent"), (0,), steps=60)
    assert found.before[0] == 0
    assert found.activations[0] > 0.1
    assert found.images.mean() > 140


def test_class_is_maximized_before_the_softmax(finetuned_run):
    network = open_run_network(finetuned_run)
    found = maximize(network, network.logits(), (0, 1, 2), steps=64)
    assert np.all(found.activations > found.before)
    [probabilities] = network.run([network.model.output], found.images)
    assert probabilities.argmax(axis=1).tolist() == [0, 1, 2]


def test_activation_functions_are_taken_off():
    keras.utils.set_random_seed(1)  # else all values may be above 0
    pixels = keras.Input((5, 5, 3))
    conv = keras.layers.Conv2D(2, 3, activation="relu", name="conv")
    dense = keras.layers.Dense(2, activation="softmax", name="dense")
    model = keras.Model(pixels, dense(keras.layers.Flatten(name="flat")(conv(pixels))))
    network, values = inspected(model, 5), random_pixels(2, 5, kind=np.float32)
    for name in ("conv", "dense"):
        layer = network.find_layer(name)
        before, after = network.run([before_activation(keras, layer), layer.tensor], values)
        assert before.min() < 0
        activation = keras.activations.relu if name == "conv" else keras.activations.softmax
        np.testing.assert_allclose(np.asarray(activation(before)), after, rtol=1e-5, atol=1e-6)
    flat = network.find_layer("flat")
    assert before_activation(keras, flat) is flat.tensor


@pytest.mark.parametrize(
    "name",
    [
        name if name in ("mlp", "lenet5", "mobilenet_v2_035") else pytest.param(name, marks=pytest.mark.slow)
        for name in small_networks()
    ],
)
def test_every_kind_of_network_has_units_to_maximize(name):
    size = small_networks()[name]
    network = lively_network(name, size)
    for layer in (network.stages()[-1:] or network.layers[-1:])[0], network.layers[-1]:
        found = maximize(network, layer, spread_units(layer, 2), steps=2)
        assert found.images.shape == (2, size, size, 3)
        assert np.isfinite(found.activations).all()
        assert np.any(found.images[0] != found.images[1])


def test_spread_units_are_different_and_reach_both_ends():
    layer = two_layers().find_layer("corners")
    assert spread_units(layer) == (0, 1, 2, 3, 4, 5)
    assert spread_units(layer, 3) == (0, 2, 5)
    assert spread_units(layer, 99) == (0, 1, 2, 3, 4, 5)


def test_start_that_silences_the_network_gets_more_noise():
    pixels = keras.Input((16, 16, 3))
    values = keras.layers.Rescaling(1 / 127.5, offset=-1)(pixels)
    contrast = keras.layers.Conv2D(1, 1, activation="relu", name="contrast")
    seen = keras.layers.Conv2D(1, 3, name="seen")
    model = keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(seen(contrast(values))))
    contrast.set_weights([np.ones((1, 1, 3, 1)), np.array([-0.6])])  # silent where an image is nearly gray
    seen.set_weights([np.ones((3, 3, 1, 1)), np.zeros(1)])
    network = inspected(model, 16)
    found = maximize(network, network.find_layer("seen"), (0,), steps=20)
    assert found.activations[0] > 3 * found.before[0] > 0
