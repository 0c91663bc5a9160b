"""The gradient of a network's loss with respect to the pixels."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from tlkit.errors import ModelError
from tlkit.models.graph import topological_order

BATCH = 32  # images at a time


class LossGradient:
    """A classifier that can be differentiated by its pixels, in inference mode.

    The loss is computed from the logits, so that its gradient does not vanish where the softmax is saturated.
    """

    def __init__(self, model: Any) -> None:
        """Take a classifier.

        Args:
            model: a Keras model from pixels (images, size, size, 3), 0 to 255, to probabilities by a softmax

        Raises:
            ModelError: if it does not end with a softmax
        """
        *_, (layer, inputs, _) = topological_order(model.output)
        if type(layer).__name__ != "Softmax":
            raise ModelError(f"the network ends with a {type(layer).__name__}; expected a Softmax layer.")
        self._model, self._logits = model, inputs[0]
        self.num_classes = int(model.output.shape[-1])

    def gradients(self, pixels: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute the cross-entropy of each image and its gradient.

        Args:
            pixels: (images, size, size, 3), 0 to 255
            labels: int (images,), the class whose probability is in the loss

        Returns:
            The loss (images,), and its gradient of the shape of the pixels, in the precision of the model
        """
        log_odds, gradient = self.log_odds(pixels, labels)
        factor = np.exp(-np.logaddexp(0, -log_odds))  # the loss is log(1 + exp(log odds)), and this its derivative
        return np.logaddexp(0, log_odds), gradient * factor[:, None, None, None]

    def log_odds(self, pixels: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute the log odds against the class of each image, and their gradient.

        The gradient has the direction of that of the cross-entropy, but a useful length also where the network is sure.

        Args:
            pixels, labels: as `gradients` takes them

        Returns:
            log((1 − p) / p) of the probability p of the class (images,), and its gradient
        """
        parts = [
            self._traced(pixels[start : start + BATCH], labels[start : start + BATCH].astype(np.int32))
            for start in range(0, len(pixels), BATCH)
        ]
        losses, gradients = zip(*parts, strict=True)
        return np.concatenate([np.asarray(part) for part in losses]), np.concatenate([np.asarray(p) for p in gradients])

    @cached_property
    def _traced(self) -> Callable[[np.ndarray, np.ndarray], tuple[Any, Any]]:
        """A graph from pixels and labels to the log odds and their gradient."""
        import keras
        import tensorflow as tf

        network, num_classes = keras.Model(self._model.input, self._logits), self.num_classes
        dtype, shape = self._model.input.dtype, self._model.input.shape[1:]

        def compute(pixels: Any, labels: Any) -> tuple[Any, Any]:
            """Run the network forward and backward."""
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(pixels)
                logits = network(pixels, training=False)
                chosen = tf.one_hot(labels, num_classes, dtype=logits.dtype)
                others = tf.where(chosen > 0, logits.dtype.min, logits)
                log_odds = tf.reduce_logsumexp(others, axis=1) - tf.reduce_sum(chosen * logits, axis=1)
            return log_odds, tape.gradient(log_odds, pixels)

        # one graph for every number of images; it leaves out the gradients of the weights, which nobody needs
        graph = tf.function(
            compute, input_signature=[tf.TensorSpec([None, *shape], dtype), tf.TensorSpec([None], tf.int32)]
        )
        return lambda pixels, labels: graph(tf.constant(pixels, dtype), tf.constant(labels))
