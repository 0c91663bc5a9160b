"""A Keras network as a graph of steps, which `litert_network.py` writes layer by layer into a `.tflite` file."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tlkit.engines.litert_file import LiteRTFile
from tlkit.models.graph import topological_order

FUSED = {"relu": "RELU", "relu6": "RELU6"}  # activations that an operator computes with its result


class UnsupportedLayerError(Exception):
    """A layer, or an option of one, that cannot be written."""


@dataclass
class LayerStep:
    """One call of a layer in a network.

    Attributes:
        operands: what it is called with, in order: tensors of Keras, and constants
        output: the tensor it gives; of a step that took those after it into itself, what the last of them gives
    """

    layer: Any
    operands: list[Any]
    output: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of its output, for one image."""
        return fixed_shape(self.output)


class GraphWriter:
    """A network that is being written.

    Attributes:
        file: what is written so far
    """

    def __init__(self, outputs: Sequence[Any]) -> None:
        self.file, self._outputs = LiteRTFile(), outputs
        self._steps = [_step(layer, output) for layer, inputs, output in topological_order(outputs[0]) if inputs]
        self._followers = defaultdict[int, list[LayerStep]](list)
        for step in self._steps:
            for operand in step.operands:
                self._followers[id(operand)].append(step)
        self._numbers = dict[int, int]()  # of tensors of Keras in the file
        self.padded = set[int]()  # tensors of Keras with zeros around them that are not written

    def write(self, source: Any, pixels: bool, writers: Mapping[str, "LayerWriter"]) -> bytes:
        """Write all steps.

        Args:
            source: the input of the network
            pixels: it is uint8
            writers: by the class of a layer
        """
        number = self.file.tensor("input", fixed_shape(source), "uint8" if pixels else "float32")
        self.file.inputs = [number]
        if pixels:
            types = {"inDataType": "uint8", "outDataType": "float32"}
            number = self.file.operator("Cast", [number], fixed_shape(source), **types)
        self._numbers[id(source)] = number
        for step in self._steps:
            if id(step.output) in self._numbers:
                continue
            kind = type(step.layer).__name__
            if kind not in writers or not type(step.layer).__module__.startswith("keras."):
                raise UnsupportedLayerError(f"{step.layer.name} ({kind})")
            before = step.output
            number = writers[kind](self, step)
            self._numbers[id(before)] = self._numbers[id(step.output)] = number
        self.file.outputs = [self._numbers[id(output)] for output in self._outputs]
        return self.file.to_bytes()

    def number(self, operand: Any) -> int:
        """Give the number of a tensor of Keras, or of a constant, in the file."""
        if id(operand) in self._numbers:
            return self._numbers[id(operand)]
        if hasattr(operand, "_keras_history"):
            raise UnsupportedLayerError(f"a second output of {operand._keras_history[0].name}")
        return self.file.constant(np.asarray(operand, np.float32))

    def add(self, kind: str, step: LayerStep, *constants: np.ndarray, **options: Any) -> int:
        """Add an operator on the first operand of a step, and constants."""
        sources = [self.number(step.operands[0]), *map(self.file.constant, constants)]
        return self.file.operator(kind, sources, step.shape, **options)

    def next_step(self, step: LayerStep, *kinds: str) -> LayerStep | None:
        """Give the step after one, if it is of these kinds, and nothing else needs what comes between them."""
        followers = self._followers[id(step.output)]
        is_needed = any(step.output is output for output in self._outputs)
        if len(followers) != 1 or is_needed or type(followers[0].layer).__name__ not in kinds:
            return None
        return followers[0]

    def take(self, step: LayerStep, after: LayerStep) -> None:
        """Take the step after one into it."""
        self._numbers[id(step.output)] = -1  # nothing reads it
        step.output = after.output

    def take_activation(self, step: LayerStep) -> str:
        """Take the activation after a step into it, and give its name in the schema; "NONE" where there is none."""
        after = self.next_step(step, "ReLU", "Activation")
        name = name_activation(after.layer) if after else ""
        if not after or name not in FUSED:
            return "NONE"
        self.take(step, after)
        return FUSED[name]


def _step(layer: Any, output: Any) -> LayerStep:
    node = layer._inbound_nodes[output._keras_history.node_index]
    arguments = node.arguments.args or tuple(node.arguments.kwargs.get(name) for name in ("x1", "x2"))
    operands: list[Any] = []
    for item in arguments:
        operands += item if isinstance(item, list | tuple) else [item]
    return LayerStep(layer, [item for item in operands if item is not None], output)


def fixed_shape(tensor: Any) -> tuple[int, ...]:
    """Give the shape of a tensor for one image; UnsupportedLayerError where it is not fixed"""
    shape = (1, *tensor.shape[1:])
    if None in shape:
        raise UnsupportedLayerError("a shape that is not fixed")
    return tuple(int(length) for length in shape)


def name_activation(layer: Any) -> str:
    """Name the activation of a layer; "" of a layer that has none."""
    if type(layer).__name__ == "ReLU":
        limit = layer.max_value
        require_option(layer, limit in (None, 6) and not layer.negative_slope and not layer.threshold)
        return "relu" if limit is None else "relu6"
    activation = getattr(layer, "activation", None)
    if activation is None:
        return ""
    require_option(layer, str(getattr(activation, "__module__", "")).startswith("keras."))
    return str(getattr(activation, "__name__", type(activation).__name__))


def require_option(layer: Any, holds: bool) -> None:
    """Check that the options of a layer are among those that can be written; UnsupportedLayerError if not"""
    if not holds:
        raise UnsupportedLayerError(f"{layer.name} ({type(layer).__name__}) with its options")


LayerWriter = Callable[[GraphWriter, LayerStep], int]
