"""A network written as a `.tflite` file, without TensorFlow's converter and its import.

A `.tflite` file is a FlatBuffer: tensors, the bytes of the constant ones, and operators in the order in which they run.
Its classes come with LiteRT, which is not installed on every system, so they are imported when a file is written.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

SCHEMA_VERSION, IDENTIFIER = 3, b"TFL3"
ALIGNMENT = 16  # bytes; the schema asks for it, and the classes of Python forget it
OPERATORS = {  # the kinds that can be added: their names in the schema, and the class of their options
    "Add": ("ADD", "AddOptions"),
    "AveragePool": ("AVERAGE_POOL_2D", "Pool2DOptions"),
    "Cast": ("CAST", "CastOptions"),
    "Concatenate": ("CONCATENATION", "ConcatenationOptions"),
    "Conv": ("CONV_2D", "Conv2DOptions"),
    "DepthwiseConv": ("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions"),
    "FullyConnected": ("FULLY_CONNECTED", "FullyConnectedOptions"),
    "HardSwish": ("HARD_SWISH", "HardSwishOptions"),
    "Logistic": ("LOGISTIC", ""),
    "MaxPool": ("MAX_POOL_2D", "Pool2DOptions"),
    "Mean": ("MEAN", "ReducerOptions"),
    "Mul": ("MUL", "MulOptions"),
    "Pad": ("PAD", "PadOptions"),
    "Relu": ("RELU", ""),
    "Relu6": ("RELU6", ""),
    "Reshape": ("RESHAPE", "ReshapeOptions"),
    "Softmax": ("SOFTMAX", "SoftmaxOptions"),
    "StridedSlice": ("STRIDED_SLICE", "StridedSliceOptions"),
    "Sub": ("SUB", "SubOptions"),
    "Tanh": ("TANH", ""),
}


class LiteRTFile:
    """A network that grows operator by operator; tensors go by their numbers.

    Attributes:
        inputs, outputs: numbers of tensors, to be set before `to_bytes`
    """

    def __init__(self) -> None:
        self._schema: Any = import_module("ai_edge_litert.schema_py_generated")
        self._graph, self._model = self._schema.SubGraphT(), self._schema.ModelT()
        self._graph.tensors, self._graph.operators = [], []
        self._model.operatorCodes, self._model.buffers = [], [self._schema.BufferT()]  # the first is of no constant
        self._shapes: list[tuple[int, ...]] = []
        self.inputs: list[int] = []
        self.outputs: list[int] = []

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Give the shape of a tensor."""
        return self._shapes[tensor]

    def tensor(self, name: str, shape: Sequence[int], dtype: str = "float32", buffer: int = 0) -> int:
        """Add a tensor of float32, int32 or uint8."""
        added = self._schema.TensorT()
        added.name, added.shape, added.buffer = name.encode(), list(shape), buffer
        added.type = self._type(dtype)
        self._graph.tensors.append(added)
        self._shapes.append(tuple(shape))
        return len(self._shapes) - 1

    def constant(self, values: np.ndarray | np.floating[Any]) -> int:
        """Add a constant of float32, or of int32 where the values are whole numbers."""
        values = np.asarray(values)
        dtype = "int32" if values.dtype.kind == "i" else "float32"
        buffer = self._schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values, np.dtype(dtype).newbyteorder("<")).tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        return self.tensor(f"constant_{len(self._shapes)}", values.shape, dtype, len(self._model.buffers) - 1)

    def operator(self, kind: str, sources: Sequence[int], shape: Sequence[int], **options: Any) -> int:
        """Add an operator with one output of float32, and give that.

        Args:
            kind: one of `OPERATORS`
            shape: of its output
            options: by their names in the schema; `activation`, `padding` and types by the names of their values
        """
        code, options_class = OPERATORS[kind]
        added, output = self._schema.OperatorT(), self.tensor(f"{kind}_{len(self._shapes)}", shape)
        added.opcodeIndex, added.inputs, added.outputs = self._code(code), list(sources), [output]
        if options_class:
            added.builtinOptions = getattr(self._schema, f"{options_class}T")()
            added.builtinOptionsType = getattr(self._schema.BuiltinOptions, options_class)
        for name, value in options.items():
            self._set_option(added.builtinOptions, name, value)
        self._graph.operators.append(added)
        return output

    def elementwise(self, kind: str, one: int, other: int, **options: Any) -> int:
        """Add "Add", "Sub" or "Mul" of two tensors, whose shapes are broadcast."""
        return self.operator(kind, [one, other], np.broadcast_shapes(self.shape(one), self.shape(other)), **options)

    def dense(self, values: int, kernel: np.ndarray, bias: np.ndarray, activation: str = "NONE") -> int:
        """Add a dense layer; its kernel is (inputs, units), as in Keras."""
        sources = [values, self.constant(kernel.T), self.constant(bias)]
        return self.operator("FullyConnected", sources, (1, kernel.shape[1]), activation=activation)

    def softmax(self, logits: int) -> int:
        """Turn logits into probabilities."""
        return self.operator("Softmax", [logits], self.shape(logits), beta=1.0)

    def _set_option(self, options: Any, name: str, value: Any) -> None:
        if name == "activation":
            options.fusedActivationFunction = getattr(self._schema.ActivationFunctionType, value)
        elif name == "padding":
            options.padding = getattr(self._schema.Padding, value)
        else:
            setattr(options, name, self._type(value) if name.endswith("DataType") else value)

    def _type(self, dtype: str) -> int:
        return int(getattr(self._schema.TensorType, dtype.upper()))

    def _code(self, name: str) -> int:
        """Find the number of a kind of operator in the file, or add it."""
        code = getattr(self._schema.BuiltinOperator, name)
        codes = [known.builtinCode for known in self._model.operatorCodes]
        if code not in codes:
            added = self._schema.OperatorCodeT()
            added.builtinCode, added.deprecatedBuiltinCode, added.version = code, min(code, 127), 1
            self._model.operatorCodes.append(added)
            return len(codes)
        return codes.index(code)

    def to_bytes(self) -> bytes:
        """Give the file's content."""
        self._graph.inputs, self._graph.outputs, self._graph.name = self.inputs, self.outputs, b"network"
        self._model.version, self._model.subgraphs, self._model.description = SCHEMA_VERSION, [self._graph], b"tlkit"
        size = sum(len(buffer.data) for buffer in self._model.buffers if buffer.data is not None)
        builder = _aligned_builder(size + (1 << 20))
        builder.Finish(self._model.Pack(builder), IDENTIFIER)
        return bytes(builder.Output())


def _aligned_builder(size: int) -> Any:
    """Make what writes the file.

    Args:
        size: bytes that are probably enough
    """

    class AlignedBuilder(import_module("flatbuffers").Builder):  # type: ignore[misc]
        """Starts the bytes of each constant where a processor reads them at once."""

        def CreateNumpyVector(self, values: np.ndarray) -> int:  # noqa: N802 - its name in FlatBuffers
            """Write the bytes of a constant."""
            self.Prep(ALIGNMENT, values.nbytes)
            return int(super().CreateNumpyVector(values))

    return AlignedBuilder(size)
