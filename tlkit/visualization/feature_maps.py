"""Feature maps: the outputs of the layers of a network for one image."""

import math
from collections.abc import Sequence

import numpy as np

from tlkit.data.image import DecodedImage
from tlkit.errors import DataError, OptionError
from tlkit.inference.inputs import ImageInput, name_input
from tlkit.visualization.network import InspectedNetwork, NetworkLayer
from tlkit.visualization.sheet import LayerTiles, resize_tiles, shape_words

NUM_MAPS = 8  # of each layer
SIDE = 112  # of a tile, about
PERCENTILE = 99.5  # of a map's values, which is as bright as can be: one hot position leaves the others visible
BORDER, MIN_HEIGHT = 0.1, 5  # fraction of the height that does not count; of maps of at least this height
COLORS = "inferno"  # a colormap of matplotlib


def decode_for(network: InspectedNetwork, image: ImageInput) -> tuple[str, np.ndarray]:
    """Read an image as the network sees it: its name, and uint8 (size, size, 3).

    Raises:
        DataError: with the reason why it cannot be read
        OptionError: if it is nothing that can be an image
    """
    given = name_input(image, network.image)
    decoded = given.decode(network.image, identify=False)
    if not isinstance(decoded, DecodedImage):
        raise DataError(f"'{given.name}' cannot be shown ({decoded}); expected an image file.")
    return given.name, decoded.pixels


def compute_maps(network: InspectedNetwork, layers: Sequence[NetworkLayer], pixels: np.ndarray) -> list[np.ndarray]:
    """Compute the output of layers for one image, at inference: for each layer float32 of its shape.

    Args:
        pixels: uint8 (size, size, 3), RGB
    """
    return [values[0] for values in network.run([layer.tensor for layer in layers], pixels[None])]


def show_maps(
    network: InspectedNetwork, pixels: np.ndarray, layer: str = "", unit: int | None = None
) -> list[LayerTiles]:
    """Show the strongest feature maps of an image, layer by layer (Zeiler and Fergus 2014; Yosinski et al. 2015).

    Args:
        pixels: uint8 (size, size, 3), RGB
        layer: also show this one; "" for one layer per resolution
        unit: show this channel of `layer` alone

    Returns:
        The image as the network sees it, then a row of tiles per layer, in the order of computation. A map is strong if
        its values differ much from place to place (standard deviation). Each tile is scaled by itself: dark is its
        smallest value, bright its largest, not counting the border.

    Raises:
        OptionError: for an unknown layer or unit
    """
    chosen = [] if unit is not None else network.stages()
    if layer and layer not in [each.name for each in chosen]:
        order = [each.name for each in network.layers]
        chosen = sorted([*chosen, network.find_layer(layer)], key=lambda each: order.index(each.name))
    first = LayerTiles(
        "", pixels.shape, (), resize_tiles(pixels[None], 2 * SIDE), title="the image as the network sees it"
    )
    if not chosen:
        raise OptionError(f"{network.name} has no layer with feature maps; name one with --layer.")
    values = compute_maps(network, chosen, pixels)
    return [first, *(_show(each, output, unit) for each, output in zip(chosen, values, strict=True))]


def check_unit(layer: NetworkLayer, unit: int) -> None:
    """Check that a layer has a unit.

    Raises:
        OptionError
    """
    if not 0 <= unit < layer.shape[-1]:
        raise OptionError(f"--unit is {unit}; expected 0 to {layer.shape[-1] - 1}: {layer.name} has {layer.shape[-1]}.")


def strongest(values: np.ndarray, count: int = NUM_MAPS) -> np.ndarray:
    """Find the channels whose values differ most from place to place, the strongest first.

    Args:
        values: (height, width, channels)
    """
    order: np.ndarray = np.argsort(-_inside(values).std(axis=(0, 1)), kind="stable")
    return order[:count]


def _inside(maps: np.ndarray) -> np.ndarray:
    """Leave out the border, where a convolution sees zeros beside the image and often responds to these alone."""
    trim = math.ceil(BORDER * len(maps)) if len(maps) >= MIN_HEIGHT else 0
    return maps[trim : len(maps) - trim, trim : maps.shape[1] - trim]


def _show(layer: NetworkLayer, values: np.ndarray, unit: int | None) -> LayerTiles:
    """Color the maps of one layer."""
    title = f"{layer.name}: {shape_words(layer.shape)}"
    if values.ndim != 3:  # a vector, drawn as a square of its values
        if unit is not None:
            raise OptionError(f"--unit has no map: {layer.name} gives one value per unit; leave --unit out.")
        tile = resize_tiles(_colored(_as_square(values)[..., None]), SIDE)
        return LayerTiles(layer.name, layer.shape, (), tile, ("all values",), title)
    if unit is not None:
        check_unit(layer, unit)
    units = np.array([unit]) if unit is not None else strongest(values)
    tiles = resize_tiles(_colored(values[..., units]), 2 * SIDE if unit is not None else SIDE)
    peaks = tuple(float(peak) for peak in values[..., units].max(axis=(0, 1)))
    labels = tuple(f"channel {index}" for index in units)
    return LayerTiles(layer.name, layer.shape, tuple(map(int, units)), tiles, labels, title, peaks)


def _as_square(values: np.ndarray) -> np.ndarray:
    """Lay values out line by line in a square; places that are left over get the smallest."""
    flat = values.ravel()
    side = math.ceil(math.sqrt(len(flat)))
    square = np.full(side * side, flat.min())
    square[: len(flat)] = flat
    return square.reshape(side, side)


def _colored(maps: np.ndarray) -> np.ndarray:
    """Color (height, width, maps), each from its smallest to its largest value: uint8 (maps, height, width, 3)."""
    from matplotlib import colormaps

    inside = _inside(maps)
    low, high = inside.min(axis=(0, 1)), np.percentile(inside, PERCENTILE, axis=(0, 1))
    scaled = np.clip((maps - low) / np.maximum(high - low, 1e-30), 0, 1)
    colored = np.asarray(colormaps[COLORS](np.moveaxis(scaled, -1, 0)))
    return np.round(255 * colored[..., :3]).astype(np.uint8)
