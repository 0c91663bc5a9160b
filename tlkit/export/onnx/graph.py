"""An ONNX graph, built node by node: images have their channels first or last, as each node needs them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tlkit.errors import ModelError
from tlkit.export.base import PIXELS, PROBABILITIES

OPSET = 17  # of ai.onnx: the first with LayerNormalization, and every runtime in use has it
ML_OPSET = 3  # of ai.onnx.ml, which has the trees
IR_VERSION = 8  # the one of that opset
BATCH = "batch"  # name of the axis
MAX_BYTES = (2 << 30) - (16 << 20)  # a protobuf message has less than 2 GiB; the rest is for nodes and names
CHANNELS_FIRST, CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)

Constant = np.ndarray | float | int


@dataclass(frozen=True)
class Value:
    """The output of a node, or an input of the graph.

    Attributes:
        shape: as Keras has it, batch first and channels last; None for what is not known
        is_channels_first: whether the graph has it as (batch, channels, height, width)
    """

    name: str
    shape: tuple[int | None, ...]
    is_channels_first: bool = False

    def axis(self, axis: int) -> int:
        """Give the axis in the graph of an axis of `shape`."""
        axis %= len(self.shape)
        return CHANNELS_FIRST.index(axis) if self.is_channels_first else axis


@dataclass
class OnnxGraph:
    """Nodes and constants, in the order of computation.

    Attributes:
        scope: prefix of the names of new nodes
    """

    scope: str = ""
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    _tensors: dict[bytes, onnx.TensorProto] = field(default_factory=dict)
    _transposed: dict[str, Value] = field(default_factory=dict)
    _bytes: int = 0

    @property
    def constants(self) -> list[onnx.TensorProto]:
        """The constants, each content once."""
        return list(self._tensors.values())

    def pixels(self, shape: tuple[int, ...]) -> Value:
        """Give the input as float32, its channels first: Transpose is faster on bytes than on floats.

        Args:
            shape: of one row
        """
        pixels = self.channels_first(Value(PIXELS, (None, *shape)))
        return self.apply("Cast", pixels, to=onnx.TensorProto.FLOAT)

    def add(self, kind: str, inputs: Sequence[str | Constant], outputs: int = 1, **attributes: Any) -> list[str]:
        """Add a node, and give the names of its outputs.

        Args:
            kind: of the operator
            inputs: names of values, "" for what is left out, or float32 constants
        """
        names = [item if isinstance(item, str) else self.constant(np.asarray(item, np.float32)) for item in inputs]
        name = f"{self.scope}/{kind}_{len(self.nodes)}".lstrip("/")
        results = [name if outputs == 1 else f"{name}_{index}" for index in range(outputs)]
        domain = "ai.onnx.ml" if kind.startswith("Tree") else ""
        self.nodes.append(helper.make_node(kind, names, results, name, domain=domain, **attributes))
        return results

    def op(self, kind: str, *inputs: str | Constant, **attributes: Any) -> str:
        """Add a node with one output, and give its name."""
        return self.add(kind, inputs, **attributes)[0]

    def integers(self, values: Sequence[int] | np.ndarray) -> str:
        """Add a constant of whole numbers, such as axes or a shape."""
        return self.constant(np.asarray(values, np.int64))

    def double(self, value: str | float | np.ndarray) -> str:
        """Give a value in double precision; a float32 constant stays float32 in the file."""
        if isinstance(value, str):
            return self.op("Cast", value, to=onnx.TensorProto.DOUBLE)
        array = np.asarray(value)
        return (
            self.double(self.constant(array)) if array.dtype == np.float32 else self.constant(array.astype(np.float64))
        )

    def single(self, value: str) -> str:
        """Give a value as float32."""
        return self.op("Cast", value, to=onnx.TensorProto.FLOAT)

    def apply(self, kind: str, value: Value, *others: str | Constant, **attributes: Any) -> Value:
        """Add a node that keeps shape and layout of its first input."""
        return replace(value, name=self.add(kind, [value.name, *others], **attributes)[0])

    def constant(self, array: np.ndarray) -> str:
        """Add a constant of the graph, each content once.

        Raises:
            ModelError: if the file would have more than 2 GiB
        """
        array = np.ascontiguousarray(array)
        key = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode() + array.tobytes()).digest()
        if key not in self._tensors:
            self._bytes += array.nbytes
            if self._bytes > MAX_BYTES:
                raise ModelError(
                    "the network has more than 2 GiB of weights, more than an ONNX file can hold; "
                    "export it as saved_model."
                )
            self._tensors[key] = numpy_helper.from_array(array, f"constant_{len(self._tensors)}")
        return str(self._tensors[key].name)

    def channels_first(self, value: Value) -> Value:
        """Give an image with its channels first; any other value as it is."""
        return self._with_layout(value, True)

    def channels_last(self, value: Value) -> Value:
        """Give an image with its channels last; any other value as it is."""
        return self._with_layout(value, False)

    def _with_layout(self, value: Value, is_channels_first: bool) -> Value:
        if len(value.shape) != 4 or value.is_channels_first == is_channels_first:
            return value
        if value.name not in self._transposed:
            permutation = CHANNELS_FIRST if is_channels_first else CHANNELS_LAST
            (name,) = self.add("Transpose", [value.name], perm=permutation)
            self._transposed[value.name] = replace(value, name=name, is_channels_first=is_channels_first)
            self._transposed[name] = value
        return self._transposed[value.name]

    def elementwise(self, kind: str, left: Value | Constant, right: Value | Constant) -> Value:
        """Combine two values, or a value and a constant, element by element; shapes are broadcast."""
        leader = max((item for item in (left, right) if isinstance(item, Value)), key=lambda item: len(item.shape))
        names = [self._broadcast(item, leader) for item in (left, right)]
        shapes = [item.shape if isinstance(item, Value) else np.shape(item) for item in (left, right)]
        (name,) = self.add(kind, names)
        return replace(leader, name=name, shape=broadcast_shapes(*shapes))

    def _broadcast(self, item: Value | Constant, leader: Value) -> str | Constant:
        """Give an operand in the layout of another."""
        if isinstance(item, Value):
            item = self.channels_first(item) if leader.is_channels_first else self.channels_last(item)
            if leader.is_channels_first and len(item.shape) < 4:
                raise ModelError(f"the shapes {item.shape} and {leader.shape} cannot be combined in an ONNX file.")
            return item.name
        if np.ndim(item) and leader.is_channels_first:
            array = np.asarray(item)
            return array.reshape((1,) * (4 - array.ndim) + array.shape).transpose(CHANNELS_FIRST)
        return item

    def scale(self, value: Value, factor: Constant, offset: Constant = 0.0) -> Value:
        """Multiply by a factor and add an offset, numbers or one for each channel."""
        value = self.elementwise("Mul", value, factor) if np.any(np.asarray(factor) != 1) else value
        return self.elementwise("Add", value, offset) if np.any(np.asarray(offset) != 0) else value

    def reshape(self, value: Value, shape: Sequence[int]) -> Value:
        """Change the shape of each row.

        Args:
            shape: without the batch
        """
        value = self.channels_last(value)
        (name,) = self.add("Reshape", [value.name, self.constant(np.array([-1, *shape], np.int64))])
        return Value(name, (None, *shape))

    def to_bytes(self, output: Value, input_shape: Sequence[int], metadata: Mapping[str, str]) -> bytes:
        """Write the file: uint8 `pixels` (batch, …) to float32 `probabilities` (batch, classes).

        Args:
            input_shape: of one row
            metadata: texts by name, which a runtime can read

        Raises:
            ModelError: if what was built is no valid file
        """
        self.nodes.append(helper.make_node("Identity", [output.name], [PROBABILITIES], PROBABILITIES))
        inputs = [helper.make_tensor_value_info(PIXELS, onnx.TensorProto.UINT8, [BATCH, *input_shape])]
        outputs = [helper.make_tensor_value_info(PROBABILITIES, onnx.TensorProto.FLOAT, [BATCH, output.shape[-1]])]
        graph = helper.make_graph(self.nodes, "tlkit", inputs, outputs, self.constants)
        domains = {"": OPSET} | {node.domain: ML_OPSET for node in self.nodes if node.domain}
        opsets = [helper.make_opsetid(domain, version) for domain, version in domains.items()]
        model = helper.make_model(graph, producer_name="tlkit", ir_version=IR_VERSION, opset_imports=opsets)
        helper.set_model_props(model, dict(metadata))
        try:
            onnx.checker.check_model(model, full_check=True)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            raise ModelError(f"the ONNX file is not valid ({error}); report it as a fault of tlkit.") from None
        return bytes(model.SerializeToString())


def broadcast_shapes(*shapes: tuple[int | None, ...]) -> tuple[int | None, ...]:
    """Broadcast shapes whose batch is not known.

    >>> broadcast_shapes((None, 8, 8, 4), (None, 1, 1, 4)), broadcast_shapes((None, 4), ())
    ((None, 8, 8, 4), (None, 4))
    """
    known = np.broadcast_shapes(*(tuple(1 if size is None else size for size in shape) for shape in shapes))
    return (None, *known[1:])
