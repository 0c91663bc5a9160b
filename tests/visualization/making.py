"""Small networks with known weights."""

from functools import cache

import numpy as np

from tests.networks import keras, lazy_functions, random_pixels
from tlkit.data.image import ImageSpec
from tlkit.models.architectures.registry import ARCHITECTURES
from tlkit.models.backbones import BACKBONES
from tlkit.visualization.network import InspectedNetwork, build_named_network

(calibrate_batch_norms,) = lazy_functions("tlkit.testing", "calibrate_batch_norms")


def inspected(model, size, class_names=()):
    return InspectedNetwork("small", model, ImageSpec(size), class_names)


@cache
def two_layers():
    """A network of 24 pixels: edges of two directions, then what has both colors of a pair; three classes."""
    pixels = keras.Input((24, 24, 3), name="pixels")
    values = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="scaled")(pixels)
    values = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="edges")(values)
    values = keras.layers.MaxPooling2D(2, name="pooled")(values)
    values = keras.layers.Conv2D(6, 3, padding="same", name="corners")(values)
    values = keras.layers.ReLU(name="corners_relu")(values)
    values = keras.layers.GlobalAveragePooling2D(name="averaged")(values)
    values = keras.layers.Dense(3, name="logits")(values)
    model = keras.Model(pixels, keras.layers.Softmax(name="probabilities")(values))
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(random.normal(0, 0.5, weight.shape))
    return inspected(model, 24, ("a", "b", "c"))


@cache
def lively_network(name, image_size):
    """A network of the registry with random weights, whose batch norms let the signal through."""
    network = build_named_network(name, "none", image_size)
    calibrate_batch_norms(network.model, random_pixels(8, image_size, kind=np.float32))
    return network


def small_networks():
    """Names of networks of every kind, each with the smallest size that is quick."""
    architectures = ("linear", "mlp", "neocognitron", "lenet5", "alexnet", "vgg11", "googlenet", "inception_small")
    architectures = {name: max(ARCHITECTURES[name].min_size, 16) for name in (*architectures, "resnet20", "plain34")}
    return architectures | {name: BACKBONES[name].min_size for name in ("mobilenet_v2_035", "mobilenet_v3_small")}
