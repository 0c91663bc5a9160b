"""Where a network can be cut in two: lower layers to freeze, upper layers to train."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import keras


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
    steps = _in_order(model.output)
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


def batch_norms(body: keras.Model) -> set[str]:
    """Names of a backbone's batch norms: frozen one by one, for nothing else keeps their statistics."""
    return {layer.name for layer in body.layers if isinstance(layer, keras.layers.BatchNormalization)}


def _in_order(output: Any) -> list[tuple[Any, list[Any], Any]]:
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
