"""Cut points of a network, which divide it into an extractor to freeze and a top to train."""

import difflib
import math
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import keras

from tlkit.errors import OptionError
from tlkit.models.graph import multiply_adds, topological_order

MAX_SIZE_RATIO = 1.5  # of the tensor that `--cut auto` takes to the smallest of its resolution
MAX_WORK_RATIO = 1.25  # of the multiply-adds above it to those above the last such tensor
MIN_TRAINABLE = 0.25  # fraction of the parameters that `--cut auto` leaves to train


@dataclass(frozen=True)
class Cut:
    """A tensor that alone separates a network's input from its output.

    Attributes:
        index: position among the network's cut points, from the input up; the same in every process
        name: layer that computes it; some names change from build to build, so nothing is stored under them
        shape: without the batch
    """

    index: int
    name: str
    shape: tuple[int, ...]
    tensor: Any


def cut_points(model: keras.Model) -> list[Cut]:
    """List every tensor through which all of the network's computation passes, from the input up.

    Walks the graph in the order of computation and counts the tensors that later layers still
    need: where that is one, the network can be cut.
    """
    steps = topological_order(model.output)
    last_use = {id(tensor): step for step, (_, inputs, _) in enumerate(steps) for tensor in inputs}
    cuts: list[Cut] = []
    alive: set[int] = set()  # tensors that later layers still need
    for step, (layer, _, output) in enumerate(steps):
        alive = {tensor for tensor in alive if last_use[tensor] > step}
        alive.add(id(output))
        if len(alive) == 1:
            cuts.append(Cut(len(cuts), layer.name, tuple(output.shape[1:]), output))
        last_use.setdefault(id(output), step)
    return cuts


def choose_cut(body: keras.Model, cuts: list[Cut], wanted: str) -> Cut:
    """Find the cut point that `--cut` means.

    Args:
        cuts: of a network that begins with `body`
        wanted: "auto", the name of a cut point, or the fraction of the layers to freeze, such as "0.8"

    Raises:
        OptionError
    """
    inner = [cut for cut in cuts if len(cut.shape) == 3]
    if wanted == "auto":
        return _before_last_stage(body, inner)
    if named := [cut for cut in inner if cut.name == wanted]:
        return named[0]
    fraction = _parse_fraction(wanted, body, inner)
    positions = {layer.name: position for position, layer in enumerate(body.layers)}
    return min(inner, key=lambda cut: abs(positions[cut.name] / len(body.layers) - fraction))


def trainable_fraction(body: keras.Model, cut: Cut) -> float:
    """Compute the fraction of a backbone's parameters above a cut point, from 0 to 1."""
    fraction: float = 1.0 - parameters_below(body, cut) / max(1, body.count_params())
    return fraction


def parameters_below(body: keras.Model, cut: Cut) -> int:
    """Count the parameters of a backbone from its input to a cut point."""
    layers = {layer.name: layer for layer, _, _ in topological_order(cut.tensor)}  # a shared layer counts once
    return sum(layer.count_params() for layer in layers.values())


def _before_last_stage(body: keras.Model, cuts: list[Cut]) -> Cut:
    """Find a small tensor of twice the last map's resolution with enough parameters above it.

    It is the last one, or an earlier one above which there is little more to compute. MobileNetV2: after block 6;
    ResNet50: after conv4; VGG16: after block5_conv1. A small tensor takes little space in the cache, and a cut a few
    blocks earlier is worth the longer epochs (docs/decisions/009 and 047).
    """
    height = _last_height(body, cuts)
    finer = [
        cut
        for cut in cuts
        if height < cut.shape[0] <= 2 * height + 1 and trainable_fraction(body, cut) >= MIN_TRAINABLE
    ]
    if not finer:
        raise OptionError(f"{body.name} has no cut point before its last blocks; use --freeze all or none.")
    min_values = min(math.prod(cut.shape) for cut in finer)
    small = [cut for cut in finer if math.prod(cut.shape) < MAX_SIZE_RATIO * min_values]
    work = multiply_adds_above(body, small)
    allowed_work = max(count for count in work if count <= MAX_WORK_RATIO * work[-1])
    return [cut for cut, count in zip(small, work, strict=True) if count == allowed_work][-1]


def multiply_adds_above(body: keras.Model, cuts: Sequence[Cut]) -> list[int]:
    """Count the multiply-adds for one image in a backbone's layers above each of some cut points."""
    steps = topological_order(body.output)
    counts = [multiply_adds(layer, output) for layer, _, output in steps]
    position = {id(output): step for step, (_, _, output) in enumerate(steps)}
    return [sum(counts[position[id(cut.tensor)] + 1 :]) for cut in cuts]


def _last_height(body: keras.Model, cuts: list[Cut]) -> int:
    """Find the height of the last feature map: of the one that is averaged, or else of the last cut."""
    pooled = [layer.input.shape[1] for layer in body.layers if layer.name == "pooled"]
    heights = pooled or [cut.shape[0] for cut in cuts[-1:]]
    return int(heights[0]) if heights else 0


def _parse_fraction(wanted: str, body: keras.Model, cuts: list[Cut]) -> float:
    with suppress(ValueError):
        if 0 < (fraction := float(wanted)) < 1:
            return fraction
    near = difflib.get_close_matches(wanted, [cut.name for cut in cuts], n=1)
    raise OptionError(
        f"--cut is '{wanted}'; expected auto, a fraction of the layers between 0 and 1, or a cut point of {body.name}"
        + (f", e.g. '{near[0]}'" if near else "")
        + f"; `tlkit models {body.name} --cuts` lists all."
    )


def split_at(model: keras.Model, tensor: Any) -> tuple[keras.Model, keras.Model]:
    """Split a network at a cut point's tensor into extractor and top, which share its variables.

    `top(extractor(pixels))` equals `model(pixels)`.
    """
    return keras.Model(model.input, tensor, name="extractor"), keras.Model(tensor, model.output, name="top")


def freeze(model: keras.Model, extractor_layers: Collection[Any], keep: Collection[str] = ()) -> None:
    """Freeze the layers of an extractor and those named in `keep`; make all others trainable.

    Every layer is set by itself: setting a whole model can silently do nothing (Keras 3.15).
    """
    frozen = {id(layer) for layer in extractor_layers}
    for layer in model.layers:
        layer.trainable = id(layer) not in frozen and layer.name not in (*keep, "preprocessing")


def batch_norm_names(body: keras.Model) -> set[str]:
    """Name a backbone's batch norms, which are frozen one by one: nothing else keeps their statistics."""
    return {layer.name for layer in body.layers if isinstance(layer, keras.layers.BatchNormalization)}
