"""The Keras layers and operations that can be written as ONNX: a registry, kind to function.

Layers of `keras.layers` and operations such as `x + 3` are both nodes of a Keras graph, and some have the same
name: the layer Add and the operation Add are one entry.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial, reduce

import numpy as np

from tlkit.export.onnx.activations import ACTIVATIONS, apply_gelu, apply_softmax, rectify
from tlkit.export.onnx.graph import OnnxGraph, Value
from tlkit.export.onnx.windows import (
    LayerCall,
    activate,
    check_layout,
    write_conv,
    write_dense,
    write_depthwise_conv,
    write_global_pool,
    write_pool,
    write_separable_conv,
)
from tlkit.models.graph import batch_norm_shift

NORMALIZATION_EPSILON = 1e-7  # of Keras: a smaller deviation counts as this
Converter = Callable[[OnnxGraph, LayerCall], Value | list[Value]]


def _zero_padding(graph: OnnxGraph, call: LayerCall) -> Value:
    check_layout(call)
    return _pad(graph, call, [(0, 0), *call.layer.padding, (0, 0)])


def _pad_operation(graph: OnnxGraph, call: LayerCall) -> Value:
    if call.layer.mode != "constant" or call.option("constant_values", None):
        raise call.refuse(" with other values than zero")
    pairs = list(call.layer.pad_width)
    return _pad(graph, call, pairs * len(call.value.shape) if len(pairs) == 1 else pairs)


def _pad(graph: OnnxGraph, call: LayerCall, pairs: Sequence[Sequence[int]]) -> Value:
    """Add zeros around a value; `pairs` has before and after for each axis."""
    ends = np.zeros((2, len(pairs)), np.int64)
    for axis, pair in enumerate(pairs):
        ends[:, call.value.axis(axis)] = pair
    return replace(graph.apply("Pad", call.value, graph.constant(ends.ravel())), shape=call.shape)


def _cropping(graph: OnnxGraph, call: LayerCall) -> Value:
    check_layout(call)
    sizes = zip(call.layer.cropping, call.value.shape[1:3], strict=True)
    keys = [slice(before, size - after) for (before, after), size in sizes]
    return _slice(graph, call, dict(enumerate(keys, 1)))


def _get_item(graph: OnnxGraph, call: LayerCall) -> Value:
    keys = call.args[1] if len(call.args) > 1 else call.kwargs["key"]
    keys = list(keys) if isinstance(keys, list | tuple) else [keys]
    if Ellipsis in keys:
        dots = keys.index(Ellipsis)
        keys[dots : dots + 1] = [slice(None)] * (len(call.value.shape) - len(keys) + 1)
    if not all(isinstance(key, slice) for key in keys):
        raise call.refuse(" that takes single rows")
    return _slice(graph, call, {axis: key for axis, key in enumerate(keys) if key != slice(None)})


def _slice(graph: OnnxGraph, call: LayerCall, keys: Mapping[int, slice]) -> Value:
    """Cut a part out of a value; `keys` has a slice for each axis that is cut."""
    value = call.value
    if 0 in keys or None in value.shape[1:]:
        raise call.refuse(" along an axis of unknown length")
    cuts = [(value.axis(axis), *key.indices(value.shape[axis])) for axis, key in keys.items()]  # type: ignore[arg-type]
    if any(step < 1 for *_, step in cuts):
        raise call.refuse(" backwards")
    axes, starts, ends, steps = (graph.constant(np.array(part, np.int64)) for part in zip(*cuts, strict=True))
    return replace(graph.apply("Slice", value, starts, ends, axes, steps), shape=call.shape)


def _split(graph: OnnxGraph, call: LayerCall) -> list[Value]:
    value, axis, sections = call.value, call.layer.axis, call.layer.indices_or_sections
    length = value.shape[axis]
    if not length:
        raise call.refuse(" along an axis of unknown length")
    ends = [*sections, length] if isinstance(sections, tuple) else [length // sections] * sections
    sizes = np.diff([0, *ends]) if isinstance(sections, tuple) else np.array(ends)
    inputs = [value.name, graph.constant(sizes.astype(np.int64))]
    names = graph.add("Split", inputs, outputs=len(sizes), axis=value.axis(axis))
    axis %= len(value.shape)
    shapes = [(*value.shape[:axis], int(size), *value.shape[axis + 1 :]) for size in sizes]
    return [replace(value, name=name, shape=shape) for name, shape in zip(names, shapes, strict=True)]


def _concatenate(graph: OnnxGraph, call: LayerCall) -> Value:
    first = call.value
    align = graph.channels_first if first.is_channels_first else graph.channels_last
    values = [align(item) for item in call.args[0]]
    (name,) = graph.add("Concat", [item.name for item in values], axis=first.axis(call.option("axis", -1)))
    return replace(first, name=name, shape=call.shape)


def _reshape(graph: OnnxGraph, call: LayerCall) -> Value:
    if None in call.shape[1:]:
        raise call.refuse(" to an unknown shape")
    return graph.reshape(call.value, call.shape[1:])  # type: ignore[arg-type]


def _mean(graph: OnnxGraph, call: LayerCall) -> Value:
    axes = call.layer.axis if isinstance(call.layer.axis, list | tuple) else [call.layer.axis]
    if None in axes or 0 in axes:
        raise call.refuse(" over the batch")
    value, keepdims = call.value, call.layer.keepdims
    value = value if keepdims else graph.channels_last(value)
    (name,) = graph.add("ReduceMean", [value.name], axes=[value.axis(axis) for axis in axes], keepdims=int(keepdims))
    return replace(value, name=name, shape=call.shape)


def _same(graph: OnnxGraph, call: LayerCall) -> Value:
    return call.value


# normalization and arithmetic


def _batch_norm(graph: OnnxGraph, call: LayerCall) -> Value:
    if call.layer.axis not in (-1, len(call.value.shape) - 1):
        raise call.refuse(" over another axis than the last")
    factor, offset = batch_norm_shift(call.layer)
    if len(call.value.shape) != 4:
        return graph.scale(call.value, factor, offset)
    zeros, ones = np.zeros_like(factor), np.ones_like(factor)
    return graph.apply("BatchNormalization", graph.channels_first(call.value), factor, offset, zeros, ones, epsilon=0.0)


def _layer_norm(graph: OnnxGraph, call: LayerCall) -> Value:
    layer, value = call.layer, graph.channels_last(call.value)
    if list(np.ravel(layer.axis)) not in ([-1], [len(value.shape) - 1]) or getattr(layer, "rms_scaling", False):
        raise call.refuse(" over other axes than the last")
    gamma = np.asarray(layer.gamma) if layer.scale else np.ones(value.shape[-1], np.float32)  # type: ignore[arg-type]
    constants = [gamma, np.asarray(layer.beta)] if layer.center else [gamma]
    return graph.apply("LayerNormalization", value, *constants, axis=-1, epsilon=layer.epsilon)


def _normalization(graph: OnnxGraph, call: LayerCall) -> Value:
    layer = call.layer
    if layer.invert or layer.axis not in ((-1,), (len(call.value.shape) - 1,), ()):
        raise call.refuse(" inverted, or over other axes than the last")
    mean, variance = (np.asarray(item, np.float64).ravel() for item in (layer.mean, layer.variance))
    factor = 1 / np.maximum(np.sqrt(variance), NORMALIZATION_EPSILON)
    return graph.scale(call.value, factor, -mean * factor)


def _rescaling(graph: OnnxGraph, call: LayerCall) -> Value:
    return graph.scale(call.value, np.asarray(call.layer.scale), np.asarray(call.layer.offset))


def _layer_scale(graph: OnnxGraph, call: LayerCall) -> Value:
    return graph.scale(call.value, np.asarray(call.layer.gamma))


def _custom_scale(graph: OnnxGraph, call: LayerCall) -> Value:
    shortcut, residual = call.args[0]
    return graph.elementwise("Add", shortcut, graph.scale(residual, call.layer.scale))


def _combine(kind: str, graph: OnnxGraph, call: LayerCall) -> Value:
    combined = reduce(partial(graph.elementwise, kind), call.operands)
    assert isinstance(combined, Value)
    return combined


def _average(graph: OnnxGraph, call: LayerCall) -> Value:
    return graph.scale(_combine("Add", graph, call), 1 / len(call.operands))


def _negative(graph: OnnxGraph, call: LayerCall) -> Value:
    return graph.apply("Neg", call.value)


def _cast(graph: OnnxGraph, call: LayerCall) -> Value:
    if call.layer.dtype != "float32":
        raise call.refuse(f" to {call.layer.dtype}")
    return call.value  # all values are float32


# activations


def _activation(graph: OnnxGraph, call: LayerCall) -> Value:
    return activate(graph, call, call.value)


def _relu_layer(graph: OnnxGraph, call: LayerCall) -> Value:
    options = {name: getattr(call.layer, name) for name in ("negative_slope", "max_value", "threshold")}
    if options["threshold"]:
        raise call.refuse(" with a threshold")
    return rectify(graph, call.value, **options)


def _sloped(kind: str, option: str, graph: OnnxGraph, call: LayerCall) -> Value:
    return graph.apply(kind, call.value, alpha=float(getattr(call.layer, option)))


def _prelu(graph: OnnxGraph, call: LayerCall) -> Value:
    return graph.elementwise("PRelu", call.value, np.asarray(call.layer.alpha))


def _gelu_operation(graph: OnnxGraph, call: LayerCall) -> Value:
    return apply_gelu(graph, call.value, call.layer.approximate)


def _softmax(graph: OnnxGraph, call: LayerCall) -> Value:
    if call.layer.axis not in (-1, len(call.value.shape) - 1):
        raise call.refuse(" over another axis than the last")
    return apply_softmax(graph, call.value)


def _function(name: str, graph: OnnxGraph, call: LayerCall) -> Value:
    return ACTIVATIONS[name](graph, call.value)


CONVERTERS: dict[str, Converter] = {
    "Conv2D": write_conv,
    "DepthwiseConv2D": write_depthwise_conv,
    "SeparableConv2D": write_separable_conv,
    "Dense": write_dense,
    "MaxPooling2D": partial(write_pool, "MaxPool"),
    "AveragePooling2D": partial(write_pool, "AveragePool"),
    "GlobalAveragePooling2D": partial(write_global_pool, "GlobalAveragePool"),
    "GlobalMaxPooling2D": partial(write_global_pool, "GlobalMaxPool"),
    "ZeroPadding2D": _zero_padding,
    "Pad": _pad_operation,
    "Cropping2D": _cropping,
    "GetItem": _get_item,
    "Split": _split,
    "Concatenate": _concatenate,
    **dict.fromkeys(("Reshape", "Flatten", "ExpandDims", "Squeeze"), _reshape),
    "Mean": _mean,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "Normalization": _normalization,
    "Rescaling": _rescaling,
    "LayerScale": _layer_scale,
    "CustomScaleLayer": _custom_scale,
    **{kind: partial(_combine, kind[:3]) for kind in ("Add", "Subtract")},
    "Multiply": partial(_combine, "Mul"),
    **dict.fromkeys(("Divide", "TrueDivide"), partial(_combine, "Div")),
    **{kind: partial(_combine, kind[:3]) for kind in ("Maximum", "Minimum")},
    "Average": _average,
    "Negative": _negative,
    "Cast": _cast,
    "Activation": _activation,
    "ReLU": _relu_layer,
    "LeakyReLU": partial(_sloped, "LeakyRelu", "negative_slope"),
    "LeakyRelu": partial(_sloped, "LeakyRelu", "negative_slope"),
    **dict.fromkeys(("ELU", "Elu"), partial(_sloped, "Elu", "alpha")),
    "PReLU": _prelu,
    "Gelu": _gelu_operation,
    "Softmax": _softmax,
    **{kind: partial(_function, kind.lower()) for kind in ("Relu", "Relu6", "Sigmoid", "Silu", "Tanh", "Softplus")},
    "HardSigmoid": partial(_function, "hard_sigmoid"),
    "HardSilu": partial(_function, "hard_silu"),
    **dict.fromkeys(
        ("Dropout", "SpatialDropout2D", "GaussianDropout", "GaussianNoise", "AlphaDropout", "StochasticDepth"), _same
    ),
    **dict.fromkeys(("ActivityRegularization", "Identity"), _same),
}
