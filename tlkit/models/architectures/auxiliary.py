"""Auxiliary classifiers on inner layers, which a network has while it is trained."""

from importlib import import_module
from typing import Any

import keras

from tlkit.models.architectures.layers import ArchitectureOptions
from tlkit.models.architectures.registry import Architecture

AUXILIARY_WEIGHT = 0.3  # of each one's loss (Szegedy 2014, section 5)


class ModelWithAuxiliaryLosses(keras.Model):  # type: ignore[misc]
    """A network whose auxiliary classifiers have outputs in training only.

    in:  the network's own input
    out: the network's own output; in training a list of it and those of the auxiliary classifiers
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Give every output in training, else the network's own."""
        outputs = super().call(inputs, training=training, mask=mask)
        return outputs if training else outputs[0]

    def compute_loss(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None, training: bool = True) -> Any:
        """Add to the network's loss a fraction of that of every auxiliary classifier."""
        if not training:
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        main, *auxiliary = y_pred
        inner = sum(self.loss(y, output, sample_weight) for output in auxiliary)
        return super().compute_loss(x, y, main, sample_weight, training) + AUXILIARY_WEIGHT * inner

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Compute the metrics of the network's own output."""
        return super().compute_metrics(x, y, y_pred[0] if isinstance(y_pred, list) else y_pred, sample_weight)


def add_auxiliary_outputs(spec: Architecture, network: keras.Model, changes: dict[str, Any]) -> keras.Model:
    """Add the auxiliary classifiers with which the paper trains the network; give the network itself where it has none.

    Args:
        network: pixels to probabilities, whose variables are shared
        changes: see `build_architecture`
    """
    if not spec.auxiliary:
        return network
    variant, num_classes = ArchitectureOptions(**spec.defaults | changes), network.output.shape[-1]
    build = import_module(f"tlkit.models.architectures.{spec.file}").build_auxiliary

    def classify(number: int, layer: str) -> Any:
        """Attach an auxiliary classifier to a layer."""
        values = build(network.get_layer(layer).output, variant, f"auxiliary_{number}")
        return keras.layers.Dense(num_classes, "softmax", name=f"auxiliary_{number}")(values)

    inner = [classify(number, layer) for number, layer in enumerate(spec.auxiliary, 1)]
    return ModelWithAuxiliaryLosses(network.input, [network.output, *inner], name="top")
