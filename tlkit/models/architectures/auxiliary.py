"""Auxiliary classifiers: inner layers that learn to tell the classes apart themselves, while a network is trained."""

from importlib import import_module
from typing import Any

import keras

from tlkit.models.architectures.layers import ArchitectureOptions
from tlkit.models.architectures.registry import Architecture

AUXILIARY_WEIGHT = 0.3  # of each one's loss (Szegedy 2014, section 5)


class ModelWithAuxiliaryLosses(keras.Model):  # type: ignore[misc]
    """A network with auxiliary classifiers, which only training sees.

    in, out: the network's own; while it is trained, the auxiliary classifiers' outputs besides
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Every output in training, else the network's own."""
        outputs = super().call(inputs, training=training, mask=mask)
        return outputs if training else outputs[0]

    def compute_loss(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None, training: bool = True) -> Any:
        """The network's loss and a share of that of every auxiliary classifier."""
        if not training:
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        main, *auxiliary = y_pred
        inner = sum(self.loss(y, output, sample_weight) for output in auxiliary)
        return super().compute_loss(x, y, main, sample_weight, training) + AUXILIARY_WEIGHT * inner

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Of the network's own output."""
        return super().compute_metrics(x, y, y_pred[0] if isinstance(y_pred, list) else y_pred, sample_weight)


def add_auxiliary_outputs(row: Architecture, network: keras.Model, changes: dict[str, Any]) -> keras.Model:
    """The network as its paper trains it; itself, where the paper has no auxiliary classifiers.

    network: pixels to probabilities, whose variables are shared
    changes: as for `build_network`
    """
    if not row.auxiliary:
        return network
    variant, num_classes = ArchitectureOptions(**row.own | changes), network.output.shape[-1]
    build = import_module(f"tlkit.models.architectures.{row.file}").build_auxiliary

    def classify(number: int, layer: str) -> Any:
        values = build(network.get_layer(layer).output, variant, f"auxiliary_{number}")
        return keras.layers.Dense(num_classes, "softmax", name=f"auxiliary_{number}")(values)

    inner = [classify(number, layer) for number, layer in enumerate(row.auxiliary, 1)]
    return ModelWithAuxiliaryLosses(network.input, [network.output, *inner], name="upper")
