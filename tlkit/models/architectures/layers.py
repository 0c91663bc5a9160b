"""What the networks here have in common: how they are varied, and the layers most of them repeat."""

from dataclasses import dataclass
from typing import Any

import keras


@dataclass(frozen=True)
class ArchitectureOptions:
    """How a network differs from its paper's, to fit a small folder.

    width       factor of the number of filters and units
    batch_norm  whether each convolution and hidden layer is followed by a batch norm
    dropout     share of units dropped where the paper drops any, and in `mlp` after each hidden layer
    activation  of hidden layers, as Keras names it, or "leaky_relu" with the course's slope of 0.1
    hidden      units of the hidden layers of `mlp`
    """

    width: float = 1.0
    batch_norm: bool = False
    dropout: float = 0.0
    activation: str = "relu"
    hidden: tuple[int, ...] = ()

    def units(self, count: int) -> int:
        """How many filters or units stand for so many of the paper's.

        >>> Variant(width=0.25).units(96), Variant(width=0.001).units(96)
        (24, 1)
        """
        return max(1, round(count * self.width))

    def activate(self, values: Any, name: str) -> Any:
        """The activation as a layer of its own."""
        if self.activation == "leaky_relu":
            return keras.layers.LeakyReLU(negative_slope=LEAK, name=name)(values)
        return keras.layers.Activation(self.activation, name=name)(values)

    def finish(self, values: Any, name: str) -> Any:
        """What follows the weights of a layer: a batch norm where there is one, then the activation."""
        if self.batch_norm:
            values = normalize(values, f"{name}_bn")
        return self.activate(values, f"{name}_{self.activation}")

    def drop(self, values: Any, name: str) -> Any:
        """Dropout, where there is any."""
        return keras.layers.Dropout(self.dropout, name=name)(values) if self.dropout else values


LEAK = 0.1
BATCH_NORM_MOMENTUM = (
    0.9  # momentum of a batch norm's moving averages; Keras's 0.99 needs more steps than a small folder has
)


def normalize(values: Any, name: str) -> Any:
    """Batch norm (Ioffe and Szegedy 2015)."""
    return keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=name)(values)


def convolve(values: Any, filters: int, size: int | tuple[int, int], name: str, **options: Any) -> Any:
    """A convolution with the start of He (2015), which keeps the variance through rectifiers."""
    options = {"padding": "same", "kernel_initializer": "he_normal"} | options
    return keras.layers.Conv2D(filters, size, name=name, **options)(values)


def dense(values: Any, units: int, name: str) -> Any:
    """A fully connected layer with the same start."""
    return keras.layers.Dense(units, kernel_initializer="he_normal", name=name)(values)


def max_pool(values: Any, size: int, stride: int, name: str, padding: str = "valid") -> Any:
    """The greatest value of each window."""
    return keras.layers.MaxPooling2D(size, stride, padding=padding, name=name)(values)


def average_pool(values: Any) -> Any:
    """One average per feature map: (batch, channels)."""
    return keras.layers.GlobalAveragePooling2D(name="pooled")(values)
