"""Grad-CAM through Keras."""

import numpy as np
import pytest

from tests.making import noise
from tests.networks import keras
from tlkit.explain.keras_gradcam import GRADIENT, KerasGradCam
from tlkit.models.architectures.registry import ARCHITECTURES
from tlkit.models.graph import averaged_map
from tlkit.models.head import Head, attach_head


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


QUICK = ("linear", "mlp", "neocognitron", "lenet5", "resnet20")
WITHOUT_AVERAGES = (
    "linear",
    "mlp",
    "neocognitron",
    "lenet5",
    "lenet5_relu",
    "alexnet",
    "vgg11",
    "vgg13",
    "vgg16",
    "vgg19",
)


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in ARCHITECTURES]
)
def test_keras_grad_cam_of_every_architecture(name):
    from tlkit.models.architectures.build import build_architecture

    size = max(32, ARCHITECTURES[name].min_size)
    body = build_architecture(ARCHITECTURES[name], size)
    assert (averaged_map(body) is None) == (name in WITHOUT_AVERAGES)
    classifier = attach_head(body, Head(0.5, True, ()), 4)
    draws, logits = np.random.default_rng(0), classifier.get_layer("head_logits")
    logits.set_weights([draws.normal(size=weight.shape) for weight in logits.get_weights()])
    method = KerasGradCam("gradcam", lambda: classifier)
    heats = [method.heat(noise(size, size, seed=0), label) for label in range(4)]
    assert method.name == (GRADIENT if name in ("linear", "mlp") else "gradcam")
    assert method.grid is not None and len({heat.shape for heat in heats}) == 1
    assert all(np.isfinite(heat).all() and heat.min() >= 0 for heat in heats)
    assert sum(heat.max() > 0 for heat in heats) >= 2  # of some classes nothing may speak
