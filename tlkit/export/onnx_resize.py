"""Pillow's resizing as nodes of an ONNX graph, to the last bit.

Pillow reduces by a whole factor, then passes a triangle over rows and over columns. It computes in whole numbers and
rounds to bytes after each step. Doubles hold these numbers exactly.
"""

import numpy as np

from tlkit.export.onnx_graph import OnnxGraph

BITS = 22  # of Pillow's coefficients after the point
REDUCE_BITS = 24  # of its factor for the average of a block
REDUCING_GAP = 2.0  # see `classic.descriptors.resize_square`
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
