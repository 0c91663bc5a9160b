"""Pillow's resizing as nodes of an ONNX graph: of squares to the last bit, of images of any size nearly so.

Pillow reduces by a whole factor, then passes a triangle over rows and over columns. It computes in whole numbers and
rounds to bytes after each step. Doubles hold these numbers exactly.
"""

import numpy as np
import onnx
from onnx import helper

from tlkit.data.image import PADDING, ImageSpec
from tlkit.export.base import PIXELS, PROBABILITIES
from tlkit.export.onnx.graph import OnnxGraph

BITS = 22  # of Pillow's coefficients after the point
REDUCE_BITS = 24  # of its factor for the average of a block
REDUCING_GAP = 2.0  # see `classic.descriptors.resize_square`
SCOPE, SQUARE = "resize", "resize/square"  # of the nodes that resize an image of any size; their output
TO_CHANNELS_FIRST, TO_CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)


def resize_images(graph: OnnxGraph, images: str, size: int, new_size: int) -> str:
    """Resize square images with antialiasing, as `resize_square` does.

    Args:
        images: float32 (batch, size, size, 3), whole numbers from 0 to 255
    """
    if size == new_size:
        return images
    op, values = graph.op, graph.op("Transpose", graph.double(images), perm=TO_CHANNELS_FIRST)
    factor = int(size / new_size / REDUCING_GAP) or 1
    if factor > 1:
        blocks, counts = block_sums(size, factor)
        sums = op("MatMul", op("MatMul", graph.double(blocks), values), graph.double(blocks.T))
        multiplier = 2 ** (32 - 8) // counts * 1.0
        scaled = op("Mul", op("Add", sums, graph.double(counts // 2 * 1.0)), graph.double(multiplier))
        values = op("Floor", op("Div", scaled, graph.double(2.0**REDUCE_BITS)))
    weights = triangle_weights(-(-size // factor), size / factor, new_size)
    values = _round(graph, op("MatMul", values, graph.double(weights.T)))
    values = _round(graph, op("MatMul", graph.double(weights), values))
    return graph.single(op("Transpose", values, perm=TO_CHANNELS_LAST))


def _round(graph: OnnxGraph, sums: str) -> str:
    """Round weighted sums to whole numbers."""
    scaled = graph.op("Div", graph.op("Add", sums, graph.double(2.0 ** (BITS - 1))), graph.double(2.0**BITS))
    return graph.op("Floor", scaled)


def block_sums(size: int, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """Give the matrix that sums pixels to blocks, and the number of pixels of each block; the last may be smaller.

    Returns:
        float64 (blocks, size), and int (blocks, blocks)
    """
    owner = np.arange(size) // factor
    matrix = (owner == np.arange(owner[-1] + 1)[:, None]).astype(np.float64)
    lengths = matrix.sum(axis=1).astype(np.int64)
    return matrix, np.outer(lengths, lengths)


def triangle_weights(size: int, length: float, new_size: int) -> np.ndarray:
    """Give the weight of each pixel of a side in each new pixel, in units of Pillow: float64 (new_size, size).

    Args:
        size: pixels of the side
        length: of what they show, in pixels; less than `size` where the last is the average of a smaller block
    """
    scale = float(np.float32(length)) / new_size  # Pillow keeps the box as float32
    width = max(scale, 1.0)
    rows = np.zeros((new_size, size))
    for row in range(new_size):
        center = (row + 0.5) * scale
        first, end = max(int(center - width + 0.5), 0), min(int(center + width + 0.5), size)
        weights = np.maximum(0, 1 - np.abs((np.arange(first, end) - center + 0.5) / width))
        rows[row, first:end] = np.floor(0.5 + weights / weights.sum() * 2**BITS)
    return rows


# images of any size


def with_resize(content: bytes, spec: ImageSpec) -> bytes:
    """Put resizing before a file's network; its input becomes uint8 (1, height, width, 3).

    Args:
        content: a file that takes uint8 (batch, size, size, 3)
        spec: how an image becomes square
    """
    model, graph = onnx.load_from_string(content), OnnxGraph(SCOPE)
    inner = model.graph
    _write_square(graph, spec)
    own = {tensor.name: f"{SCOPE}/{tensor.name}" for tensor in graph.constants}  # the network has such names, too
    for node in graph.nodes:
        node.input[:] = [own.get(name, name) for name in node.input]
    for tensor in graph.constants:
        tensor.name = own[tensor.name]
    for node in inner.node:
        node.input[:] = [SQUARE if name == PIXELS else name for name in node.input]
    classes = inner.output[0].type.tensor_type.shape.dim[1].dim_value
    joined = helper.make_graph(
        [*graph.nodes, *inner.node],
        inner.name,
        [helper.make_tensor_value_info(PIXELS, onnx.TensorProto.UINT8, [1, "height", "width", 3])],
        [helper.make_tensor_value_info(PROBABILITIES, onnx.TensorProto.FLOAT, [1, classes])],
        [*graph.constants, *inner.initializer],
    )
    model.graph.CopyFrom(joined)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _write_square(graph: OnnxGraph, spec: ImageSpec) -> None:
    """Add columns, then rows, each a weighted sum that is rounded to whole numbers as Pillow rounds."""
    op, shape = graph.op, graph.op("Shape", PIXELS)
    height, width = (graph.single(op("Gather", shape, graph.integers([axis]))) for axis in (1, 2))
    rows, is_row = _weights(graph, height, width, spec)
    columns, is_column = _weights(graph, width, height, spec)
    image = op("Transpose", graph.single(PIXELS), perm=TO_CHANNELS_FIRST)
    image = op("Floor", op("Add", op("MatMul", image, op("Transpose", columns)), 0.5))
    image = op("Floor", op("Add", op("MatMul", rows, image), 0.5))
    if spec.resize == "pad":
        inside = op("And", is_row, op("Transpose", is_column))
        image = op("Where", inside, image, float(PADDING[0]))
    square = op("Cast", op("Transpose", image, perm=TO_CHANNELS_LAST), to=onnx.TensorProto.UINT8)
    graph.nodes.append(helper.make_node("Identity", [square], [SQUARE], SQUARE))


def _weights(graph: OnnxGraph, side: str, other: str, spec: ImageSpec) -> tuple[str, str]:
    """Add the weight of each pixel of a side in each pixel of the square, as `saved_model.resize_weights` does.

    Returns:
        float32 (size, side), and whether a pixel of the square shows the image: (size, 1)
    """
    op, size = graph.op, float(spec.size)
    start: str | float = 0.0
    length, count = side, graph.constant(np.array([size], np.float32))
    if spec.resize == "crop":
        length = op("Min", side, other)
        start = op("Div", op("Sub", side, length), 2.0)
    if spec.resize == "pad":
        count = op("Max", op("Round", op("Div", op("Mul", side, size), op("Max", side, other))), 1.0)
    offset = op("Floor", op("Div", op("Sub", count, size), -2.0))
    position = op("Sub", np.arange(spec.size, dtype=np.float32)[:, np.newaxis], offset)
    scale = op("Div", length, count)
    center = op("Add", op("Mul", op("Add", position, 0.5), scale), start)
    pixels = op("Add", op("Range", 0.0, op("Squeeze", side), 1.0), 0.5)
    distance = op("Div", op("Abs", op("Sub", pixels, center)), op("Max", scale, 1.0))
    weights = op("Max", op("Sub", 1.0, distance), 0.0)
    total = op("Max", op("ReduceSum", weights, graph.integers([1])), 1e-6)
    shows = op("And", op("GreaterOrEqual", position, 0.0), op("Less", position, count))
    return op("Div", weights, total), shows
