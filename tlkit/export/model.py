"""The network that is exported: pixels to calibrated probabilities."""

from typing import Any

from tlkit.models.graph import topological_order
from tlkit.models.keras_setup import start_keras
from tlkit.runs.run import Run
from tlkit.runs.trust import load_run_network


def export_model(run: Run, trust_model: bool = False) -> Any:
    """Open the network of a run as one Keras model that answers what `predict` answers.

    Its input is float32 (batch, size, size, 3), RGB, 0 to 255, with any batch; its output float32 (batch, classes),
    the probabilities after the temperature of the run, which is a layer before the softmax.

    Args:
        trust_model: whether Keras may open the network even if this machine did not make it

    Raises:
        RunError: if the run's classifier is not a network, or may not or cannot be opened
    """
    return calibrated(load_run_network(run, trust_model), run.manifest.temperature)


def calibrated(network: Any, temperature: float) -> Any:
    """Put a temperature before the softmax that ends a network; both share their variables.

    Args:
        temperature: divides the logits
    """
    if temperature == 1:
        return network
    keras = start_keras()
    softmax, (logits,), _ = topological_order(network.output)[-1]
    assert type(softmax).__name__ == "Softmax", softmax  # every classifier of tlkit ends with one
    scaled = keras.layers.Rescaling(1 / temperature, name="temperature")(logits)
    return keras.Model(network.input, keras.layers.Softmax(name=softmax.name)(scaled), name=network.name)
