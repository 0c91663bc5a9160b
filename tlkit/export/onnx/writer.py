"""Write networks and classic pipelines as ONNX, without TensorFlow (docs/decisions/032).

The registry in `layers.py` has a function for each kind of layer. Here they are called in the order of
computation; models inside a model are part of the same graph, and a batch norm becomes part of the layer before it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tlkit.errors import ModelError
from tlkit.export.base import PIXELS, ClassicSource
from tlkit.export.onnx.classic import count_classes, write_classifier, write_temperature
from tlkit.export.onnx.descriptors import write_descriptors
from tlkit.export.onnx.graph import OnnxGraph, Value
from tlkit.export.onnx.layers import CONVERTERS
from tlkit.export.onnx.windows import LayerCall, can_take_batch_norm
from tlkit.models.graph import batch_norm_shift, topological_order

MODELS = ("Functional", "Sequential")  # classes of networks whose graph can be read


def keras_to_onnx(model: Any, metadata: Mapping[str, str]) -> bytes:
    """Write a classifier as an ONNX file for any number of images at a time.

    in:  `pixels`, uint8 (batch, size, size, 3), RGB
    out: `probabilities`, float32 (batch, classes)

    Args:
        model: a Keras model from such pixels, of any type, to probabilities
        metadata: texts by name, which a runtime can read from the file

    Raises:
        ModelError: it names the layer that cannot be written
    """
    shape = tuple(model.inputs[0].shape[1:])
    if len(model.inputs) != 1 or len(shape) != 3 or None in shape or len(model.outputs) != 1:
        raise ModelError(f"the network takes {shape}; expected one image of a fixed size, and one output.")
    graph = OnnxGraph()
    (probabilities,) = write_network(graph, model, [graph.pixels(shape)])
    return graph.to_bytes(probabilities, shape, metadata)


def classic_to_onnx(classic: ClassicSource, metadata: Mapping[str, str], network: Any = None) -> bytes:
    """Write a classic classifier as such a file.

    Args:
        network: the Keras model whose features it takes, where it has no descriptors

    Raises:
        ModelError: it names the descriptor or the layer that cannot be written
    """
    graph, shape, pipeline = OnnxGraph(), (classic.image_size, classic.image_size, 3), classic.pipeline
    if pipeline.descriptors is not None:
        features = write_descriptors(graph, PIXELS, classic.image_size, pipeline.descriptors)
    else:
        (values,) = write_network(graph, network, [graph.pixels(shape)])
        features = values.name
    probabilities = write_classifier(graph, features, pipeline.classifier)
    calibrated = write_temperature(graph, probabilities, classic.temperature)
    return graph.to_bytes(Value(calibrated, (None, count_classes(pipeline.classifier))), shape, metadata)


def write_network(graph: OnnxGraph, network: Any, inputs: Sequence[Value]) -> list[Value]:
    """Add the layers of a network to a graph, and give its outputs.

    Raises:
        ModelError
    """
    if type(network).__name__ not in MODELS:
        raise LayerCall(network, (), {}, ()).refuse()
    values = {id(tensor): value for tensor, value in zip(network.inputs, inputs, strict=True)}
    steps = [step for output in network.outputs for step in topological_order(output)]
    norms = _foldable_norms(steps, network.outputs)
    for layer, tensors, tensor in steps:
        if id(tensor) in values:
            continue
        if tensors and norms.get(id(tensors[0])) is layer:
            values[id(tensor)] = values[id(tensors[0])]
        else:
            node = layer._inbound_nodes[tensor._keras_history.node_index]
            outputs = _write_call(graph, node, values, norms.get(id(tensor)))
            values |= zip(map(id, node.outputs), outputs, strict=True)
    return [values[id(tensor)] for tensor in network.outputs]


def _foldable_norms(steps: Sequence[tuple[Any, list[Any], Any]], outputs: Sequence[Any]) -> dict[int, Any]:
    """Find the batch norms that can be part of the layer before them, by the id of that layer's output."""
    users = Counter(id(tensor) for _, tensors, _ in steps for tensor in tensors) + Counter(map(id, outputs))
    makers = {id(tensor): layer for layer, tensors, tensor in steps if tensors}
    return {
        id(tensors[0]): layer
        for layer, tensors, _ in steps
        if type(layer).__name__ == "BatchNormalization"
        and users[id(tensors[0])] == 1
        and can_take_batch_norm(makers.get(id(tensors[0])))
    }


def _write_call(graph: OnnxGraph, node: Any, values: Mapping[int, Value], norm: Any) -> list[Value]:
    """Add what one call of a layer computes, with the batch norm after it, where that is not None."""
    layer, kind, scope = node.operation, type(node.operation).__name__, graph.scope
    graph.scope = f"{scope}/{layer.name}".lstrip("/")
    shift = None if norm is None else batch_norm_shift(norm)
    args, kwargs = (_with_values(part, values) for part in (node.arguments.args, node.arguments.kwargs))
    call = LayerCall(layer, args, kwargs, tuple(node.outputs[0].shape), shift)
    if kind in MODELS:
        results = write_network(graph, layer, [values[id(tensor)] for tensor in node.input_tensors])
    elif kind in CONVERTERS and type(layer).__module__.startswith("keras."):
        result = CONVERTERS[kind](graph, call)
        results = result if isinstance(result, list) else [result]
    else:
        raise call.refuse()
    graph.scope = scope
    return results


def _with_values(item: Any, values: Mapping[int, Value]) -> Any:
    """Put values in the place of tensors."""
    if isinstance(item, dict):
        return {name: _with_values(part, values) for name, part in item.items()}
    if isinstance(item, list | tuple):
        return tuple(_with_values(part, values) for part in item)
    return values.get(id(item), item)
