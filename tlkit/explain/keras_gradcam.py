"""Grad-CAM through Keras, of networks without averages before their head."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from tlkit.explain.gradcam import WEIGHINGS
from tlkit.models.graph import topological_order
from tlkit.models.keras_setup import start_keras
from tlkit.models.map_grid import MapGrid, find_grid

GRADIENT = "gradient"  # the name of the method for networks without feature maps


class KerasGradCam:
    """Grad-CAM at the last feature map; of a network without one, the gradient times the input.

    Attributes:
        name, grid: see `HeatMethod`
    """

    def __init__(self, name: str, load: Callable[[], Any]) -> None:
        """Take a classifier, which is loaded for the first image.

        Args:
            name: a key of `WEIGHINGS`
            load: gives a Keras model from pixels, float32 (images, size, size, 3), to probabilities by a softmax
        """
        self.name, self._load = name, load
        self.grid: MapGrid | None = None  # known with the first heat map

    def heat(self, pixels: np.ndarray, label: int) -> np.ndarray:
        """Compute the heat map: float32 (height, width) of the feature map, or of the input."""
        maps, gradient = (np.asarray(values)[0] for values in self._maps_and_gradient(pixels[None], np.int32(label)))
        if self.name == GRADIENT:
            return np.asarray(np.maximum((maps * gradient).sum(axis=-1), 0))
        return WEIGHINGS[self.name](maps, gradient)

    @cached_property
    def _maps_and_gradient(self) -> Callable[[np.ndarray, np.int32], tuple[Any, Any]]:
        """A function from pixels and a class to the feature map, and the gradient of the class's logit by it."""
        import tensorflow as tf

        network = self._load()
        *steps, (_, inputs, _) = topological_order(network.output)
        maps = [tensor for _, _, tensor in steps if len(tensor.shape) == 4 and min(tensor.shape[1:3]) > 1]
        if not any(getattr(layer, "weights", ()) for layer, _, tensor in steps if len(tensor.shape) == 4):
            self.name = GRADIENT
        self.grid = find_grid(network, maps[-1])
        parts = start_keras().Model(network.input, [maps[-1], inputs[0]])

        def compute(pixels: Any, label: Any) -> tuple[Any, Any]:
            """Run the network forward and backward."""
            source = tf.cast(pixels, tf.float32)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(source)
                values, logits = parts(source, training=False)
                logit = logits[0, label]
            return values, tape.gradient(logit, values)

        # a graph leaves out the gradients of the filters, which nobody needs
        traced: Callable[[np.ndarray, np.int32], tuple[Any, Any]] = tf.function(compute, reduce_retracing=True)
        return traced
