"""A network layer by layer: sizes, parameters, multiply-adds, receptive field."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import keras

from tlkit.models.architectures.build import build_architecture
from tlkit.models.architectures.registry import Architecture
from tlkit.models.backbones import Backbone, check_size
from tlkit.models.graph import kernels_of, multiply_adds, topological_order
from tlkit.models.head import Head, attach_head

FLOAT_BYTES = 4


@dataclass(frozen=True)
class LayerSummary:
    """One layer.

    Attributes:
        kind: its class in Keras
        output: shape without the batch: (height, width, depth), or (units,)
        kernel: (height, width) of the kernel or the pooling window
        padding: rows of zeros on either side, z in (N + 2z − P) / s + 1; a half where one side has one more
        parameters: weights and biases; of a batch norm its moving statistics, too
        trainable: how many of them training may change
        multiply_adds: for one image; of convolutions and dense layers only
        field: receptive field: height in pixels of the part of the image that one value depends on, with padding
        memory: bytes of the output for one image, as float32
        inputs: names of the layers it gets its inputs from
    """

    name: str
    kind: str
    output: tuple[int, ...]
    kernel: tuple[int, int] | None
    stride: int | None
    padding: float | None
    parameters: int
    trainable: int
    multiply_adds: int
    field: int
    memory: int
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class ModelSummary:
    """A whole network.

    Attributes:
        depth: layers with kernels on the longest path from pixels to probabilities
    """

    name: str
    image_size: int
    depth: int
    layers: tuple[LayerSummary, ...]

    @property
    def total_parameters(self) -> int:
        """Number of parameters, trainable or not."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def trainable_parameters(self) -> int:
        """Number of parameters that training may change."""
        return sum(layer.trainable for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        """Number of multiply-adds for one image."""
        return sum(layer.multiply_adds for layer in self.layers)


def build_whole_network(
    spec: Backbone | Architecture,
    image_size: int = 0,
    num_classes: int = 1000,
    width: float = 1.0,
    gray: bool = False,
) -> keras.Model:
    """Build a network with its last layer and random weights: a backbone as Keras has it, or an architecture.

    Args:
        image_size: in pixels; 0 for the network's own
        width, gray: see `ArchitectureOptions` and `build_architecture`; backbones ignore them

    Raises:
        OptionError
    """
    size = image_size or spec.image_size
    if isinstance(spec, Backbone):
        check_size(spec, size)
        build = getattr(keras.applications, spec.constructor)
        whole: keras.Model = build(weights=None, input_shape=(size, size, 3), classes=num_classes, **spec.options)
        whole.name = spec.name
        return whole
    body = build_architecture(spec, size, {"width": width}, gray)
    whole = attach_head(body, Head(0.0, False, ()), num_classes)
    whole.name = spec.name
    return whole


def summarize(model: keras.Model) -> ModelSummary:
    """Summarize every layer of a flat network, inputs before those that use them."""
    layers = dict[int, LayerSummary]()  # by layer; one that has several outputs is listed once
    fields, depths = dict[int, tuple[int, int]](), dict[int, int]()  # by tensor
    for layer, inputs, output in topological_order(model.output):
        fields[id(output)] = _receptive_field(layer, inputs, output, [fields[id(tensor)] for tensor in inputs])
        depths[id(output)] = max([depths[id(tensor)] for tensor in inputs], default=0) + bool(kernels_of(layer))
        layers.setdefault(id(layer), _summarize_layer(layer, inputs, output, fields[id(output)][0]))
    return ModelSummary(model.name, int(model.input.shape[1]), depths[id(model.output)], tuple(layers.values()))


def output_size(size: int, kernel: int, stride: int, padding: float) -> int:
    """Compute the height of a convolution's or a pooling's output: (N + 2z − P) / s + 1, rounded down.

    >>> output_size(32, kernel=5, stride=1, padding=2)
    32
    """
    return math.floor((size + 2 * padding - kernel) / stride) + 1


def convolution_parameters(kernel: int, depth: int, filters: int) -> int:
    """Count the weights and biases of a convolution: [(P · P · d) + 1] · K.

    >>> convolution_parameters(5, 3, 8), convolution_parameters(5, 8, 16), convolution_parameters(1, 16, 32)
    (608, 3216, 544)
    """
    return (kernel * kernel * depth + 1) * filters


def _receptive_field(
    layer: Any, inputs: list[Any], output: Any, input_fields: list[tuple[int, int]]
) -> tuple[int, int]:
    """Compute receptive field and pixels between neighbors of a layer's output.

    Args:
        input_fields: the same of each input; the largest counts where several come together
    """
    if not inputs:
        return 1, 1
    field, step = max(input_fields)
    if _kernel_size(layer):
        return field + (_dilated_kernel(layer) - 1) * step, step * (_stride(layer) or 1)
    if len(inputs[0].shape) == 4 and len(output.shape) == 2:  # flattened or averaged
        return field + (int(inputs[0].shape[1]) - 1) * step, step
    return field, step


def _summarize_layer(layer: Any, inputs: list[Any], output: Any, receptive_field: int) -> LayerSummary:
    shape = tuple(int(length) for length in output.shape[1:])
    kernel, stride = _kernel_size(layer), _stride(layer)
    return LayerSummary(
        name=layer.name,
        kind=type(layer).__name__,
        output=shape,
        kernel=kernel,
        stride=stride,
        padding=_padding(layer, inputs[0].shape[1], shape[0]) if kernel and stride else None,
        parameters=_count(getattr(layer, "weights", [])),
        trainable=_count(getattr(layer, "trainable_weights", [])),
        multiply_adds=multiply_adds(layer, output),
        field=receptive_field,
        memory=FLOAT_BYTES * math.prod(shape),
        inputs=tuple(tensor._keras_history[0].name for tensor in inputs),
    )


def _count(weights: Iterable[Any]) -> int:
    return sum(math.prod(weight.shape) for weight in weights if "seed" not in weight.path)


def _kernel_size(layer: Any) -> tuple[int, int] | None:
    size = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    return (int(size[0]), int(size[1])) if size and len(size) == 2 else None


def _stride(layer: Any) -> int | None:
    strides = getattr(layer, "strides", None)
    return int(strides[0]) if strides and _kernel_size(layer) else None


def _padding(layer: Any, input_height: int, output_height: int) -> float:
    if layer.padding == "valid":
        return 0.0
    missing = (output_height - 1) * (_stride(layer) or 1) + _dilated_kernel(layer) - input_height
    return max(0.0, missing / 2)


def _dilated_kernel(layer: Any) -> int:
    """Compute the height of a kernel with the gaps of a dilated one."""
    kernel, dilation = _kernel_size(layer) or (1, 1), getattr(layer, "dilation_rate", (1, 1))
    return int((kernel[0] - 1) * dilation[0] + 1)
