"""Small networks that several tests use. Importing this module does not import Keras, which takes seconds."""

from functools import cache
from importlib import import_module

import numpy as np

from tlkit.models.backbones import BACKBONES
from tlkit.models.keras_setup import start_keras


class LazyKeras:
    """Keras, imported quietly when one of its attributes is used first."""

    def __getattr__(self, name):
        if name.startswith("_"):  # pytest asks every name in a module for `__wrapped__`
            raise AttributeError(name)
        return getattr(_keras(), name)


_keras = cache(start_keras)
keras = LazyKeras()


def lazy_functions(module, *names):
    """Functions and classes of a module that imports Keras, which is imported when one of them is called first."""

    def lazy(name):
        def call(*args, **options):
            _keras()
            return getattr(import_module(module), name)(*args, **options)

        return call

    return [lazy(name) for name in names]


FAMILIES = (  # a backbone of each
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "efficientnet_v2_b0",
    "inception_resnet_v2",
    "inception_v3",
    "mobilenet",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
    "nasnet_mobile",
    "resnet50",
    "resnet50_v2",
    "vgg16",
    "xception",
)

(build_backbone,) = lazy_functions("tlkit.models.build", "build_backbone")


def lively_body(name="mobilenet_025", image_size=64, seed=1):
    """A random body whose features differ between images: a fresh one's all but vanish in its batch norms."""
    body = build_backbone(BACKBONES[name], "none", image_size)
    enliven(body, seed)
    return body


def enliven(network, seed=1):
    """Batch norms as a training might leave them."""
    random = np.random.default_rng(seed)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.moving_mean.shape
            gamma, beta, mean = (
                random.uniform(1.5, 2.5, shape),
                random.normal(0, 0.3, shape),
                random.normal(0, 0.1, shape),
            )
            learned = [gamma] * layer.scale + [beta] * layer.center
            layer.set_weights([*learned, mean, random.uniform(0.1, 0.3, shape)])


@cache
def shared_body():
    """A lively mobilenet_025 at 64 pixels; not to be changed."""
    return lively_body()


def run_network(network, values):
    """Run a network on values, without the seconds that `predict` takes to compile."""
    return keras.ops.convert_to_numpy(network(values, training=False))


def random_pixels(count, image_size, seed=0, kind=np.uint8):
    """RGB, 0 to 255: (count, image_size, image_size, 3)."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, image_size, image_size, 3), dtype=np.uint8)
    return pixels.astype(kind)


def relative_difference(values, expected):
    """The largest difference as a fraction of the largest value."""
    return float(np.abs(values - expected).max() / np.abs(expected).max())


def use_keras_home(monkeypatch, folder):
    """Let Keras, which read KERAS_HOME when it was imported, look for its files in another folder."""
    monkeypatch.setenv("KERAS_HOME", str(folder))
    monkeypatch.setattr(keras.src.backend.config, "_KERAS_DIR", str(folder))


def no_network(monkeypatch):
    """Every download fails as it does without a network."""

    def fail(fname=None, origin=None, **options):
        raise Exception(f"URL fetch failure on {origin}: None -- [Errno -2] Name or service not known")

    monkeypatch.setattr(keras.src.utils.file_utils, "get_file", fail)
