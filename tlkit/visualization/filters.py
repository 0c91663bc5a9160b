"""The filters of a network's first layer, and the templates of a linear classifier, as small color images."""

from typing import Any

import numpy as np

from tlkit.classic.pipeline import open_pipeline
from tlkit.errors import OptionError, RunError
from tlkit.runs.manifest import CLASSIC_MODEL
from tlkit.runs.run import Run
from tlkit.visualization.network import InspectedNetwork, NetworkLayer, sees_patterns
from tlkit.visualization.sheet import LayerTiles, resize_tiles

MAX_FILTERS = 256  # on one sheet
MIN_SIDE, MAX_SIDE = 48, 112  # pixels of a tile, about
FULL = 255.0  # a pixel at its brightest


def first_filters(network: InspectedNetwork) -> LayerTiles:
    """Show the weights that the first layer multiplies pixels with, the first step of every answer.

    The first layer is the first that sees patterns of pixels: a convolution larger than 1×1, or a dense layer on all
    pixels, whose filters are templates. Layers below it that only rescale or reorder colors are applied backwards, so
    that a filter has the colors of the photos it responds to (Krizhevsky et al. 2012, figure 3).

    Returns:
        A tile per filter; gray is zero, and the weight of a filter that is farthest from zero is black or white in its
        color

    Raises:
        OptionError: if the network has no such layer
    """
    layer = next((layer for layer in network.layers if sees_patterns(layer)), None)
    if layer is None:
        raise OptionError(f"{network.name} has no layer that sees patterns of pixels; give --layer or --image.")
    filters, shape = effective_filters(network, layer)[:MAX_FILTERS], layer.shape
    of_classes = shape == (len(network.class_names),) and layer.tensor is network.logits().tensor
    labels = network.class_names if of_classes else tuple(map(str, range(len(filters))))
    kind = "templates" if len(shape) == 1 else "filters"
    count = f"{len(filters)} of {shape[-1]:,}" if len(filters) < shape[-1] else f"{shape[-1]:,}"
    title = f"{layer.name}: {count} {kind} of {filters.shape[1]}×{filters.shape[2]} pixels"
    return LayerTiles(layer.name, shape, tuple(range(len(filters))), _as_tiles(filters), labels[:MAX_FILTERS], title)


def class_templates(run: Run) -> LayerTiles:
    """Show the weights of a linear classifier on pixels: a template per class.

    Raises:
        RunError: if the run has another classic classifier, or is damaged
    """
    file = run.checked_file(CLASSIC_MODEL)
    try:
        pipeline = open_pipeline(file)
    except (OSError, ValueError) as error:
        raise RunError(f"'{file}' cannot be read ({error}); restore it or train again.") from None
    descriptors, classifier = pipeline.descriptors, pipeline.classifier
    weights = classifier.arrays.get("weights")
    if weights is None or descriptors is None or descriptors.descriptors != ("pixels",):
        raise RunError(
            f"'{run.path}' contains a classic classifier without filters; expected the run of a network, or "
            "of a linear classifier on pixels. --map works for every run."
        )
    scaler, (side,), names = classifier.scaler, descriptors.sizes, run.manifest.class_names[:MAX_FILTERS]
    weights = weights if scaler.components is None else weights @ scaler.components
    filters = (weights * scaler.factor).reshape(-1, side, side, 3)[:MAX_FILTERS]
    title = f"{classifier.classifier} on pixels: {len(weights):,} templates of {side}×{side} pixels"
    units = tuple(range(len(filters)))
    return LayerTiles(classifier.classifier, (len(weights),), units, _as_tiles(filters), names, title)


def _as_tiles(filters: np.ndarray) -> np.ndarray:
    """Draw filters, each scaled by itself: float (filters, height, width, 3) to uint8 tiles, gray for zero."""
    peaks = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
    tiles = np.round(127.5 + 127.5 * filters / np.maximum(peaks, 1e-30)).astype(np.uint8)
    return resize_tiles(tiles, max(MIN_SIDE, min(MAX_SIDE, 2 * max(filters.shape[1:3]))))


def effective_filters(network: InspectedNetwork, layer: NetworkLayer) -> np.ndarray:
    """Compute the filters of a layer as they act on pixels, float32 (filters, height, width, 3), RGB.

    Args:
        layer: the first that sees patterns
    """
    source, kernel = _source_and_kernel(network, layer)
    colors = _color_response(network, source)
    filters: np.ndarray = np.einsum("rc,hwcf->fhwr", colors, kernel)
    return filters


def _source_and_kernel(network: InspectedNetwork, layer: NetworkLayer) -> tuple[Any, np.ndarray]:
    """Find the image-like tensor that a layer sees, and its weights for it: (height, width, channels, filters)."""
    source, kind = layer.inputs[0], type(layer.layer).__name__
    weights = [np.asarray(weight) for weight in layer.layer.weights]
    if kind == "Dense":
        made_by = {id(each.tensor): each for each in network.layers}
        while len(source.shape) != 4:  # flattened, perhaps dropped
            source = made_by[id(source)].inputs[0]
        return source, weights[0].reshape(*source.shape[1:], -1)
    if kind == "SeparableConv2D":  # filters per channel, then a mixture of these
        depthwise, pointwise = weights[:2]
        height, width, channels, multiplier = depthwise.shape
        mixture = pointwise.reshape(channels, multiplier, -1)
        return source, np.einsum("hwcm,cmf->hwcf", depthwise, mixture)
    if kind == "DepthwiseConv2D":  # every filter sees one channel
        height, width, channels, multiplier = weights[0].shape
        kernel = np.einsum("hwcm,cd->hwdcm", weights[0], np.eye(channels))
        return source, kernel.reshape(height, width, channels, -1)
    return source, weights[0]


def _color_response(network: InspectedNetwork, source: Any) -> np.ndarray:
    """Measure how much each channel of a tensor below the first layer grows with red, green and blue: (3, channels)."""
    size = network.image.size
    pixels = np.zeros((4, size, size, 3), np.float32)
    for color in range(3):
        pixels[color + 1, :, :, color] = FULL
    [values] = network.run([source], pixels)
    middle = values[:, values.shape[1] // 2, values.shape[2] // 2].astype(np.float64)
    response: np.ndarray = middle[1:] - middle[0]
    return response
