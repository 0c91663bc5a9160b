"""A Keras network as a `.tflite` file, without TensorFlow: a registry of layers, kind to function.

The network is read as a graph, so any backend of Keras will do (docs/decisions/052). A batch norm becomes part of the
convolution before it, an activation part of the operator before it, and zeros around a map part of the convolution
that pads as many by itself.
"""

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from tlkit.engines.litert_file import LiteRTFile
from tlkit.engines.litert_graph import (
    FUSED,
    GraphWriter,
    LayerStep,
    LayerWriter,
    UnsupportedLayerError,
    name_activation,
    require_option,
)
from tlkit.models.graph import batch_norm_shift, double

MAX_WEIGHTS = 256 << 20  # bytes; the classes that write the file hold it several times
Arrays = tuple[np.ndarray, np.ndarray]  # a kernel and a bias


def network_to_litert(network: Any, pixels: bool, maps: Any = None) -> bytes:
    """Write a network as a file for one row.

    Args:
        network: a flat Keras model with one input and one output
        pixels: the input is uint8, as decoded; else float32, as features are
        maps: a tensor in it that is a second output

    Raises:
        UnsupportedLayerError: it names the layer that cannot be written
    """
    if 4 * network.count_params() > MAX_WEIGHTS:
        raise UnsupportedLayerError("it is too large")
    outputs = [network.output] if maps is None else [network.output, maps]
    return GraphWriter(outputs).write(network.input, pixels, WRITERS)


# convolutions and dense layers


def _conv(writer: GraphWriter, step: LayerStep) -> int:
    layer = step.layer
    require_option(layer, layer.groups == 1)
    return _convolve(writer, step, "Conv", np.asarray(layer.kernel), layer.bias if layer.use_bias else None)


def _depthwise_conv(writer: GraphWriter, step: LayerStep) -> int:
    layer = step.layer
    return _convolve(writer, step, "DepthwiseConv", np.asarray(layer.kernel), layer.bias if layer.use_bias else None)


def _separable_conv(writer: GraphWriter, step: LayerStep) -> int:
    """Add a depthwise convolution, and a convolution of 1 × 1."""
    layer = step.layer
    kernel = np.asarray(layer.depthwise_kernel)
    height, width, channels, multiplier = kernel.shape
    shape = (*step.shape[:3], channels * multiplier)
    values = _window(writer, step, "DepthwiseConv", (_depthwise(kernel), np.zeros(shape[3])), shape)
    kernel, bias = _shifted(writer, step, np.asarray(layer.pointwise_kernel), layer.bias if layer.use_bias else None)
    return _pointwise(writer, step, values, (kernel.transpose(3, 0, 1, 2), bias))


def _convolve(writer: GraphWriter, step: LayerStep, kind: str, kernel: np.ndarray, bias: Any) -> int:
    is_depthwise = kind == "DepthwiseConv"
    kernel, bias = _shifted(writer, step, kernel, bias)
    kernel = _depthwise(kernel) if is_depthwise else kernel.transpose(3, 0, 1, 2)
    fused, activation = _own_activation(writer, step)
    return _activate(writer, step, _window(writer, step, kind, (kernel, bias), step.shape, fused), activation)


def _depthwise(kernel: np.ndarray) -> np.ndarray:
    height, width, channels, multiplier = kernel.shape
    return kernel.reshape(1, height, width, channels * multiplier)


def _window(
    writer: GraphWriter,
    step: LayerStep,
    kind: str,
    arrays: Arrays,
    shape: tuple[int, ...],
    activation: str = "NONE",
) -> int:
    """Add an operator that passes a kernel, as LiteRT orders it, over the first operand of a step."""
    layer, source, (kernel, bias) = step.layer, step.operands[0], arrays
    require_option(layer, layer.data_format == "channels_last" and tuple(layer.dilation_rate) == (1, 1))
    is_padded = layer.padding == "same" or id(source) in writer.padded
    options: dict[str, Any] = {"padding": "SAME" if is_padded else "VALID", "activation": activation}
    options |= dict(zip(("strideH", "strideW"), layer.strides, strict=True))
    if kind == "DepthwiseConv":
        options["depthMultiplier"] = int(kernel.shape[3]) // int(source.shape[-1])
    sources = [writer.number(source), writer.file.constant(kernel), writer.file.constant(bias)]
    return writer.file.operator(kind, sources, shape, **options)


def _dense(writer: GraphWriter, step: LayerStep) -> int:
    layer, source = step.layer, step.operands[0]
    kernel, bias = _shifted(writer, step, np.asarray(layer.kernel), layer.bias if layer.use_bias else None)
    if len(source.shape) == 2:
        fused, activation = _own_activation(writer, step)
        return _activate(writer, step, writer.file.dense(writer.number(source), kernel, bias, fused), activation)
    require_option(layer, len(source.shape) == 4)  # on a map it is a convolution of 1 × 1
    return _pointwise(writer, step, writer.number(source), (kernel.T[:, np.newaxis, np.newaxis], bias))


def _pointwise(writer: GraphWriter, step: LayerStep, values: int, arrays: Arrays) -> int:
    """Add a convolution of 1 × 1, and the activation of its layer."""
    fused, activation = _own_activation(writer, step)
    options = {"padding": "VALID", "strideH": 1, "strideW": 1, "activation": fused}
    sources = [values, *map(writer.file.constant, arrays)]
    return _activate(writer, step, writer.file.operator("Conv", sources, step.shape, **options), activation)


def _shifted(writer: GraphWriter, step: LayerStep, kernel: np.ndarray, bias: Any) -> Arrays:
    """Give kernel and bias, with the batch norm after them inside if there is one."""
    is_depthwise = type(step.layer).__name__ == "DepthwiseConv2D"
    channels = math.prod(kernel.shape[-2:]) if is_depthwise else kernel.shape[-1]
    shift = np.zeros(channels) if bias is None else double(bias)
    after = writer.next_step(step, "BatchNormalization") if name_activation(step.layer) == "linear" else None
    if after:
        factor, offset = _shift_of(after.layer)
        kernel = kernel * (factor.reshape(kernel.shape[-2:]) if is_depthwise else factor)
        shift = shift * factor + offset
        writer.take(step, after)
    return kernel.astype(np.float32), shift.astype(np.float32)


def _shift_of(layer: Any) -> Arrays:
    require_option(layer, layer.axis in (-1, 3) or layer.axis == len(layer.input.shape) - 1)
    return batch_norm_shift(layer)


# activations


def _own_activation(writer: GraphWriter, step: LayerStep) -> tuple[str, str]:
    """Give what the operator of a layer computes with its result, and the activation that needs its own operators."""
    name = name_activation(step.layer)
    if name == "linear":
        return writer.take_activation(step), name
    return (FUSED[name], "linear") if name in FUSED else ("NONE", name)


def _activate(writer: GraphWriter, step: LayerStep, value: int, name: str) -> int:
    """Add the operators of an activation."""
    if name not in ACTIVATIONS:
        raise UnsupportedLayerError(f"{step.layer.name} with the activation {name}")
    return ACTIVATIONS[name](writer.file, value)


def _silu(file: LiteRTFile, value: int) -> int:
    return file.elementwise("Mul", value, _unary("Logistic")(file, value))


def _hard_sigmoid(file: LiteRTFile, value: int) -> int:
    rising = file.elementwise("Add", value, file.constant(np.float32(3)), activation="RELU6")
    return file.elementwise("Mul", rising, file.constant(np.float32(1 / 6)))


def _unary(kind: str, **options: Any) -> Callable[[LiteRTFile, int], int]:
    return lambda file, value: file.operator(kind, [value], file.shape(value), **options)


ACTIVATIONS: dict[str, Callable[[LiteRTFile, int], int]] = {
    "linear": lambda file, value: value,
    "relu": _unary("Relu"),
    "relu6": _unary("Relu6"),
    "sigmoid": _unary("Logistic"),
    "hard_sigmoid": _hard_sigmoid,
    "silu": _silu,
    "hard_silu": _unary("HardSwish"),
    "tanh": _unary("Tanh"),
    "softmax": _unary("Softmax", beta=1.0),
}


def _activation_layer(writer: GraphWriter, step: LayerStep) -> int:
    return _activate(writer, step, writer.number(step.operands[0]), name_activation(step.layer))


def _softmax(writer: GraphWriter, step: LayerStep) -> int:
    require_option(step.layer, step.layer.axis in (-1, len(step.shape) - 1))
    return writer.file.softmax(writer.number(step.operands[0]))


# normalization, and arithmetic


def _batch_norm(writer: GraphWriter, step: LayerStep) -> int:
    return _scale(writer, step, *_shift_of(step.layer))


def _rescaling(writer: GraphWriter, step: LayerStep) -> int:
    return _scale(writer, step, step.layer.scale, step.layer.offset)


def _normalization(writer: GraphWriter, step: LayerStep) -> int:
    mean, variance = (double(item).ravel() for item in (step.layer.mean, step.layer.variance))
    factor = 1 / np.maximum(np.sqrt(variance), 1e-7)  # as Keras does
    require_option(step.layer, not step.layer.invert and mean.size in (1, step.shape[-1]))
    return _scale(writer, step, factor, -mean * factor)


def _scale(writer: GraphWriter, step: LayerStep, factor: Any, offset: Any) -> int:
    """Multiply by a factor and add an offset, numbers or one for each channel."""
    file = writer.file
    value = file.elementwise("Mul", writer.number(step.operands[0]), file.constant(np.asarray(factor, np.float32)))
    options = {"activation": writer.take_activation(step)}
    return file.elementwise("Add", value, file.constant(np.asarray(offset, np.float32)), **options)


def _elementwise(kind: str) -> LayerWriter:
    """Make what combines the operands of a layer or of an operation such as `x + 3`, two at a time."""

    def write(writer: GraphWriter, step: LayerStep) -> int:
        """Add the operators."""
        first, *others = [writer.number(operand) for operand in step.operands]
        *others, last = others
        value = reduce(lambda one, other: writer.file.elementwise(kind, one, other), others, first)
        return writer.file.elementwise(kind, value, last, activation=writer.take_activation(step))

    return write


def _scaled_sum(writer: GraphWriter, step: LayerStep) -> int:
    """Add the layer of InceptionResNetV2 that adds a branch, scaled."""
    one, branch = (writer.number(operand) for operand in step.operands)
    scaled = writer.file.elementwise("Mul", branch, writer.file.constant(np.float32(step.layer.scale)))
    return writer.file.elementwise("Add", one, scaled, activation=writer.take_activation(step))


# maps


def _zero_padding(writer: GraphWriter, step: LayerStep) -> int:
    """Add zeros around a map; nothing where the convolution after it adds as many by itself."""
    require_option(step.layer, step.layer.data_format == "channels_last")
    after, source = writer.next_step(step, "Conv2D", "DepthwiseConv2D"), step.operands[0]
    if after and after.layer.padding == "valid":
        options = zip(step.layer.padding, source.shape[1:3], after.layer.kernel_size, after.layer.strides, strict=True)
        if all(tuple(padding) == _same_padding(*sizes) for padding, *sizes in options):
            writer.padded.add(id(step.output))
            return writer.number(source)
    return writer.add("Pad", step, np.array([(0, 0), *step.layer.padding, (0, 0)]))


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Compute the zeros before and after that "same" adds.

    >>> _same_padding(224, 3, 2), _same_padding(224, 7, 2)
    ((0, 1), (2, 3))
    """
    total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
    return total // 2, total - total // 2


def _cropping(writer: GraphWriter, step: LayerStep) -> int:
    require_option(step.layer, step.layer.data_format == "channels_last")
    (top, _), (left, _) = step.layer.cropping
    begin = np.array([0, top, left, 0])
    return writer.add("StridedSlice", step, begin, begin + step.shape, np.ones(4, np.int32))


def _pool(kind: str) -> LayerWriter:
    """Make what takes the maximum or the average of each window."""

    def write(writer: GraphWriter, step: LayerStep) -> int:
        """Add the operator."""
        layer = step.layer
        require_option(layer, layer.data_format == "channels_last")
        names = ("filterHeight", "filterWidth", "strideH", "strideW")
        window = dict(zip(names, (*layer.pool_size, *layer.strides), strict=True))
        return writer.add(kind, step, padding=layer.padding.upper(), **window)

    return write


def _global_average(writer: GraphWriter, step: LayerStep) -> int:
    layer = step.layer
    require_option(layer, layer.data_format == "channels_last")
    return writer.add("Mean", step, np.array([1, 2]), keepDims=bool(layer.keepdims))


def _concatenate(writer: GraphWriter, step: LayerStep) -> int:
    sources = [writer.number(operand) for operand in step.operands]
    axis = step.layer.axis % len(step.shape)
    return writer.file.operator("Concatenate", sources, step.shape, axis=axis)


def _reshape(writer: GraphWriter, step: LayerStep) -> int:
    return writer.add("Reshape", step, np.array(step.shape), newShape=list(step.shape))


def _same(writer: GraphWriter, step: LayerStep) -> int:
    return writer.number(step.operands[0])


WRITERS: dict[str, LayerWriter] = {
    "Activation": _activation_layer,
    "ReLU": _activation_layer,
    "Softmax": _softmax,
    "Conv2D": _conv,
    "DepthwiseConv2D": _depthwise_conv,
    "SeparableConv2D": _separable_conv,
    "Dense": _dense,
    "BatchNormalization": _batch_norm,
    "Rescaling": _rescaling,
    "Normalization": _normalization,
    "Add": _elementwise("Add"),
    "Multiply": _elementwise("Mul"),
    "Subtract": _elementwise("Sub"),
    "CustomScaleLayer": _scaled_sum,
    "ZeroPadding2D": _zero_padding,
    "Cropping2D": _cropping,
    "MaxPooling2D": _pool("MaxPool"),
    "AveragePooling2D": _pool("AveragePool"),
    "GlobalAveragePooling2D": _global_average,
    "Concatenate": _concatenate,
    "Reshape": _reshape,
    "Flatten": _reshape,
    **dict.fromkeys(("Dropout", "SpatialDropout2D", "GaussianNoise", "Identity"), _same),
}
