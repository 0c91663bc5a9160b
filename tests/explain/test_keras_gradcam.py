"""Grad-CAM through Keras."""

import numpy as np

from tests.networks import keras
from tlkit.explain.keras_gradcam import GRADIENT, KerasGradCam


def softmax_network(*layers):
    """A classifier of 16 x 16 pixels."""
    pixels = keras.Input((16, 16, 3))
    values = pixels
    for layer in layers:
        values = layer(values)
    return keras.Model(pixels, keras.layers.Softmax()(values))


def test_keras_grad_cam_finds_the_corner_that_the_class_looks_at():
    """A network that counts red in the left upper corner for class 0, and in the right lower corner for class 1."""
    network = softmax_network(
        keras.layers.Rescaling(1 / 255),
        keras.layers.Conv2D(2, 1, use_bias=False),
        keras.layers.AveragePooling2D(4),
        keras.layers.Flatten(),
        keras.layers.Dense(2, use_bias=False),
    )
    network.layers[2].set_weights([np.array([[[[1, 0], [0, 1], [0, 0]]]], np.float32)])
    weights = np.zeros((4, 4, 2, 2), np.float32)
    weights[0, 0, 0, 0] = weights[3, 3, 0, 1] = 1
    network.layers[-2].set_weights([weights.reshape(32, 2)])
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:4, :4, 0] = pixels[12:, 12:, 0] = 255
    method = KerasGradCam("gradcam++", lambda: network)
    heat = method.heat(pixels, 0)
    assert heat.shape == (4, 4) and method.name == "gradcam++"
    assert heat[0, 0] == heat.max() > 0


def test_keras_grad_cam_without_feature_maps_is_the_gradient_times_the_input():
    network = softmax_network(keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(2))
    draws = np.random.default_rng(0)
    kernel = draws.normal(size=(16 * 16 * 3, 2)).astype(np.float32)
    network.layers[-2].set_weights([kernel, np.zeros(2, np.float32)])
    pixels = draws.integers(0, 256, (16, 16, 3), np.uint8)
    method = KerasGradCam("gradcam", lambda: network)
    expected = (pixels / 255 * kernel[:, 1].reshape(16, 16, 3)).sum(axis=-1)
    np.testing.assert_allclose(method.heat(pixels, 1), np.maximum(expected, 0), rtol=1e-3, atol=1e-5)
    assert method.name == GRADIENT
