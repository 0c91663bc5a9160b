"""The network that is looked into: where it comes from, its layers, and which of them to show."""

import difflib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.data.image import ImageSpec
from tlkit.errors import ModelError, OptionError
from tlkit.models.architectures.registry import find_trainable
from tlkit.models.backbones import Backbone, check_size, find_backbone
from tlkit.models.graph import topological_order
from tlkit.models.keras_setup import start_keras
from tlkit.models.sources import NetworkSource, PretrainedBackbone, ScratchArchitecture
from tlkit.runs.run import LATEST, Run
from tlkit.runs.trust import load_run_network
from tlkit.utils.storage import is_folder
from tlkit.utils.text import quote_names

STAGE_RATIO = 1.5  # of the heights of two maps that belong to different stages
MAX_HINTS = 3  # names in a message


@dataclass(frozen=True)
class NetworkLayer:
    """A layer in the graph of a network, where it is used.

    Attributes:
        name: its name in Keras
        layer: the Keras layer
        inputs: tensors that it gets
        tensor: its output
    """

    name: str
    layer: Any = field(repr=False)
    inputs: tuple[Any, ...] = field(repr=False)
    tensor: Any = field(repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of its output for one image, (height, width, channels) or (units,)."""
        return tuple(int(length) for length in self.tensor.shape[1:])


@dataclass(frozen=True)
class InspectedNetwork:
    """A network with all its layers.

    Attributes:
        name: for titles and messages
        model: a flat Keras model, pixels 0 to 255 to features or probabilities
        image: the square that it sees
        class_names: in the order of its outputs; () for a network without classes
    """

    name: str
    model: Any = field(repr=False)
    image: ImageSpec
    class_names: tuple[str, ...] = ()

    @property
    def layers(self) -> list[NetworkLayer]:
        """All layers in the order of computation, the input first; one that is used twice is in it once."""
        steps = topological_order(self.model.output)
        found = {layer.name: NetworkLayer(layer.name, layer, tuple(inputs), output) for layer, inputs, output in steps}
        return list(found.values())

    def find_layer(self, name: str) -> NetworkLayer:
        """Find a layer by its name.

        Raises:
            OptionError: with the nearest names
        """
        layers = {layer.name: layer for layer in self.layers}
        if name in layers:
            return layers[name]
        near = quote_names(close_names(name, list(layers)))
        raise OptionError(f"--layer is '{name}', which {self.name} does not have; expected a layer such as {near}.")

    def stages(self) -> list[NetworkLayer]:
        """Choose one layer for each resolution: the last one that computes maps of it, the largest maps first."""
        maps = [layer for layer in self.layers if len(layer.shape) == 3 and not _only_moves(layer)]
        first = next((index for index, layer in enumerate(maps) if sees_patterns(layer)), len(maps))
        chosen: list[NetworkLayer] = []
        for layer in reversed(maps[first:]):
            if not chosen or layer.shape[0] >= STAGE_RATIO * chosen[-1].shape[0]:
                chosen.append(layer)
        return chosen[::-1]

    def logits(self) -> NetworkLayer:
        """Find the values of the classes before the softmax; the network has classes."""
        last = self.layers[-1]
        layers = {id(layer.tensor): layer for layer in self.layers}
        while type(last.layer).__name__ in ("Softmax", "Activation", "Dropout"):
            last = layers[id(last.inputs[0])]
        return last

    def run(self, tensors: list[Any], pixels: np.ndarray) -> list[np.ndarray]:
        """Compute tensors of the network for images, as at inference.

        Args:
            pixels: (images, size, size, 3), RGB, 0 to 255

        Raises:
            ModelError: if they are not finite
        """
        keras = start_keras()
        outputs = keras.Model(self.model.input, tensors)(pixels.astype(np.float32), training=False)
        values = [np.asarray(output) for output in (outputs if isinstance(outputs, list | tuple) else [outputs])]
        if not all(np.isfinite(each).all() for each in values):
            raise ModelError(f"{self.name} computes values that are not finite; its weights are damaged.")
        return values


def close_names(name: str, known: Sequence[str]) -> list[str]:
    """Give the names that are most like a wrong one, or the last ones where none is."""
    return difflib.get_close_matches(name, known, n=MAX_HINTS, cutoff=0.5) or list(known)[-MAX_HINTS:]


def sees_patterns(layer: NetworkLayer) -> bool:
    """Tell whether a layer compares its input with patterns in space; a 1×1 convolution only mixes channels."""
    if kernel_size := getattr(layer.layer, "kernel_size", None):
        return int(max(kernel_size)) > 1
    return type(layer.layer).__name__ == "Dense"


def _only_moves(layer: NetworkLayer) -> bool:
    """Tell whether a layer only moves values: it adds or removes a border, or joins maps that others computed."""
    return type(layer.layer).__name__ in ("ZeroPadding2D", "Cropping2D", "Pad", "GetItem")


def names_run(model: str) -> bool:
    """Tell whether a text means a run and not a network of the registry.

    >>> names_run("runs/finetune-001"), names_run("mobilenet_v2")
    (True, False)
    """
    return is_folder(model) or "/" in model or model == LATEST


def open_run_network(run: Run, trust_model: bool = False) -> InspectedNetwork:
    """Open the network of a finished run.

    Args:
        trust_model: whether Keras may open it even if this machine did not make it

    Raises:
        RunError: if its classifier is not a network, or may not be opened
    """
    model, manifest = load_run_network(run, trust_model), run.manifest
    return InspectedNetwork(str(run.path), _flat(model), manifest.image, manifest.class_names)


def build_named_network(name: str, weights: str = "imagenet", image_size: int = 0, seed: int = 0) -> InspectedNetwork:
    """Build a backbone, or with random weights an architecture of `tlkit train`.

    Args:
        weights: "imagenet", "none" (random, drawn from `seed`) or a file
        image_size: in pixels; 0 for the network's own

    Raises:
        OptionError
        ModelError: if the weights cannot be loaded
    """
    spec = _find_spec(name)
    size = image_size or spec.image_size
    check_size(spec, size)
    source: NetworkSource
    if isinstance(spec, Backbone):
        source = PretrainedBackbone(spec, weights, size, seed)
    elif weights == "none":
        source = ScratchArchitecture(spec, size, seed=seed)
    else:
        raise OptionError(
            f"{spec.name} has no pretrained weights; give a run of `tlkit train DATA --model {spec.name}`, "
            "or add --weights none for random ones."
        )
    words = {"imagenet": "ImageNet weights", "none": "random weights"}.get(weights, f"weights of {Path(weights).name}")
    return InspectedNetwork(f"{spec.name}, {words}", _flat(source.build()), ImageSpec(size))


def _find_spec(name: str) -> Any:
    """Find a backbone or else an architecture; some names mean one of each, and a backbone has weights."""
    with suppress(OptionError):
        return find_backbone(name)
    return find_trainable(name)


def _flat(model: Any) -> Any:
    """Replace networks that are layers of a network by their layers; a network of tlkit has none."""
    keras = start_keras()
    if not any(isinstance(layer, keras.Model) for layer in model.layers):
        return model
    pixels = keras.Input(model.input.shape[1:], name="pixels")
    return keras.Model(pixels, _call_layers(keras, model, pixels), name=model.name)


def _call_layers(keras: Any, model: Any, value: Any) -> Any:
    """Call the layers of a network one by one on another tensor, and give its output."""
    known = {id(model.inputs[0]): value}  # `model.input` is that of its first call
    for layer, inputs, output in topological_order(model.outputs[0]):
        if id(output) in known:
            continue
        _, node, index = output._keras_history
        if isinstance(layer, keras.Model) and len(inputs) == 1:
            known[id(output)] = _call_layers(keras, layer, known[id(inputs[0])])
            continue
        args, options = layer._inbound_nodes[node].arguments.fill_in(known)
        result = layer(*args, **options)
        known[id(output)] = result[index] if isinstance(result, list | tuple) else result
    return known[id(model.outputs[0])]
