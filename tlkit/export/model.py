"""The network that is exported: pixels to calibrated probabilities."""

from typing import Any

from tlkit.classic.pipeline import open_pipeline
from tlkit.errors import OptionError, RunError
from tlkit.export.base import ClassicSource
from tlkit.models.backbones import find_backbone
from tlkit.models.graph import topological_order
from tlkit.models.keras_setup import start_keras
from tlkit.models.sources import PretrainedBackbone
from tlkit.runs.manifest import CLASSIC_MODEL
from tlkit.runs.run import Run
from tlkit.runs.trust import load_run_network, require_trust


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


def export_classic(run: Run, trust_model: bool = False) -> tuple[ClassicSource, Any]:
    """Open the classic classifier of a run, and the network whose features it takes.

    The network is built again from its name and its weights, since the run has it in converted form only.

    Args:
        trust_model: whether weights may be read from a file that the run names, even if this machine did not make it

    Raises:
        RunError: if it is damaged
        ModelError: if the weights of the network are not there
    """
    file, manifest = run.checked_file(CLASSIC_MODEL), run.manifest
    try:
        source = ClassicSource(open_pipeline(file), manifest.image.size, manifest.temperature)
    except (ValueError, OSError) as error:
        raise RunError(f"'{file}' is damaged ({error}); restore it or train again.") from None
    return source, None if source.pipeline.descriptors else _feature_network(run, trust_model)


def _feature_network(run: Run, trust_model: bool) -> Any:
    settings = run.read_settings()
    weights = str(settings.get("weights", "imagenet"))
    if weights not in ("imagenet", "none"):
        require_trust(run, trust_model)
    try:
        row, seed = find_backbone(str(settings["features"])), int(settings.get("seed", 0))
    except (KeyError, ValueError, OptionError):
        raise RunError(f"'{run.path}' does not say which network its features are from; train again.") from None
    return PretrainedBackbone(row, weights, run.manifest.image.size, seed).build()


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
