"""What `check_backbone` compares networks by."""

import keras
import numpy as np


def run(network: keras.Model, values: np.ndarray) -> np.ndarray:
    """What a network makes of values, as at inference."""
    output: np.ndarray = keras.ops.convert_to_numpy(network(values, training=False))
    return output


def weights_of(classifier: keras.Model) -> dict[tuple[int, int], np.ndarray]:
    """Every weight by the rank of its layer, whose name changes from build to build, but for random states."""
    return {
        (rank, place): np.copy(keras.ops.convert_to_numpy(weight))
        for rank, layer in enumerate(classifier.layers)
        for place, weight in enumerate(layer.weights)
        if "seed" not in weight.path
    }


def difference(values: np.ndarray, expected: np.ndarray) -> float:
    """The length of the difference as a share of the length of what is expected."""
    return float(np.linalg.norm(values - expected) / max(float(np.linalg.norm(expected)), 1e-30))


def enliven(body: keras.Model, pixels: np.ndarray) -> None:
    """Give batch norms the statistics of some pictures: in a fresh network the signal vanishes or explodes."""
    norms = [layer for layer in body.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    body(pixels, training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
