"""The places of a feature map's positions in the image."""

import numpy as np
import pytest

from tests.networks import keras
from tlkit.models.graph import averaged_map
from tlkit.models.map_grid import MapGrid, find_grid


def measured_grid(network, tensor, size):
    """Start and step found by gradients: the centers of the pixels that two inner positions depend on."""
    import tensorflow as tf

    model, centers = keras.Model(network.input, tensor), []
    positions = [tensor.shape[1] // 2 - 1, tensor.shape[1] // 2]
    for position in positions:
        pixels = tf.Variable(np.full((1, size, size, 3), 0.5, np.float32))
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(pixels)
            total = tf.reduce_sum(model(pixels, training=False)[0, position, position])
        column = np.abs(tape.gradient(total, pixels).numpy()[0]).sum(axis=(1, 2))
        touched = np.nonzero(column > 1e-12)[0]
        assert touched[0] > 0 and touched[-1] < size - 1, "the receptive field is cut off by the edge"
        centers.append((touched[0] + touched[-1]) / 2)
    step = centers[1] - centers[0]
    return MapGrid(centers[0] - step * positions[0], step)


def positive(model):
    """The same network with weights that cancel nothing."""
    model.set_weights([np.abs(weight) + 0.01 for weight in model.get_weights()])
    return model


LAYERS = {
    "valid": lambda: [keras.layers.Conv2D(2, 3, strides=2), keras.layers.Conv2D(2, 5)],
    "same, even": lambda: [keras.layers.Conv2D(2, 3, strides=2, padding="same") for _ in range(3)],
    "padded on one side": lambda: [
        keras.layers.ZeroPadding2D(((0, 1), (0, 1))),
        keras.layers.DepthwiseConv2D(3, strides=2),
        keras.layers.AveragePooling2D(2),
    ],
    "padded on both sides": lambda: [
        keras.layers.ZeroPadding2D(3),
        keras.layers.Conv2D(2, 7, strides=2),
        keras.layers.AveragePooling2D(1, 2),
    ],
    "dilated": lambda: [keras.layers.Conv2D(2, 3, dilation_rate=2), keras.layers.AveragePooling2D(3, 2, "same")],
    "cropped": lambda: [keras.layers.Cropping2D(((1, 0), (1, 0))), keras.layers.AveragePooling2D(2)],
}


@pytest.mark.parametrize("kind", LAYERS)
def test_find_grid_is_what_gradients_show(kind):
    size = 64
    pixels = values = keras.Input((size, size, 3))
    for layer in LAYERS[kind]():
        values = layer(values)
    network = positive(keras.Model(pixels, values))
    found, expected = find_grid(network, network.output), measured_grid(network, network.output, size)
    assert (found.start, found.step) == pytest.approx((expected.start, expected.step), abs=0.01)


def test_find_grid_passes_over_values_of_the_whole_image():
    """Squeeze and excitation multiplies a map by one value per channel."""
    pixels = keras.Input((32, 32, 3))
    maps = keras.layers.Conv2D(4, 3, strides=2, padding="same")(pixels)
    squeezed = keras.layers.GlobalAveragePooling2D(keepdims=True)(maps)
    excited = keras.layers.Multiply()([keras.layers.Conv2D(4, 1, activation="sigmoid")(squeezed), maps])
    assert find_grid(keras.Model(pixels, excited), excited) == MapGrid(1.0, 2.0)


def test_find_grid_passes_over_values_that_are_reshaped():
    """EfficientNet averages to a vector, and makes a map of one position of it."""
    pixels = keras.Input((32, 32, 3))
    maps = keras.layers.Conv2D(4, 3, strides=2, padding="same")(pixels)
    squeezed = keras.layers.Reshape((1, 1, 4))(keras.layers.GlobalAveragePooling2D()(maps))
    excited = keras.layers.Multiply()([maps, keras.layers.Conv2D(4, 1, activation="sigmoid")(squeezed)])
    assert find_grid(keras.Model(pixels, excited), excited) == MapGrid(1.0, 2.0)


@pytest.mark.training
@pytest.mark.parametrize(
    ("name", "start"),
    [("mobilenet_v2", 31), ("mobilenet_025", 31), ("resnet50", 0), ("efficientnet_v2_b0", 31), ("efficientnet_b0", 31)],
)
def test_find_grid_of_backbones(name, start):
    from tlkit.models.backbones import find_backbone
    from tlkit.models.build import build_backbone

    network = build_backbone(find_backbone(name), "none", 224)
    assert find_grid(network, averaged_map(network)) == MapGrid(start, 32)
