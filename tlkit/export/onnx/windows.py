"""Layers that pass a window over a map, as nodes of an ONNX graph: convolutions, dense layers, pooling."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tlkit.errors import ModelError
from tlkit.export.onnx.activations import ACTIVATIONS
from tlkit.export.onnx.graph import Constant, OnnxGraph, Value

TAKE_BATCH_NORM = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Dense")
Shift = tuple[np.ndarray, np.ndarray]  # factor and offset of each channel


@dataclass(frozen=True)
class LayerCall:
    """One call of a layer or an operation in a Keras graph.

    Attributes:
        layer: read for its weights and options
        args, kwargs: as it was called, with values in place of tensors
        shape: of its output, as Keras has it
        shift: a batch norm after it that is to be part of its weights
    """

    layer: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    shape: tuple[int | None, ...]
    shift: Shift | None = None

    @property
    def operands(self) -> list[Value | Constant]:
        """The values and constants that it combines."""
        flat: list[Any] = []
        for item in self.args or (self.kwargs["x1"], self.kwargs["x2"]):
            flat += item if isinstance(item, list | tuple) else [item]
        return [item if isinstance(item, Value) else np.asarray(item, np.float32) for item in flat]

    @property
    def value(self) -> Value:
        """Its first input."""
        first = self.args[0] if self.args else next(iter(self.kwargs.values()))
        value: Value = first[0] if isinstance(first, list | tuple) else first
        return value

    def option(self, name: str, default: Any) -> Any:
        """Give an argument of an operation, which it may have as an attribute or was called with."""
        return getattr(self.layer, name, self.kwargs.get(name, default))

    def refuse(self, detail: str = "") -> ModelError:
        """Make the error for what cannot be written."""
        layer, kind = self.layer, type(self.layer).__name__
        return ModelError(
            f"the layer '{layer.name}' ({kind}{detail}) cannot be written as ONNX; export the run as saved_model."
        )


def can_take_batch_norm(layer: Any) -> bool:
    """Tell whether the batch norm after a layer can be part of its weights."""
    return type(layer).__name__ in TAKE_BATCH_NORM and _name_of(layer.activation) == "linear"


# convolutions and dense layers


def write_conv(graph: OnnxGraph, call: LayerCall) -> Value:
    """Add a convolution, in groups or not."""
    kernel = np.asarray(call.layer.kernel).transpose(3, 2, 0, 1)
    return activate(graph, call, _convolve(graph, call, call.value, kernel, call.layer.groups))


def write_depthwise_conv(graph: OnnxGraph, call: LayerCall) -> Value:
    """Add a depthwise convolution: one in as many groups as there are channels."""
    return activate(graph, call, _convolve(graph, call, call.value, *_depthwise_kernel(call.layer.kernel)))


def write_separable_conv(graph: OnnxGraph, call: LayerCall) -> Value:
    """Add a depthwise convolution, then a pointwise one."""
    layer = call.layer
    kernel, groups = _depthwise_kernel(layer.depthwise_kernel)
    first = replace(call, shift=None, shape=(*call.shape[:-1], len(kernel)))
    values = _convolve(graph, first, call.value, kernel, groups, bias=None)
    pointwise = np.asarray(layer.pointwise_kernel).transpose(3, 2, 0, 1)
    return activate(graph, call, _convolve(graph, call, values, pointwise, is_pointwise=True))


def _depthwise_kernel(variable: Any) -> tuple[np.ndarray, int]:
    """Give the kernel of a depthwise convolution as that of one in groups, and the number of groups."""
    kernel = np.asarray(variable)
    height, width, channels, multiplier = kernel.shape
    return kernel.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width), channels


def _convolve(
    graph: OnnxGraph, call: LayerCall, value: Value, kernel: np.ndarray, groups: int = 1, **options: Any
) -> Value:
    """Add a convolution.

    Args:
        kernel: (filters, channels, height, width)
        options: `bias`, where it is not the layer's; `is_pointwise` for 1 × 1 without strides
    """
    layer, value = call.layer, graph.channels_first(value)
    check_layout(call)
    kernel, bias = _shifted(call, kernel, options.get("bias", layer.bias if layer.use_bias else None), axis=0)
    window = dict[str, Any]()
    if not options.get("is_pointwise"):
        window = {"strides": _pair(layer.strides), "dilations": _pair(layer.dilation_rate)}
        window["pads"] = _pads(value, kernel.shape[2:], layer)
    constants: list[Constant] = [kernel] if bias is None else [kernel, bias]
    (name,) = graph.add("Conv", [value.name, *constants], group=groups, kernel_shape=kernel.shape[2:], **window)
    return Value(name, call.shape, is_channels_first=True)


def write_dense(graph: OnnxGraph, call: LayerCall) -> Value:
    """Add a fully connected layer."""
    layer, value = call.layer, call.value
    kernel, bias = _shifted(call, np.asarray(layer.kernel), layer.bias if layer.use_bias else None, axis=1)
    biases: list[Constant] = [] if bias is None else [bias]
    if value.is_channels_first:  # on a map it is a 1 × 1 convolution
        (name,) = graph.add("Conv", [value.name, kernel.T[:, :, None, None], *biases], kernel_shape=(1, 1))
    elif len(value.shape) == 2:
        (name,) = graph.add("Gemm", [value.name, kernel, *biases])
    else:
        (name,) = graph.add("MatMul", [value.name, kernel])
        (name,) = graph.add("Add", [name, bias]) if bias is not None else (name,)
    return activate(graph, call, Value(name, call.shape, value.is_channels_first))


def _shifted(call: LayerCall, kernel: np.ndarray, bias: Any, axis: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Give kernel and bias with the batch norm after them inside; `axis` is that of the output channels."""
    bias = None if bias is None else np.asarray(bias, np.float64)
    if call.shift is not None:
        factor, offset = call.shift
        bias = offset if bias is None else bias * factor + offset
        kernel = kernel * factor.reshape([-1 if index == axis else 1 for index in range(kernel.ndim)])
    return kernel.astype(np.float32), None if bias is None else bias.astype(np.float32)


def _pads(value: Value, kernel: Sequence[int], layer: Any) -> list[int]:
    """Compute what "same" adds around a map: top, left, bottom, right; the odd pixel comes last."""
    if layer.padding == "valid":
        return [0, 0, 0, 0]
    strides, dilations = _pair(layer.strides), _pair(getattr(layer, "dilation_rate", 1))
    totals = [
        max(0, ((size or 0) + stride - 1) // stride * stride - stride + (side - 1) * dilation + 1 - (size or 0))
        for size, side, stride, dilation in zip(value.shape[1:3], kernel, strides, dilations, strict=True)
    ]
    return [total // 2 for total in totals] + [total - total // 2 for total in totals]


def _pair(option: Any) -> tuple[int, int]:
    return (option, option) if isinstance(option, int) else tuple(option)


def check_layout(call: LayerCall) -> None:
    """Refuse what these functions would get wrong without a word."""
    if getattr(call.layer, "data_format", "channels_last") != "channels_last":
        raise call.refuse(" with its channels first")
    if None in call.value.shape[1:]:
        raise call.refuse(" on images of any size")


def write_pool(kind: str, graph: OnnxGraph, call: LayerCall) -> Value:
    """Add the maximum or average of each window, of what is inside the map."""
    layer, value = call.layer, graph.channels_first(call.value)
    check_layout(call)
    size = _pair(layer.pool_size)
    window: dict[str, Any] = {"kernel_shape": size, "strides": _pair(layer.strides), "pads": _pads(value, size, layer)}
    if kind == "AveragePool":
        window["count_include_pad"] = 0
    (name,) = graph.add(kind, [value.name], **window)
    return Value(name, call.shape, is_channels_first=True)


def write_global_pool(kind: str, graph: OnnxGraph, call: LayerCall) -> Value:
    """Add the maximum or average of each map."""
    check_layout(call)
    value = graph.channels_first(call.value)
    (name,) = graph.add(kind, [value.name])
    if call.layer.keepdims:
        return Value(name, call.shape, is_channels_first=True)
    return Value(graph.add("Flatten", [name])[0], call.shape)


def activate(graph: OnnxGraph, call: LayerCall, value: Value) -> Value:
    """Apply the activation of a layer."""
    name = _name_of(call.layer.activation)
    if name not in ACTIVATIONS:
        raise call.refuse(f" with the activation {name}")
    return ACTIVATIONS[name](graph, value)


def _name_of(activation: Any) -> str:
    return str(getattr(activation, "__name__", type(activation).__name__))
