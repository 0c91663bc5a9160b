"""Grad-CAM through Keras, of networks without averages before their head."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from tlkit.explain.gradcam import WEIGHINGS
from tlkit.models.graph import topological_order
from tlkit.models.keras_setup import start_keras

GRADIENT = "gradient"  # the name of the method for networks without feature maps


class KerasGradCam:
    """Grad-CAM at the last feature map; of a network without one, the gradient times the input.

    Attributes:
        name: see `HeatMethod`
    """

    def __init__(self, name: str, load: Callable[[], Any]) -> None:
        """Take a classifier, which is loaded for the first image.

        Args:
            name: a key of `WEIGHINGS`
            load: gives a Keras model from pixels, float32 (images, size, size, 3), to probabilities by a softmax
        """
        self.name, self._load = name, load

    @cached_property
    def _network(self) -> Any:
        """The model from pixels to the feature map and the logits."""
        network = self._load()
        *steps, (_, inputs, _) = topological_order(network.output)
        maps = [tensor for _, _, tensor in steps if len(tensor.shape) == 4 and min(tensor.shape[1:3]) > 1]
        if not any(getattr(layer, "weights", ()) for layer, _, tensor in steps if len(tensor.shape) == 4):
            self.name = GRADIENT
        return start_keras().Model(network.input, [maps[-1], inputs[0]])

    def heat(self, pixels: np.ndarray, label: int) -> np.ndarray:
        """Compute the heat map: float32 (height, width) of the feature map, or of the input."""
        maps, gradient = self._gradient(pixels, label)
        if self.name == GRADIENT:
            return np.asarray(np.maximum((maps * gradient).sum(axis=-1), 0))
        return WEIGHINGS[self.name](maps, gradient)

    def _gradient(self, pixels: np.ndarray, label: int) -> tuple[np.ndarray, np.ndarray]:
        """Compute the feature map, and the gradient of the class's logit by it."""
        import tensorflow as tf

        inputs = tf.cast(pixels[None], tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            maps, logits = self._network(inputs, training=False)
            logit = logits[0, label]
        return maps[0].numpy(), tape.gradient(logit, maps)[0].numpy()
