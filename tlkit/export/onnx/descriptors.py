"""Handcrafted descriptors as nodes of an ONNX graph: a registry, name to function.

A descriptor is in it if the graph gives what `tlkit/classic/` computes up to the rounding of float32. The others are
not: the colors of a palette, the level of gray of a pixel and the visual word of a patch change with the last bit.
Positions, weights and cells come from the functions of `tlkit/classic/`, applied to indices or to a unit matrix.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from tlkit.classic.descriptors import SIFT_STEPS, append_positions
from tlkit.classic.encoding import pyramid_cells
from tlkit.classic.gradients import (
    HOG_BLOCK,
    HOG_CELL,
    HOG_CLIP,
    HOG_FLAT,
    HOG_ORIENTATIONS,
    SIFT_BINS,
    SIFT_CLIP,
    SIFT_FLAT,
    SIFT_ORIENTATIONS,
    sliding_blocks,
    triangles,
)
from tlkit.classic.pipeline import DescriptorPipeline
from tlkit.errors import ModelError
from tlkit.export.onnx.graph import OnnxGraph
from tlkit.export.onnx.resize import resize_images
from tlkit.utils.color import LUMA

TINY = 1e-12  # what lengths are divided by at least, as in `normalize_blocks`
HISTOGRAM_BINS = 128


@dataclass(frozen=True)
class Image:
    """The square that a descriptor is computed on.

    Attributes:
        name: of float32 (batch, size, size, 3), whole numbers from 0 to 255
        size: in pixels
        levels: of the spatial pyramid
        vocabulary: of a local descriptor, else empty
    """

    name: str
    size: int
    levels: int
    vocabulary: Mapping[str, np.ndarray]


def write_descriptors(graph: OnnxGraph, pixels: str, image_size: int, pipeline: DescriptorPipeline) -> str:
    """Add the descriptors of images, and give the name of float32 (batch, values).

    Args:
        pixels: uint8 (batch, image_size, image_size, 3)

    Raises:
        ModelError: it names the descriptor that cannot be written
    """
    if missing := [name for name in pipeline.descriptors if name not in WRITERS]:
        raise ModelError(
            f"the descriptor {missing[0]} cannot be written as ONNX, because rounding would change its answers; "
            f"train with --descriptor {', '.join(list(WRITERS)[:-1])} or {list(WRITERS)[-1]}, or combine these with +."
        )
    vectors = list[str]()
    for name, size in zip(pipeline.descriptors, pipeline.sizes, strict=True):
        graph.scope = name
        resized = resize_images(graph, graph.single(pixels), image_size, size)
        image = Image(resized, size, pipeline.levels, pipeline.vocabularies.get(name, {}))
        vectors.append(WRITERS[name](graph, image))
    graph.scope = ""
    return graph.op("Concat", *vectors, axis=1) if len(vectors) > 1 else vectors[0]


def _pixels(graph: OnnxGraph, image: Image) -> str:
    return graph.op("Div", graph.op("Flatten", image.name), 255.0)


def _histogram(graph: OnnxGraph, image: Image) -> str:
    """Count hue, saturation and value as Pillow computes them: in float32, hue's fraction in double."""
    op = graph.op
    red, green, blue = graph.add("Split", [op("Transpose", image.name, perm=(3, 0, 1, 2))], outputs=3, axis=0)
    high, low = op("Max", red, green, blue), op("Min", red, green, blue)
    range_, is_gray = op("Sub", high, low), op("Equal", high, low)
    divisor = op("Where", is_gray, 1.0, range_)
    from_red, from_green, from_blue = (op("Div", op("Sub", high, color), divisor) for color in (red, green, blue))

    def between(start: float, plus: str, minus: str) -> str:
        """Compute the hue between two colors, from 0 to 6."""
        shifted = op("Add", graph.double(plus), graph.double(start))
        return graph.single(op("Sub", shifted, graph.double(minus)))

    others = op("Where", op("Equal", green, high), between(2, from_red, from_blue), between(4, from_green, from_red))
    sixths = op("Where", op("Equal", red, high), op("Sub", from_blue, from_green), others)
    turns = op("Add", op("Div", graph.double(sixths), graph.double(6.0)), graph.double(1.0))
    hue = op("Where", is_gray, 0.0, graph.single(op("Sub", turns, op("Floor", turns))))
    saturation = op("Where", is_gray, 0.0, op("Div", range_, op("Max", high, 1.0)))

    def binned(values: str, width: float, factor: float) -> str:
        """Compute the bin of values, rounded down to bytes as Pillow does."""
        byte = op("Floor", op("Mul", graph.double(values), graph.double(255.0)))
        return op("Mul", op("Floor", op("Div", graph.single(byte), width)), factor)

    value_bin = op("Floor", op("Div", high, 64.0))
    index = op("Sum", binned(hue, 32.0, 16.0), binned(saturation, 64.0, 4.0), value_bin)
    flat = op("Reshape", op("Squeeze", index, graph.integers([0])), graph.integers([-1, image.size**2]))
    hits = op(
        "OneHot",
        op("Cast", flat, to=onnx.TensorProto.INT64),
        graph.integers([HISTOGRAM_BINS]),
        graph.constant(np.array([0, 1], np.float32)),
    )
    return op("Sqrt", op("ReduceMean", hits, axes=[1], keepdims=0))


def _hog(graph: OnnxGraph, image: Image) -> str:
    op = graph.op
    cells = _pooled(graph, _orientation_maps(graph, image, HOG_ORIENTATIONS), image.size, HOG_CELL)
    blocks, _ = _blocks(graph, cells, image.size // HOG_CELL, HOG_BLOCK, 1)
    is_flat = _is_flat(graph, blocks, HOG_FLAT * (HOG_BLOCK * HOG_CELL) ** 2)
    clipped = op("Min", _normalized(graph, blocks, "ReduceL2"), HOG_CLIP)
    rooted = op("Sqrt", op("Where", is_flat, 0.0, _normalized(graph, clipped, "ReduceL2")))
    return op("Flatten", rooted)


def _orientation_maps(graph: OnnxGraph, image: Image, number: int) -> str:
    """Split gradients between orientations: (batch, orientations, height, width)."""
    op = graph.op
    gray = op("Div", op("MatMul", image.name, np.array(LUMA)), 255.0)
    gradient = np.asarray(np.gradient(np.eye(image.size), axis=0))
    down, across = op("MatMul", gradient, gray), op("MatMul", gray, gradient.T)
    magnitude = op("Sqrt", op("Add", op("Mul", down, down), op("Mul", across, across)))
    position = op("Mul", _angle(graph, down, across), number / (2 * math.pi))
    position = op("Where", op("Less", position, 0.0), op("Add", position, float(number)), position)
    axis = graph.integers([1])
    distance = op("Abs", op("Sub", op("Unsqueeze", position, axis), np.arange(number).reshape(-1, 1, 1)))
    nearest = op("Min", distance, op("Sub", float(number), distance))
    weight = op("Max", op("Sub", 1.0, nearest), 0.0)
    return op("Mul", weight, op("Unsqueeze", magnitude, axis))


def _angle(graph: OnnxGraph, down: str, across: str) -> str:
    """Compute the angle of gradients, from -π/2 to 3π/2: opset 17 has Atan only."""
    op = graph.op
    is_vertical, is_left = op("Equal", across, 0.0), op("Less", across, 0.0)
    slope = op("Atan", op("Div", down, op("Where", is_vertical, 1.0, across)))
    vertical = op("Mul", op("Sign", down), math.pi / 2)
    turned = op("Where", is_left, op("Add", slope, math.pi), slope)
    return op("Where", is_vertical, vertical, turned)


def _pooled(graph: OnnxGraph, maps: str, size: int, bin_size: int) -> str:
    """Sum orientation maps in the bins of a grid: (batch, bins, orientations), row by row."""
    weights = triangles(size, bin_size)
    sums = graph.op("MatMul", graph.op("MatMul", weights, maps), weights.T)
    rows = graph.op("Transpose", sums, perm=(0, 2, 3, 1))
    return graph.op("Reshape", rows, graph.integers([0, len(weights) ** 2, -1]))


def _blocks(graph: OnnxGraph, bins: str, length: int, side: int, stride: int) -> tuple[str, np.ndarray]:
    """Cut square blocks out of a grid of `length` bins a side: (batch, blocks, values), and their grid."""
    grid = sliding_blocks(np.arange(length**2).reshape(length, length, 1), side, stride)
    gathered = graph.op("Gather", bins, graph.integers(grid.reshape(-1)), axis=1)
    return graph.op("Reshape", gathered, graph.integers([0, grid.shape[0] * grid.shape[1], -1])), grid


def _is_flat(graph: OnnxGraph, blocks: str, limit: float) -> str:
    return graph.op("Less", graph.op("ReduceSum", blocks, graph.integers([-1])), limit)


def _normalized(graph: OnnxGraph, blocks: str, norm: str) -> str:
    return graph.op("Div", blocks, graph.op("Max", graph.op(norm, blocks, axes=[-1]), TINY))


def _sift(graph: OnnxGraph, image: Image) -> tuple[str, np.ndarray]:
    """Compute dense SIFT: (batch, patches, 128), rounded to float16; and the positions of the patches."""
    op, maps = graph.op, _orientation_maps(graph, image, SIFT_ORIENTATIONS)
    patches, positions = list[str](), list[np.ndarray]()
    for bin_size, step in SIFT_STEPS.items():
        bins = _pooled(graph, maps, image.size, bin_size)
        blocks, grid = _blocks(graph, bins, image.size // bin_size, SIFT_BINS, step // bin_size)
        is_flat = _is_flat(graph, blocks, SIFT_FLAT * (SIFT_BINS * bin_size) ** 2)
        clipped = op("Min", _normalized(graph, blocks, "ReduceL2"), SIFT_CLIP)
        patches.append(op("Sqrt", op("Where", is_flat, 0.0, _normalized(graph, clipped, "ReduceL1"))))
        positions.append(append_positions(grid[..., :0]))
    half = op("Cast", op("Concat", *patches, axis=1), to=onnx.TensorProto.FLOAT16)
    return graph.single(half), np.concatenate(positions).astype(np.float16).astype(np.float32)


def _fisher(graph: OnnxGraph, image: Image) -> str:
    op, vocabulary = graph.op, image.vocabulary
    weights, means, variances = (vocabulary[name] for name in ("weights", "means", "variances"))
    patches, positions = _sift(graph, image)
    projected = op("MatMul", op("Sub", patches, vocabulary["mean"]), vocabulary["components"].T)
    squared = op("Mul", projected, projected)
    constants = np.log(weights) - 0.5 * np.sum(np.log(variances) + means**2 / variances, axis=1)
    linear = op("Add", op("MatMul", projected, (means / variances).T), constants)
    responsibilities = op("Softmax", op("Sub", linear, op("MatMul", squared, 0.5 * (1 / variances).T)), axis=-1)
    cells = list[str]()
    for cell in pyramid_cells(positions, image.levels):
        inside = graph.integers(np.flatnonzero(cell))
        rows = [op("Gather", name, inside, axis=1) for name in (responsibilities, projected, squared)]
        vector = op("Div", _gradients(graph, rows, vocabulary), float(len(positions)))
        cells.append(_unit_length(graph, _rooted(graph, vector)))
    return _unit_length(graph, op("Concat", *cells, axis=1))


def _gradients(graph: OnnxGraph, rows: Sequence[str], vocabulary: Mapping[str, np.ndarray]) -> str:
    """Sum the gradients of the log-likelihood over patches, as `classic.encoding` does.

    Args:
        rows: of each patch: its responsibilities, its values, their squares
    """
    op = graph.op
    weights, means, variances = (vocabulary[name] for name in ("weights", "means", "variances"))
    roots, deviations = np.sqrt(weights)[:, None], np.sqrt(variances)
    gamma = op("Transpose", rows[0], perm=(0, 2, 1))
    counts = op("ReduceSum", gamma, graph.integers([-1]))
    first, second = op("MatMul", gamma, rows[1]), op("MatMul", gamma, rows[2])
    by_means = op("Div", op("Sub", first, op("Mul", counts, means)), deviations * roots)
    centered = op("Sub", second, op("Mul", first, 2 * means))
    centered = op("Add", centered, op("Mul", counts, means**2 - variances))
    by_deviations = op("Div", centered, variances * roots * math.sqrt(2))
    return op("Concat", op("Flatten", by_means), op("Flatten", by_deviations), axis=1)


def _rooted(graph: OnnxGraph, vector: str) -> str:
    return graph.op("Mul", graph.op("Sign", vector), graph.op("Sqrt", graph.op("Abs", vector)))


def _unit_length(graph: OnnxGraph, vector: str) -> str:
    length = graph.op("ReduceL2", vector, axes=[-1])
    return graph.op("Div", vector, graph.op("Where", graph.op("Greater", length, 0.0), length, 1.0))


WRITERS: dict[str, Callable[[OnnxGraph, Image], str]] = {
    "pixels": _pixels,
    "histogram": _histogram,
    "hog": _hog,
    "fisher": _fisher,
}
