"""Where a network can be cut in two: an extractor to freeze, a top to train."""

import difflib
import math
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import keras

from tlkit.errors import OptionError

SLENDER = 1.5  # times the smallest tensor of its resolution
MIN_TRAINABLE = 0.25  # share of the parameters that `--cut auto` leaves to train


@dataclass(frozen=True)
class Cut:
    """A tensor that alone separates a network's input from its output.

    index   its rank among the network's cut points, from the input up; the same in every process
    name    the layer that makes it; some names change from build to build, so never an address
    shape   without the batch
    """

    index: int
    name: str
    shape: tuple[int, ...]
    tensor: Any


def cut_points(model: keras.Model) -> list[Cut]:
    """Every tensor through which all of the network's computation passes, from the input up.

    Sweeps the graph in the order of computation and keeps count of the tensors that later
    layers still need: where that is one, the network can be cut.
    """
    steps = topological_order(model.output)
    last_use = {id(tensor): step for step, (_, inputs, _) in enumerate(steps) for tensor in inputs}
    cuts: list[Cut] = []
    alive: set[int] = set()
    for step, (layer, _, output) in enumerate(steps):
        alive = {tensor for tensor in alive if last_use[tensor] > step}
        alive.add(id(output))
        if len(alive) == 1:
            cuts.append(Cut(len(cuts), layer.name, tuple(output.shape[1:]), output))
        last_use.setdefault(id(output), step)
    return cuts


def choose_cut(body: keras.Model, cuts: list[Cut], wanted: str) -> Cut:
    """The cut point that `--cut` means.

    wanted: "auto", the name of a cut point, or the share of the layers to freeze, such as "0.8"
    raises: OptionError
    """
    inner = [cut for cut in cuts if len(cut.shape) == 3]
    if wanted == "auto":
        return _before_last_stage(body, inner)
    if named := [cut for cut in inner if cut.name == wanted]:
        return named[0]
    share = _as_share(wanted, body, inner)
    places = {layer.name: place for place, layer in enumerate(body.layers)}
    return min(inner, key=lambda cut: abs(places[cut.name] / len(body.layers) - share))


def share_above(body: keras.Model, cut: Cut) -> float:
    """The share of a body's parameters that lies above a cut point."""
    above: float = 1.0 - parameters_below(body, cut) / max(1, body.count_params())
    return above


def parameters_below(body: keras.Model, cut: Cut) -> int:
    """How many parameters of a body lie below a cut point."""
    return int(keras.Model(body.input, cut.tensor).count_params())


def _before_last_stage(body: keras.Model, cuts: list[Cut]) -> Cut:
    """The last slender tensor twice as fine as the last map, with enough above it to train.

    MobileNetV2: after block 9; ResNet50: after conv4; VGG16: after block5_conv1. A slender tensor
    costs the cache least, and a cut a few blocks lower is worth the longer epochs (decision 009).
    """
    height = _last_height(body, cuts)
    finer = [cut for cut in cuts if height < cut.shape[0] <= 2 * height + 1 and share_above(body, cut) >= MIN_TRAINABLE]
    if not finer:
        raise OptionError(f"{body.name} has no cut point before its last blocks; choose --freeze all or none.")
    least = min(math.prod(cut.shape) for cut in finer)
    return [cut for cut in finer if math.prod(cut.shape) < SLENDER * least][-1]


def _last_height(body: keras.Model, cuts: list[Cut]) -> int:
    """Of the last feature map: what is averaged, or where nothing is, the last map there is."""
    pooled = [layer.input.shape[1] for layer in body.layers if layer.name == "pooled"]
    heights = pooled or [cut.shape[0] for cut in cuts[-1:]]
    return int(heights[0]) if heights else 0


def _as_share(wanted: str, body: keras.Model, cuts: list[Cut]) -> float:
    with suppress(ValueError):
        if 0 < (share := float(wanted)) < 1:
            return share
    near = difflib.get_close_matches(wanted, [cut.name for cut in cuts], n=1)
    raise OptionError(
        f"--cut is '{wanted}'; expected auto, a share of the layers between 0 and 1, or a cut point of {body.name}"
        + (f" such as '{near[0]}'" if near else "")
        + f"; `tlkit models {body.name} --cuts` lists them."
    )


def split_at(model: keras.Model, tensor: Any) -> tuple[keras.Model, keras.Model]:
    """The part of a network below a cut point's tensor and the part above; both share its variables.

    `upper(lower(pixels))` equals `model(pixels)`.
    """
    return keras.Model(model.input, tensor, name="lower"), keras.Model(tensor, model.output, name="upper")


def freeze(model: keras.Model, lower: Collection[Any], keep: Collection[str] = ()) -> None:
    """Make exactly the layers that are not in `lower` trainable, but for those named in `keep`.

    Every leaf is set by itself: setting a whole model can silently do nothing (Keras 3.15).
    """
    frozen = {id(layer) for layer in lower}
    for layer in model.layers:
        layer.trainable = id(layer) not in frozen and layer.name not in (*keep, "preprocessing")


def batch_norm_names(body: keras.Model) -> set[str]:
    """Names of a backbone's batch norms: frozen one by one, for nothing else keeps their statistics."""
    return {layer.name for layer in body.layers if isinstance(layer, keras.layers.BatchNormalization)}


def topological_order(output: Any) -> list[tuple[Any, list[Any], Any]]:
    """(layer, input tensors, output tensor) of every layer below `output`, inputs before users."""
    steps, done, pending = [], set(), [(output, False)]
    while pending:
        tensor, ready = pending.pop()
        if id(tensor) in done:
            continue
        layer, node, _ = tensor._keras_history
        inputs = layer._inbound_nodes[node].input_tensors
        if not ready:
            pending += [(tensor, True), *((value, False) for value in reversed(inputs))]
            continue
        done.add(id(tensor))
        steps.append((layer, inputs, tensor))
    return steps
