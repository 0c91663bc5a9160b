"""The gradient of the loss with respect to the pixels."""

import numpy as np
import pytest

from tests.networks import enliven, keras, lazy_functions, random_pixels, shared_body
from tlkit.errors import ModelError
from tlkit.models.head import Head, attach_head
from tlkit.robustness.gradient import LossGradient

(double_precision,) = lazy_functions("tlkit.models.gradient_check", "double_precision")


def small_classifier(size=12, classes=5, gain=0.2):
    """Convolution, batch norm, smooth activations and a head with random weights."""
    pixels = keras.Input((size, size, 3))
    values = keras.layers.Rescaling(1 / 127.5, -1)(pixels)
    values = keras.layers.Conv2D(6, 3, strides=2, activation="gelu")(values)
    values = keras.layers.BatchNormalization()(values)
    values = keras.layers.Flatten()(values)
    model = attach_head(keras.Model(pixels, values), Head(0.5, True, (7,)), classes)
    enliven(model)
    random = np.random.default_rng(3)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense | keras.layers.Conv2D):
            layer.set_weights([gain * random.normal(size=weight.shape) for weight in layer.get_weights()])
    return model


def test_gradients_are_the_central_differences_of_the_cross_entropy_in_float64():
    with double_precision():
        model = small_classifier()
        gradient = LossGradient(model)
        pixels, labels = random_pixels(3, 12, kind=np.float64), np.array([0, 3, 4])
        losses, exact = gradient.gradients(pixels, labels)
        probabilities = np.asarray(model(pixels, training=False))
        np.testing.assert_allclose(losses, -np.log(probabilities[np.arange(3), labels]), rtol=1e-9)
        assert exact.dtype == np.float64 and exact.shape == pixels.shape
        random, step = np.random.default_rng(0), 1e-3
        for image, row, column, channel in zip(*(random.integers(0, n, 24) for n in pixels.shape), strict=True):
            moved = [pixels.copy(), pixels.copy()]
            moved[0][image, row, column, channel] += step
            moved[1][image, row, column, channel] -= step
            above, below = (gradient.gradients(values, labels)[0][image] for values in moved)
            numerical = (above - below) / (2 * step)
            scale = max(abs(numerical), np.abs(exact[image]).mean())
            assert abs(numerical - exact[image, row, column, channel]) <= 1e-4 * scale


def test_the_log_odds_have_a_gradient_where_the_softmax_is_saturated():
    model = small_classifier(gain=2.0)
    pixels = random_pixels(8, 12, kind=np.float32)
    probabilities = np.asarray(model(pixels, training=False))
    sure = probabilities.argmax(axis=1)
    assert (probabilities.max(axis=1) == 1).any()
    losses, vanishing = LossGradient(model).gradients(pixels, sure)
    log_odds, gradient = LossGradient(model).log_odds(pixels, sure)
    saturated = log_odds < -120
    assert saturated.any() and not vanishing[saturated].any() and not losses[saturated].any()
    assert (np.abs(gradient).max(axis=(1, 2, 3)) > 1e-6).all() and np.isfinite(gradient).all()


@pytest.mark.slow
def test_images_do_not_depend_on_their_batch():
    gradient = LossGradient(attach_head(shared_body(), Head(0, False, ()), 3))
    gradient._model.get_layer("head_logits").set_weights(
        [np.random.default_rng(0).normal(size=shape) for shape in ((384, 3), (3,))]
    )
    pixels, labels = random_pixels(35, 64, kind=np.float32), np.arange(35) % 3
    losses, gradients = gradient.gradients(pixels, labels)
    loss, alone = gradient.gradients(pixels[33:34], labels[33:34])
    np.testing.assert_allclose(losses[33], loss[0], rtol=1e-4)
    np.testing.assert_allclose(gradients[33], alone[0], atol=1e-4 * np.abs(alone).max())


def test_a_network_without_softmax_is_refused():
    pixels = keras.Input((4, 4, 3))
    model = keras.Model(pixels, keras.layers.Flatten()(pixels))
    with pytest.raises(ModelError, match="ends with a Flatten; expected a Softmax"):
        LossGradient(model)
