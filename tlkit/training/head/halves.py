"""The layers of a head on its features: batch norm and the kernels above it, for one half of the features at a time.

The sum over all features is the sum of both halves, and every weight that belongs to a feature belongs to one half. So
two threads take a step with one wait in each direction, and the halves are the same where one thread takes both.
"""

from collections.abc import Mapping

import numpy as np

from tlkit.models.head import EPSILON, MOMENTUM

OF_FEATURES = ("kernel_1", "kernel", "linear", "gamma", "beta", "mean", "variance")  # with a row for each feature


class FeatureHalf:
    """Half of the features, with views of their weights and gradients."""

    def __init__(self, weights: Mapping[str, np.ndarray], gradients: Mapping[str, np.ndarray], half: slice) -> None:
        """Take a part of what a whole head has; `kernel` only where no hidden layer is below it."""
        first = "kernel_1" if "kernel_1" in weights else "kernel"
        names = [name for name in OF_FEATURES if name in weights and name in (first, *OF_FEATURES[2:])]
        self._half, self._weights = half, {name: weights[name][half] for name in names}
        self._gradients = {name: gradients[name][half] for name in names if name in gradients}
        self._kernel, self._kernel_gradient = self._weights[first], self._gradients[first]

    def forward(self, features: np.ndarray, kept: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Standardize a batch by its own statistics, and compute the half's part of the sums.

        Args:
            features: all of a batch
            kept: what dropout multiplies the features by; None where it is done to a hidden layer

        Returns:
            Of the first layer, and of the linear layer beside hidden ones, without biases
        """
        self._features = features[:, self._half]
        self._kept = None if kept is None else kept[:, self._half]
        self._standard = self._values = self._features
        if "gamma" in self._weights:
            self._standard = self._standardize(self._features)
            self._values = self._standard * self._weights["gamma"]
            self._values += self._weights["beta"]
        if self._kept is not None:
            self._values = self._values * self._kept
        return self._values @ self._kernel, self._linear(self._features)

    def _standardize(self, features: np.ndarray) -> np.ndarray:
        """Standardize a batch by its own statistics, and move those of all batches toward them."""
        mean = features.mean(axis=0)
        centered: np.ndarray = features - mean
        variance = np.einsum("ij,ij->j", centered, centered) / np.float32(len(features))
        for name, value in (("mean", mean), ("variance", variance)):
            self._weights[name] += np.float32(1 - MOMENTUM) * (value - self._weights[name])
        centered /= np.sqrt(variance + np.float32(EPSILON))
        return centered

    def _linear(self, features: np.ndarray) -> np.ndarray | None:
        linear = self._weights.get("linear")
        return None if linear is None else features @ linear

    def backward(self, gradient: np.ndarray, scores: np.ndarray, bias_gradient: np.ndarray) -> None:
        """Fill the gradients of the half, after `forward`.

        Args:
            gradient: of what `forward` gives first
            scores: gradient of the logits
            bias_gradient: that of the first layer: the sum of `gradient` over the batch
        """
        if "linear" in self._gradients:
            np.dot(self._features.T, scores, out=self._gradients["linear"])
        if "gamma" not in self._gradients:
            np.dot(self._values.T, gradient, out=self._kernel_gradient)
        elif self._kept is not None:
            np.dot(self._values.T, gradient, out=self._kernel_gradient)
            entered = (gradient @ self._kernel.T) * self._kept
            np.einsum("ij,ij->j", entered, self._standard, out=self._gradients["gamma"])
            entered.sum(axis=0, out=self._gradients["beta"])
        else:
            found, gamma, beta = self._kernel_gradient, self._weights["gamma"], self._weights["beta"]
            np.dot(self._standard.T, gradient, out=found)  # gives the gradients of the batch norm, too
            np.einsum("ij,ij->i", found, self._kernel, out=self._gradients["gamma"])
            np.dot(self._kernel, bias_gradient, out=self._gradients["beta"])
            found *= gamma[:, np.newaxis]
            found += beta[:, np.newaxis] * bias_gradient

    def predict(self, features: np.ndarray, arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
        """Compute the half's part of the sums as the finished head does.

        Args:
            arrays: "scale" and "offset" of all features, where there is a batch norm
        """
        part = features[:, self._half]
        values = part * arrays["scale"][self._half] + arrays["offset"][self._half] if "scale" in arrays else part
        return values @ self._kernel, self._linear(part)
