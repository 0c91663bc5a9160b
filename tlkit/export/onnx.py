"""ONNX: the browser, phones, servers, and every other runtime that reads it."""

from collections.abc import Mapping
from typing import Any

from tlkit.errors import ModelError
from tlkit.export.onnx_graph import OnnxGraph
from tlkit.export.onnx_network import write_network


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
