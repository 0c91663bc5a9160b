"""The places of a feature map's positions in the image.

A heat map that is stretched evenly over the image is off by up to half a position: convolutions with a stride and
padding on one side, as in MobileNet and EfficientNet, look to the right of it and below, those of ResNet to the left
and above (docs/decisions/031).
"""

from dataclasses import dataclass
from typing import Any

from tlkit.models.graph import topological_order


@dataclass(frozen=True)
class MapGrid:
    """Centers of the receptive fields of a feature map's positions, the same in both directions.

    Attributes:
        start: of the first position, in pixels of the network's input; 0 is the center of the first pixel
        step: from one position to the next, in pixels
    """

    start: float
    step: float

    @staticmethod
    def even(size: int, positions: int) -> "MapGrid":
        """Spread positions evenly over an image.

        >>> MapGrid.even(224, 7)
        MapGrid(start=15.5, step=32.0)
        """
        return MapGrid(size / positions / 2 - 0.5, size / positions)


def find_grid(network: Any, tensor: Any) -> MapGrid:
    """Follow strides and paddings from the pixels to a feature map.

    Where branches meet, the one with the most steps down counts, and of equals their mean.

    Args:
        network: a Keras model of pixels
        tensor: a feature map in it, (batch, height, width, channels)
    """
    grids = dict[int, MapGrid]()
    for layer, inputs, output in topological_order(tensor):
        sources = [grids[id(value)] for value in inputs if id(value) in grids]
        if output is network.input:
            grids[id(output)] = MapGrid(0.0, 1.0)
        elif sources and len(output.shape) == 4 and not _is_whole_image(layer):
            grids[id(output)] = _after(layer, _mean(sources), inputs[0].shape[1])
    return grids.get(id(tensor)) or MapGrid.even(int(network.input.shape[1]), int(tensor.shape[1]))


def _is_whole_image(layer: Any) -> bool:
    """Tell whether a layer gives one value of the whole image, as squeeze and excitation has it."""
    return type(layer).__name__.startswith("Global")


def _mean(grids: list[MapGrid]) -> MapGrid:
    step = max(grid.step for grid in grids)
    starts = [grid.start for grid in grids if grid.step == step]
    return MapGrid(sum(starts) / len(starts), step)


def _after(layer: Any, before: MapGrid, height: int) -> MapGrid:
    """Give the grid of a layer's output from that of its input.

    Args:
        height: of the input, in positions
    """
    kind = type(layer).__name__
    if kind == "ZeroPadding2D":
        return MapGrid(before.start - layer.padding[0][0] * before.step, before.step)
    if kind == "Cropping2D":
        return MapGrid(before.start + layer.cropping[0][0] * before.step, before.step)
    size = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    if not size or len(size) != 2:
        return before
    kernel = (size[0] - 1) * getattr(layer, "dilation_rate", (1, 1))[0] + 1
    stride = (layer.strides or size)[0]
    missing = max(0, (-(-height // stride) - 1) * stride + kernel - height) if layer.padding == "same" else 0
    return MapGrid(before.start + before.step * ((kernel - 1) / 2 - missing // 2), before.step * stride)
