"""The graph of a Keras model, read without importing Keras."""

from typing import Any


def topological_order(output: Any) -> list[tuple[Any, list[Any], Any]]:
    """List (layer, input tensors, output tensor) of every layer that `output` depends on, inputs before users."""
    steps, done, pending = [], set(), [(output, False)]
    while pending:
        tensor, inputs_done = pending.pop()
        if id(tensor) in done:
            continue
        layer, node, _ = tensor._keras_history
        inputs = layer._inbound_nodes[node].input_tensors
        if not inputs_done:
            pending += [(tensor, True), *((earlier, False) for earlier in reversed(inputs))]
            continue
        done.add(id(tensor))
        steps.append((layer, inputs, tensor))
    return steps
