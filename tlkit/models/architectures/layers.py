"""The options that all architectures share, and the layers most of them repeat."""

from dataclasses import dataclass
from typing import Any

import keras

LEAK = 0.1
BATCH_NORM_MOMENTUM = 0.9  # of the moving averages; Keras's 0.99 needs more steps than a small folder has


@dataclass(frozen=True)
class ArchitectureOptions:
    """Differences from the paper that adapt an architecture to a small folder.

    Attributes:
        width: factor of the number of filters and units
        batch_norm: whether each convolution and hidden layer is followed by a batch norm
        dropout: fraction of units dropped where the paper drops any, and in `mlp` after each hidden layer
        activation: of hidden layers, by its name in Keras, or "leaky_relu" with a slope of 0.1
        hidden: units of the hidden layers of `mlp`
    """

    width: float = 1.0
    batch_norm: bool = False
    dropout: float = 0.0
    activation: str = "relu"
    hidden: tuple[int, ...] = ()

    def units(self, count: int) -> int:
        """Scale the paper's number of filters or units by the width, to at least one.

        >>> ArchitectureOptions(width=0.25).units(96), ArchitectureOptions(width=0.001).units(96)
        (24, 1)
        """
        return max(1, round(count * self.width))

    def activate(self, values: Any, name: str) -> Any:
        """Apply the activation as a layer of its own."""
        if self.activation == "leaky_relu":
            return keras.layers.LeakyReLU(negative_slope=LEAK, name=name)(values)
        return keras.layers.Activation(self.activation, name=name)(values)

    def normalize_and_activate(self, values: Any, name: str) -> Any:
        """Apply the batch norm, where the option asks for one, then the activation."""
        if self.batch_norm:
            values = apply_batch_norm(values, f"{name}_bn")
        return self.activate(values, f"{name}_{self.activation}")

    def apply_dropout(self, values: Any, name: str) -> Any:
        """Apply dropout, where its rate is not zero."""
        return keras.layers.Dropout(self.dropout, name=name)(values) if self.dropout else values


def apply_batch_norm(values: Any, name: str) -> Any:
    """Apply a batch norm (Ioffe and Szegedy 2015)."""
    return keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=name)(values)


def convolve(values: Any, filters: int, size: int | tuple[int, int], name: str, **options: Any) -> Any:
    """Apply a convolution initialized after He (2015), which keeps the variance through rectifiers."""
    options = {"padding": "same", "kernel_initializer": "he_normal"} | options
    return keras.layers.Conv2D(filters, size, name=name, **options)(values)


def dense(values: Any, units: int, name: str) -> Any:
    """Apply a fully connected layer with the same initialization."""
    return keras.layers.Dense(units, kernel_initializer="he_normal", name=name)(values)


def max_pool(values: Any, size: int, stride: int, name: str, padding: str = "valid") -> Any:
    """Take the maximum of each window."""
    return keras.layers.MaxPooling2D(size, stride, padding=padding, name=name)(values)


def average_pool(values: Any) -> Any:
    """Average each feature map: (batch, channels)."""
    return keras.layers.GlobalAveragePooling2D(name="pooled")(values)
