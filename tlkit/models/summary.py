"""A network layer by layer: sizes, parameters, multiply-adds, receptive field."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from tlkit.models.architectures.build import build_architecture
from tlkit.models.architectures.registry import Architecture, find_trainable
from tlkit.models.backbones import Backbone, check_size
from tlkit.models.cut import topological_order
from tlkit.models.head import Head, attach_head
from tlkit.settings.commands import SummarySettings

FLOAT_BYTES = 4


@dataclass(frozen=True)
class LayerRow:
    """One layer.

    kind             its class in Keras
    output           without the batch: (height, width, depth), or (units,)
    window           (height, width) of the pixels that one value of a convolution or pooling is made of
    padding          rows of zeros on either side, z in (N + 2z − P) / s + 1; a half where one side has one more
    parameters       weights and biases; of a batch norm its moving statistics, too
    trainable        how many of them training may change
    multiply_adds    for one image; of convolutions and dense layers only
    receptive_field  height in pixels of what one value depends on, zeros around the picture included
    memory           bytes of the output for one image, as float32
    """

    name: str
    kind: str
    output: tuple[int, ...]
    window: tuple[int, int] | None
    stride: int | None
    padding: float | None
    parameters: int
    trainable: int
    multiply_adds: int
    receptive_field: int
    memory: int


@dataclass(frozen=True)
class ModelSummary:
    """A whole network.

    depth  layers with kernels on the longest way from pixels to probabilities
    """

    name: str
    image_size: int
    depth: int
    layers: tuple[LayerRow, ...]

    @property
    def total_parameters(self) -> int:
        """Trainable or not."""
        return sum(row.parameters for row in self.layers)

    @property
    def trainable_parameters(self) -> int:
        """That training may change."""
        return sum(row.trainable for row in self.layers)

    @property
    def multiply_adds(self) -> int:
        """For one image."""
        return sum(row.multiply_adds for row in self.layers)


def summarize(model: keras.Model) -> ModelSummary:
    """Every layer of a flat network, inputs before those that use them."""
    rows = dict[int, LayerRow]()  # by layer; one that has several outputs has one row
    seen, deep = dict[int, tuple[int, int]](), dict[int, int]()
    for layer, inputs, output in topological_order(model.output):
        seen[id(output)] = _receptive_field(layer, inputs, output, [seen[id(tensor)] for tensor in inputs])
        deep[id(output)] = max([deep[id(tensor)] for tensor in inputs], default=0) + bool(_kernels(layer))
        rows.setdefault(id(layer), _row(layer, inputs, output, seen[id(output)][0]))
    return ModelSummary(model.name, int(model.input.shape[1]), deep[id(model.output)], tuple(rows.values()))


def output_size(size: int, window: int, stride: int, padding: float) -> int:
    """Height of what a window leaves of a map: (N + 2z − P) / s + 1, rounded down.

    >>> output_size(32, window=5, stride=1, padding=2)
    32
    """
    return math.floor((size + 2 * padding - window) / stride) + 1


def convolution_parameters(window: int, depth: int, filters: int) -> int:
    """Weights and biases of a convolution: [(P · P · d) + 1] · K.

    >>> convolution_parameters(5, 3, 8), convolution_parameters(5, 8, 16), convolution_parameters(1, 16, 32)
    (608, 3216, 544)
    """
    return (window * window * depth + 1) * filters


def _row(layer: Any, inputs: list[Any], output: Any, field: int) -> LayerRow:
    shape = tuple(int(length) for length in output.shape[1:])
    window, stride = _window(layer), _stride(layer)
    weights = getattr(layer, "weights", [])
    return LayerRow(
        name=layer.name,
        kind=type(layer).__name__,
        output=shape,
        window=window,
        stride=stride,
        padding=_padding(layer, inputs[0].shape[1], shape[0]) if window and stride else None,
        parameters=_count(weights),
        trainable=_count(getattr(layer, "trainable_weights", [])),
        multiply_adds=_multiply_adds(layer, shape),
        receptive_field=field,
        memory=FLOAT_BYTES * math.prod(shape),
    )


def _count(weights: Iterable[Any]) -> int:
    return sum(math.prod(weight.shape) for weight in weights if "seed" not in weight.path)


def _kernels(layer: Any) -> list[Any]:
    """The weights that multiply what a layer is given: of a separable convolution two."""
    return [weight for weight in getattr(layer, "weights", []) if "kernel" in weight.path.split("/")[-1]]


def _window(layer: Any) -> tuple[int, int] | None:
    found = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    return (int(found[0]), int(found[1])) if found and len(found) == 2 else None


def _stride(layer: Any) -> int | None:
    found = getattr(layer, "strides", None)
    return int(found[0]) if found and _window(layer) else None


def _padding(layer: Any, size: int, output: int) -> float:
    window, stride = _extent(layer), _stride(layer) or 1
    return 0.0 if layer.padding == "valid" else max(0.0, ((output - 1) * stride + window - size) / 2)


def _extent(layer: Any) -> int:
    """Height of a window with the holes of a dilated one."""
    window, dilation = _window(layer) or (1, 1), getattr(layer, "dilation_rate", (1, 1))
    return int((window[0] - 1) * dilation[0] + 1)


def _multiply_adds(layer: Any, shape: tuple[int, ...]) -> int:
    """Each weight of a kernel is used once per place of the output."""
    places: int = math.prod(shape[:-1])
    return places * sum(int(math.prod(kernel.shape)) for kernel in _kernels(layer))


def _receptive_field(layer: Any, inputs: list[Any], output: Any, below: list[tuple[int, int]]) -> tuple[int, int]:
    """Receptive field, and pixels between neighbours, of a layer's output; the largest where several come together."""
    if not inputs:
        return 1, 1
    field, step = max(below)
    if _window(layer):
        return field + (_extent(layer) - 1) * step, step * (_stride(layer) or 1)
    if len(inputs[0].shape) == 4 and len(output.shape) == 2:  # vectorised or averaged
        return field + (int(inputs[0].shape[1]) - 1) * step, step
    return field, step


def named_network(name: str, settings: SummarySettings) -> keras.Model:
    """A network with its last layer and random weights; width and colours vary in networks of the course only.

    raises: OptionError
    """
    return build_summarized(find_trainable(name), settings)


def build_summarized(row: Backbone | Architecture, settings: SummarySettings) -> keras.Model:
    """The network of a row, likewise."""
    size, num_classes = settings.image_size or row.image_size, settings.num_classes
    if isinstance(row, Backbone):
        check_size(row, size)
        build = getattr(keras.applications, row.constructor)
        whole: keras.Model = build(weights=None, input_shape=(size, size, 3), classes=num_classes, **row.options)
        return whole
    body = build_architecture(row, size, {"width": settings.width}, settings.grey)
    whole = attach_head(body, Head(0.0, False, ()), num_classes)
    whole.name = row.name
    return whole


def is_run(name: str) -> bool:
    """Whether a folder is meant, rather than a network."""
    return Path(name).is_dir() or "/" in name
