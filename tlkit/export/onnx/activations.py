"""Activation functions as nodes of an ONNX graph: a registry, name to function."""

import math
from collections.abc import Callable
from functools import partial

from tlkit.export.onnx.graph import OnnxGraph, Value

Activation = Callable[[OnnxGraph, Value], Value]
GELU_CUBE = 0.044715  # of its approximation by tanh


def rectify(
    graph: OnnxGraph, value: Value, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> Value:
    """Apply a rectifier with Keras's options; `threshold` must be 0."""
    assert not threshold
    if negative_slope:
        value = graph.apply("LeakyRelu", value, alpha=float(negative_slope))
        return value if max_value is None else graph.elementwise("Min", value, max_value)
    return graph.apply("Relu", value) if max_value is None else graph.apply("Clip", value, 0.0, max_value)


def apply_gelu(graph: OnnxGraph, value: Value, approximate: bool = False) -> Value:
    """Apply the Gaussian error linear unit, exactly or with tanh."""
    if approximate:
        cubed = graph.elementwise("Mul", graph.elementwise("Mul", value, value), value)
        inner = graph.scale(graph.elementwise("Add", value, graph.scale(cubed, GELU_CUBE)), math.sqrt(2 / math.pi))
        gate = graph.apply("Tanh", inner)
    else:
        gate = graph.apply("Erf", graph.elementwise("Div", value, math.sqrt(2)))
    return graph.scale(graph.elementwise("Mul", value, graph.scale(gate, 1.0, 1.0)), 0.5)


def apply_softmax(graph: OnnxGraph, value: Value, kind: str = "Softmax") -> Value:
    """Apply a softmax over the last axis, or its logarithm."""
    return graph.apply(kind, graph.channels_last(value), axis=-1)


def _multiply_by(kind: str, graph: OnnxGraph, value: Value) -> Value:
    """Multiply a value by a function of itself."""
    return graph.elementwise("Mul", value, graph.apply(kind, value))


def _mish(graph: OnnxGraph, value: Value) -> Value:
    return graph.elementwise("Mul", value, graph.apply("Tanh", graph.apply("Softplus", value)))


def _operator(kind: str, **attributes: float) -> Activation:
    return lambda graph, value: graph.apply(kind, value, **attributes)


ACTIVATIONS: dict[str, Activation] = {
    "linear": lambda graph, value: value,
    "relu": _operator("Relu"),
    "relu6": partial(rectify, max_value=6.0),
    "leaky_relu": _operator("LeakyRelu", alpha=0.2),
    "elu": _operator("Elu"),
    "selu": _operator("Selu"),
    "celu": _operator("Celu"),
    "gelu": apply_gelu,
    "silu": partial(_multiply_by, "Sigmoid"),
    "mish": _mish,
    "tanh": _operator("Tanh"),
    "hard_tanh": lambda graph, value: graph.apply("Clip", value, -1.0, 1.0),
    "sigmoid": _operator("Sigmoid"),
    "hard_sigmoid": _operator("HardSigmoid", alpha=1 / 6, beta=0.5),
    "hard_silu": _operator("HardSwish"),
    "softplus": _operator("Softplus"),
    "softsign": _operator("Softsign"),
    "exponential": _operator("Exp"),
    "softmax": apply_softmax,
    "log_softmax": partial(apply_softmax, kind="LogSoftmax"),
}
