"""The layer whose output is exported, and the network that ends there."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tlkit.errors import OptionError
from tlkit.models.graph import topological_order
from tlkit.models.keras_setup import start_keras
from tlkit.models.sources import PretrainedBackbone
from tlkit.runs.manifest import MODEL
from tlkit.runs.run import Run
from tlkit.runs.trust import check_network, load_run_network

LOGITS = "head_logits"  # the last dense layer of every network of a run


@dataclass(frozen=True)
class LayerOutput:
    """An output of a network, as a network of its own.

    Attributes:
        network: its name, for messages
        load: gives the whole network as a Keras model
        layer: that ends the new one; "" for the features that are classified on
        cut: in cache keys: nothing else distinguishes layers without weights
        identity: what it is made from; None where its weights are still to be downloaded
        source: of a backbone that ends with its features; else None
    """

    network: str
    load: Callable[[], Any]
    layer: str
    cut: str
    identity: tuple[object, ...] | None
    source: PretrainedBackbone | None = None

    def build(self) -> Any:
        """Build a Keras model from pixels to vectors: (batch, values).

        Raises:
            OptionError: if there is no such layer
            ModelError
        """
        keras = start_keras()
        network = self.load()
        output = self._output(network)
        if len(output.shape) == 4:
            output = keras.layers.GlobalAveragePooling2D(name="averaged")(output)
        elif len(output.shape) != 2:
            output = keras.layers.Flatten(name="flat")(output)
        return keras.Model(network.input, output, name="extractor")

    def _output(self, network: Any) -> Any:
        """Find the output of the layer.

        Raises:
            OptionError: with the nearest names
        """
        steps = topological_order(network.output)  # a layer may belong to other networks, too
        if not self.layer:
            inputs_of_logits = [inputs[0] for layer, inputs, _ in steps if layer.name == LOGITS]
            return inputs_of_logits[0] if inputs_of_logits else network.output
        outputs = {layer.name: output for layer, _, output in steps}
        if self.layer in outputs:
            return outputs[self.layer]
        names = list(outputs)
        near = difflib.get_close_matches(self.layer, names, n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(near)}?" if near else f"its last layers are {', '.join(names[-3:])}."
        raise OptionError(f"unknown layer '{self.layer}' of {self.network}; {hint}")


def backbone_layer(source: PretrainedBackbone, layer: str) -> LayerOutput:
    """Find an output of a pretrained backbone."""
    cut = f"layer {layer} of {source.name}" if layer else ""
    return LayerOutput(source.name, source.build, layer, cut, source.identity(cut), None if layer else source)


def run_layer(run: Run, layer: str, trust_model: bool = False) -> LayerOutput:
    """Find an output of the network of a finished run.

    Args:
        trust_model: whether Keras may open it even if this machine did not make it

    Raises:
        RunError: if its classifier is not a network, or may not be opened
    """
    check_network(run, trust_model)
    weights = run.manifest.sha256[MODEL]
    cut = f"layer {layer or 'of the head'} of {weights}"
    return LayerOutput(str(run.path), lambda: load_run_network(run, trust_model), layer, cut, ("run", weights, cut))
