"""The explanation of an answer, and the interface of the methods that make heat maps."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from PIL import Image

from tlkit.data.image import ImageSpec
from tlkit.explain.overlay import draw_overlay
from tlkit.models.map_grid import MapGrid


@dataclass(frozen=True)
class Neighbor:
    """A training image that is near in feature space.

    Attributes:
        path: relative to DATA
        label: its class
        distance: cosine distance of the features, 0 (equal) to 2
    """

    path: str
    label: str
    distance: float


@dataclass(frozen=True)
class Explanation:
    """The answer of a run to one image, with its reasons.

    Attributes:
        path: of the file; of what is not a file, what it is in angle brackets, such as "<array>"
        status: "ok", "unknown" or "error"
        label: the most probable class; None where there is none
        confidence: its calibrated probability, 0 to 1
        explained: the class that the heat map is of
        probability: calibrated probability of that class, 0 to 1
        method: that made the heat map: "gradcam", "gradcam++", "occlusion", "gradient", "template" or "parts"
        heat: float32 (size, size), 0 to 1, over the square that the network sees; None where there is none
        peak: x and y of its maximum, in pixels of the upright original; None where nothing speaks for the class
        size: width and height of the upright original, in pixels
        neighbors: the nearest training images, the nearest first
        reason: why the answer is "unknown"
        error: why the input is not an image
        image: the upright image, which may be smaller than the original
        spec: how the image becomes the square that the network sees
    """

    path: str
    status: str
    label: str | None = None
    confidence: float | None = None
    explained: str | None = None
    probability: float | None = None
    method: str = ""
    heat: np.ndarray | None = field(default=None, repr=False, compare=False)
    peak: tuple[int, int] | None = None
    size: tuple[int, int] | None = None
    neighbors: tuple[Neighbor, ...] = ()
    reason: str = ""
    error: str | None = None
    image: Image.Image | None = field(default=None, repr=False, compare=False)
    spec: ImageSpec | None = field(default=None, repr=False, compare=False)

    def overlay(self, max_side: int = 480) -> Image.Image:
        """Draw the heat map on the image.

        Args:
            max_side: longer side of the result, in pixels, unless the image is smaller

        Returns:
            An RGB image; what the network does not see is darker

        Raises:
            ValueError: if there is no heat map
        """
        if self.image is None or self.heat is None or self.spec is None:
            raise ValueError(f"'{self.path}' has no heat map: {self.error}.")
        return draw_overlay(self.image, self.heat, self.spec, max_side)


class HeatMethod(Protocol):
    """A method that finds where in an image the reasons for a class are.

    Attributes:
        name: as `Explanation.method` has it
        grid: where the positions of a heat map are in the square; spread evenly where it is None
    """

    name: str
    grid: MapGrid | None

    def heat(self, pixels: np.ndarray, label: int) -> np.ndarray:
        """Compute how much each region speaks for a class.

        Args:
            pixels: uint8 (size, size, 3), RGB
            label: index of the class

        Returns:
            float32 (height, width), at least 0, at any resolution and scale
        """
