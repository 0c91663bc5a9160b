"""The graph of a Keras model, read without importing Keras."""

import math
from typing import Any

import numpy as np


def topological_order(output: Any) -> list[tuple[Any, list[Any], Any]]:
    """List (layer, input tensors, output tensor) of every layer that `output` depends on, inputs before users."""
    steps, done, pending = [], set(), [(output, False)]
    while pending:
        tensor, inputs_done = pending.pop()
        if id(tensor) in done:
            continue
        layer, node, _ = tensor._keras_history
        inputs = layer._inbound_nodes[node].input_tensors
        if not inputs_done:
            pending += [(tensor, True), *((earlier, False) for earlier in reversed(inputs))]
            continue
        done.add(id(tensor))
        steps.append((layer, inputs, tensor))
    return steps


def kernels_of(layer: Any) -> list[Any]:
    """List the weights that multiply a layer's input: of a separable convolution two."""
    return [weight for weight in getattr(layer, "weights", []) if "kernel" in weight.path.split("/")[-1]]


def multiply_adds(layer: Any, output: Any) -> int:
    """Count the multiply-adds of a layer for one image: a kernel's weight is used once per position of its output."""
    return int(math.prod(output.shape[1:-1]) * sum(math.prod(kernel.shape) for kernel in kernels_of(layer)))


def batch_norm_shift(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    """Compute what a batch norm multiplies each channel by, and what it adds, in float64."""
    mean, variance = double(layer.moving_mean), double(layer.moving_variance)
    factor = 1 / np.sqrt(variance + layer.epsilon)
    factor = factor * double(layer.gamma) if layer.scale else factor
    offset = -mean * factor
    return factor, offset + double(layer.beta) if layer.center else offset


def double(values: Any) -> np.ndarray:
    """Give a variable or an array in float64."""
    return np.asarray(values).astype(np.float64)  # not every backend's variables take a type


PASSED_THROUGH = ("Concatenate", "Dropout")  # layers that leave the first of their inputs as it is when not training


def averaged_map(network: Any) -> Any:
    """Find the feature map whose averages over its positions are the first features of a network.

    Returns:
        A tensor (batch, height, width, channels); None where the network ends in another way
    """
    made_by = {id(output): (layer, inputs) for layer, inputs, output in topological_order(network.output)}
    tensor = network.output
    while id(tensor) in made_by:
        layer, inputs = made_by[id(tensor)]
        kind = type(layer).__name__
        if kind == "GlobalAveragePooling2D":
            return inputs[0]
        if kind not in PASSED_THROUGH:
            return None
        tensor = inputs[0]
    return None
