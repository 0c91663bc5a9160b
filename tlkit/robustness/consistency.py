"""Copies of an image that people take for the same image: mirrored, shifted a little, encoded again.

A network is not invariant to them by its construction: pooling with a stride makes its answer depend on the position to
the pixel (Azulay and Weiss 2019, "Why do deep convolutional networks generalize so poorly to small image
transformations?", JMLR 20:184).
"""

from collections.abc import Callable, Mapping

import numpy as np

from tlkit.robustness.corruptions import compress, move

SHIFT = 0.02  # of the side, in any direction: 4 pixels of 224
QUALITY = 90  # of libjpeg: hardly visible


def mirror(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirror left to right; digits and letters become others."""
    return image[:, ::-1]


def move_slightly(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Move by one fiftieth of the side in any direction; what comes in is the mirror image."""
    return move(image, rng, SHIFT)


def encode_again(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Compress as JPEG of quality 90, as programs do that save a photo again."""
    return compress(image, rng, QUALITY)


COPIES: Mapping[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "mirrored": mirror,
    "shifted": move_slightly,
    "encoded again": encode_again,
}
