"""Sources of networks: a pretrained backbone, or an architecture to train from scratch.

Nothing here imports Keras until a network is built. A previous run is a source, too: `runs/warm_start.py`.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tlkit.models.architectures.registry import Architecture
from tlkit.models.backbones import Backbone, imagenet_file
from tlkit.utils.files import sha256_file


class NetworkSource(Protocol):
    """A network without its head, from pixels to features, that can be built when it is needed."""

    @property
    def name(self) -> str:
        """Its name in the registry."""

    @property
    def image_size(self) -> int:
        """Height and width of its input, in pixels."""

    @property
    def is_pretrained(self) -> bool:
        """True if its weights were trained before."""

    @property
    def has_head(self) -> bool:
        """True if a head learned on it before: that of a previous run."""

    @property
    def is_strangers(self) -> bool:
        """True if it is the network of a run that this machine did not make."""

    def build(self) -> Any:
        """Build a `keras.Model` from pixels, float32 (batch, size, size, 3), to features (batch, values).

        Raises:
            ModelError
            OptionError
        """

    def identity(self, cut: str = "") -> tuple[object, ...] | None:
        """Identify what lies below a cut before it is built, for the cache; None where it is known only once built.

        Args:
            cut: "" for the features a head is trained on
        """

    def transfer_head(self, classifier: Any, class_names: Sequence[str]) -> None:
        """Give a new head the weights that the head of a previous run learned; otherwise leave it as it is."""

    def prepare_top(self, top: Any) -> Any:
        """Give the model to train for the part above the cut, which shares its variables."""

    def subsets(self) -> Mapping[str, str]:
        """Give the subset in which a previous run had each group of equal images."""

    def notes(self, class_names: Sequence[str]) -> list[str]:
        """Say what a person should know of this start."""


class FreshStart:
    """The parts of a `NetworkSource` that concern a previous run, for those without one."""

    is_strangers = has_head = False

    def transfer_head(self, classifier: Any, class_names: Sequence[str]) -> None:
        """Leave the head as it is."""

    def prepare_top(self, top: Any) -> Any:
        """Train it as it is."""
        return top

    def subsets(self) -> Mapping[str, str]:
        """Give no subset: there is no previous run."""
        return {}

    def notes(self, class_names: Sequence[str]) -> list[str]:
        """Give no note."""
        return []


def absolute_weights(weights: str) -> str:
    """Give the name of weights, or the absolute path of their file, so that it is found from every folder."""
    return weights if weights in ("imagenet", "none") else str(Path(weights).absolute())


@dataclass(frozen=True)
class PretrainedBackbone(FreshStart):
    """A backbone of Keras Applications with ImageNet's weights, with those of a file, or with random ones.

    Attributes:
        weights: "imagenet", "none" (random, drawn from `seed`) or a file
    """

    row: Backbone
    weights: str
    image_size: int
    seed: int = 0

    @property
    def name(self) -> str:
        """Its name in the registry."""
        return self.row.name

    @property
    def is_pretrained(self) -> bool:
        """True if its weights were trained before."""
        return self.weights != "none"

    def build(self) -> Any:
        """Build it; see `NetworkSource`."""
        from tlkit.models.keras_setup import start_keras

        start_keras()
        from tlkit.models.build import build_backbone

        return build_backbone(self.row, self.weights, self.image_size, self.seed)

    def identity(self, cut: str = "") -> tuple[object, ...] | None:
        """Identify it by name, size and the hash of its weights file; None where that is still to be downloaded."""
        is_imagenet = self.weights == "imagenet"
        file = imagenet_file(self.row, self.image_size) if is_imagenet else Path(self.weights)
        if not self.is_pretrained:
            weights = f"random {self.seed}"
        elif os.path.isfile(file):  # noqa: PTH113 - Path.is_file raises where a name is too long
            weights = sha256_file(file)
        else:
            return None
        return (self.row.name, self.image_size, is_imagenet, weights, *[cut] * bool(cut))


@dataclass(frozen=True)
class ScratchArchitecture(FreshStart):
    """An architecture of the registry with random weights, drawn from `seed`.

    Attributes:
        changes: what differs from its paper's, by the names of `ArchitectureOptions`
        gray: whether it sees one channel of brightness instead of three colors
    """

    row: Architecture
    image_size: int
    changes: dict[str, Any] = field(default_factory=dict)
    gray: bool = False
    seed: int = 0

    is_pretrained = False

    @property
    def name(self) -> str:
        """Its name in the registry."""
        return self.row.name

    def build(self) -> Any:
        """Build it; see `NetworkSource`."""
        from tlkit.models.keras_setup import start_keras

        start_keras()
        from tlkit.models.architectures.build import build_architecture

        return build_architecture(self.row, self.image_size, self.changes, self.gray, self.seed)

    def identity(self, cut: str = "") -> tuple[object, ...] | None:
        """Give None: it is trained as a whole, so nothing below a cut is cached."""
        return None

    def prepare_top(self, top: Any) -> Any:
        """Add the auxiliary classifiers that its paper trains it with, if there are any."""
        from tlkit.models.architectures.auxiliary import add_auxiliary_outputs

        return add_auxiliary_outputs(self.row, top, self.changes)
