"""The interface of all export formats: what is exported, and how a written file answers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tlkit.classic.pipeline import ClassicPipeline
from tlkit.data.image import ImageSpec

RuntimeFunction = Callable[[np.ndarray], np.ndarray]
PIXELS, PROBABILITIES = "pixels", "probabilities"  # names of the input and the output of every exported file
FLOAT_CONVOLUTIONS = 3  # first ones that int8 leaves in float32 where the format can (docs/decisions/033)


@dataclass(frozen=True)
class ClassicSource:
    """A classic classifier.

    Attributes:
        pipeline: from pixels, or a network's features, to probabilities
        image_size: of the images that `predict` gives it, in pixels
        temperature: of the run, which divides the logarithms of its probabilities
    """

    pipeline: ClassicPipeline
    image_size: int
    temperature: float


@dataclass(frozen=True)
class ExportSource:
    """The input of a format.

    Attributes:
        model: a Keras model from float32 (batch, size, size, 3), 0 to 255, to calibrated probabilities; with a classic
            classifier to the features that it takes, None if these are handcrafted
        metadata: texts that travel inside the file, by name; every value is ASCII
        associated: files that travel beside or inside the file, by name
        quantize: "none", "float16", "dynamic" or "int8"
        card: the model card, in Markdown
        calibration: uint8 (images, size, size, 3), from which int8 takes its ranges; None unless it is needed
        classic: the classic classifier; None for a network
        resize: how the file itself makes one image of any size square; None where it takes squares
        workspace: folder for what several formats are made from; None where each makes it for itself
    """

    model: Any
    metadata: dict[str, str]
    associated: dict[str, bytes] = field(repr=False)
    quantize: str = "none"
    card: str = field(default="", repr=False)
    calibration: np.ndarray | None = field(default=None, repr=False)
    classic: ClassicSource | None = field(default=None, repr=False)
    resize: ImageSpec | None = None
    workspace: Path | None = None


class Exporter(Protocol):
    """A format: it writes files, and opens them in their own runtime."""

    def write(self, source: ExportSource, folder: Path) -> None:
        """Write the format's files into a folder.

        Raises:
            ModelError: if the format cannot hold this network
        """

    def open(self, folder: Path) -> RuntimeFunction:
        """Open the files in the format's own runtime.

        Returns:
            A function from uint8 (images, size, size, 3) to float32 (images, classes), for any number of images; where
            the file resizes, from uint8 (1, height, width, 3) of any size

        Raises:
            ValueError, RuntimeError, OSError: if the files are damaged
        """
