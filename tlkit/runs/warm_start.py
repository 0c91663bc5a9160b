"""A previous run to start from (`--from RUN`): its network, its head, the subsets of its images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.errors import RunError
from tlkit.models.keras_setup import start_keras
from tlkit.runs.manifest import MODEL
from tlkit.runs.run import Run, load_run
from tlkit.runs.trust import check_network, load_run_network

INHERITED = (
    "backbone",
    "image_size",
    "resize",
    "gray_range",
    "dropout",
    "batch_norm",
    "hidden",
)  # what makes the networks alike
CLASS_LAYERS = ("head_logits", "head_linear")  # layers with a column per class


@dataclass(frozen=True)
class PreviousRun:
    """The classifier of a finished run, to be trained further; a `NetworkSource`.

    Attributes:
        trust_model: whether Keras may open it even if this machine did not make it
    """

    run: Run
    trust_model: bool = False

    is_pretrained = has_head = True

    @property
    def is_strangers(self) -> bool:
        """True if this machine did not make it."""
        return not self.run.is_own

    @property
    def name(self) -> str:
        """Its backbone's or architecture's name."""
        return str(self.run.read_json("model.json")["backbone"])

    @property
    def image_size(self) -> int:
        """Height and width of its input, in pixels."""
        return self.run.manifest.image.size

    def inherited(self) -> dict[str, Any]:
        """Give the options that must be the previous run's, by name, and "hflip": None where it says nothing of it.

        Raises:
            RunError: if its classifier is not a network, or does not say how its head is built
        """
        check_network(self.run, self.trust_model)
        content = self.run.read_json("model.json")
        settings = self.run.read_settings()
        try:
            head = content["head"]
            hidden = ",".join(map(str, head["hidden"])) or "0"
            built = {"dropout": head["dropout"], "batch_norm": head["batch_norm"], "hidden": hidden}
            values = settings | built | {"backbone": content["backbone"]}
            return {name: values[name] for name in INHERITED} | {"hflip": settings.get("hflip")}
        except (KeyError, TypeError):
            raise RunError(
                f"the model.json of '{self.run.path}' does not describe its head; train that run again."
            ) from None

    def build(self) -> Any:
        """Build its network up to the head: its own layers with its own weights.

        Raises:
            RunError
        """
        keras = start_keras()
        network = load_run_network(self.run, self.trust_model)
        head_layers = [layer for layer in network.layers if layer.name.startswith("head_")]
        first = min(head_layers, key=network.layers.index)
        return keras.Model(network.input, first.input, name=self.name)

    def identity(self, cut: str = "") -> tuple[object, ...] | None:
        """Give None: its weights are known only once it is built."""
        return None

    def transfer_head(self, classifier: Any, class_names: Sequence[str]) -> None:
        """Give a new head the weights that the previous one learned; columns of new classes start at zero."""
        previous = _load_once(self, self.run.manifest.sha256[MODEL])
        known = self.run.manifest.class_names
        columns = [(new, known.index(name)) for new, name in enumerate(class_names) if name in known]
        for layer in classifier.layers:
            if not layer.name.startswith("head_") or not layer.get_weights():
                continue
            weights = previous.get_layer(layer.name).get_weights()
            if layer.name in CLASS_LAYERS:
                weights = _transfer_columns(layer.get_weights(), weights, columns)
            layer.set_weights(weights)

    def prepare_top(self, top: Any) -> Any:
        """Train it as it is."""
        return top

    def subsets(self) -> Mapping[str, str]:
        """Give the subset in which it had each image, by the digest of its pixels; the image keeps it.

        Raises:
            RunError
        """
        return {row["pixels"]: row["split"] for row in self.run.read_rows("split.csv")}

    def notes(self, class_names: Sequence[str]) -> list[str]:
        """Say which classes are new, and which are no more."""
        known = self.run.manifest.class_names
        new, gone = sorted(set(class_names) - set(known)), sorted(set(known) - set(class_names))
        notes = [f"new classes: {', '.join(new)}."] if new else []
        return notes + ([f"dropped classes (no images in DATA): {', '.join(gone)}."] if gone else [])


def previous_run(path: str | Path, trust_model: bool = False) -> PreviousRun:
    """Load a finished run to start from.

    Args:
        trust_model: whether Keras may open its network even if this machine did not make it

    Raises:
        RunError
    """
    return PreviousRun(load_run(path), trust_model)


@lru_cache(1)
def _load_once(previous: PreviousRun, sha256: str) -> Any:
    """Load the network of a run, whose file has this content, to be read, not trained."""
    return load_run_network(previous.run, previous.trust_model)


def _transfer_columns(
    new: list[np.ndarray], previous: list[np.ndarray], columns: list[tuple[int, int]]
) -> list[np.ndarray]:
    """Copy the columns of known classes to weights whose last axis is the classes."""
    for weights, previous_weights in zip(new, previous, strict=True):
        for column, previous_column in columns:
            weights[..., column] = previous_weights[..., previous_column]
    return new
