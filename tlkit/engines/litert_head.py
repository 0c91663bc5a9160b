"""The head of a classifier written as a `.tflite` file, without TensorFlow's converter and its import.

A `.tflite` file is a FlatBuffer: tensors, the bytes of the constant ones, and operators in the order in which they run.
Its classes come with LiteRT, which is not installed on every system, so they are imported when a file is written.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

SCHEMA_VERSION, IDENTIFIER = 3, b"TFL3"


def head_to_litert(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Write the head as a network of one row: float32 (1, features) to probabilities (1, classes).

    Args:
        arrays: as `models.head.head_arrays` names them; `grid` is not read
    """
    first = "kernel_1" if "kernel_1" in arrays else "kernel"
    network = _Network()
    features = values = network.tensor("features", (1, arrays[first].shape[0]))
    network.inputs = [features]
    if "scale" in arrays:
        values = network.elementwise("Mul", values, network.constant("scale", arrays["scale"]))
        values = network.elementwise("Add", values, network.constant("offset", arrays["offset"]))
    num_hidden = sum(name.startswith("kernel_") for name in arrays)
    for index in range(1, num_hidden + 1):
        values = network.dense(values, arrays[f"kernel_{index}"], arrays[f"bias_{index}"], is_relu=True)
    logits = network.dense(values, arrays["kernel"], arrays["bias"])
    if "linear" in arrays:
        linear = network.dense(features, arrays["linear"], np.zeros_like(arrays["bias"]))
        logits = network.elementwise("Add", logits, linear)
    network.outputs = [network.softmax(logits)]
    return network.to_bytes()


class _Network:
    """A network that grows operator by operator; tensors go by their numbers."""

    def __init__(self) -> None:
        self._schema: Any = import_module("ai_edge_litert.schema_py_generated")
        self._graph, self._model = self._schema.SubGraphT(), self._schema.ModelT()
        self._graph.tensors, self._graph.operators = [], []
        self._model.operatorCodes, self._model.buffers = (
            [],
            [self._schema.BufferT()],
        )  # the first is that of no constant
        self._shapes: list[tuple[int, ...]] = []
        self.inputs: list[int] = []
        self.outputs: list[int] = []

    def tensor(self, name: str, shape: tuple[int, ...], buffer: int = 0) -> int:
        """Add a float32 tensor."""
        added = self._schema.TensorT()
        added.name, added.shape, added.buffer = name.encode(), list(shape), buffer
        added.type = self._schema.TensorType.FLOAT32
        self._graph.tensors.append(added)
        self._shapes.append(shape)
        return len(self._shapes) - 1

    def constant(self, name: str, values: np.ndarray) -> int:
        """Add a constant."""
        buffer = self._schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values, "<f4").tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        return self.tensor(name, values.shape, len(self._model.buffers) - 1)

    def elementwise(self, kind: str, one: int, other: int) -> int:
        """Multiply ("Mul") or add ("Add") two tensors; the second may be a row."""
        return self._operator(kind, [one, other], self._shapes[one])

    def dense(self, values: int, kernel: np.ndarray, bias: np.ndarray, is_relu: bool = False) -> int:
        """Add a dense layer; its kernel is (inputs, units), as in Keras."""
        number = len(self._graph.operators)
        sources = [values, self.constant(f"kernel_{number}", kernel.T), self.constant(f"bias_{number}", bias)]
        output = self._operator("FullyConnected", sources, (1, kernel.shape[1]))
        if is_relu:
            options = self._graph.operators[-1].builtinOptions
            options.fusedActivationFunction = self._schema.ActivationFunctionType.RELU
        return output

    def softmax(self, logits: int) -> int:
        """Turn logits into probabilities."""
        output = self._operator("Softmax", [logits], self._shapes[logits])
        self._graph.operators[-1].builtinOptions.beta = 1.0
        return output

    def _operator(self, kind: str, sources: list[int], shape: tuple[int, ...]) -> int:
        """Add an operator with one output.

        Args:
            kind: as the schema names its options
        """
        added, output = self._schema.OperatorT(), self.tensor(f"value_{len(self._shapes)}", shape)
        added.opcodeIndex, added.inputs, added.outputs = self._code(kind), sources, [output]
        added.builtinOptions = getattr(self._schema, f"{kind}OptionsT")()
        added.builtinOptionsType = getattr(self._schema.BuiltinOptions, f"{kind}Options")
        self._graph.operators.append(added)
        return output

    def _code(self, kind: str) -> int:
        """Find the number of a kind of operator in the file, or add it."""
        name = "FULLY_CONNECTED" if kind == "FullyConnected" else kind.upper()
        code = getattr(self._schema.BuiltinOperator, name)
        codes = [known.builtinCode for known in self._model.operatorCodes]
        if code not in codes:
            added = self._schema.OperatorCodeT()
            added.builtinCode = added.deprecatedBuiltinCode = code
            added.version = 1
            self._model.operatorCodes.append(added)
            return len(codes)
        return codes.index(code)

    def to_bytes(self) -> bytes:
        """Give the file's content."""
        self._graph.inputs, self._graph.outputs, self._graph.name = self.inputs, self.outputs, b"head"
        self._model.version, self._model.subgraphs, self._model.description = SCHEMA_VERSION, [self._graph], b"head"
        builder = import_module("flatbuffers").Builder(1 << 20)
        builder.Finish(self._model.Pack(builder), IDENTIFIER)
        return bytes(builder.Output())
