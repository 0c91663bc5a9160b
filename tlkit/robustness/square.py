"""The Square attack: random squares, kept where the answer gets worse (Andriushchenko et al. 2020).

It needs nothing but answers, so it attacks every run in the engine that predict uses.
"""

import math
import zlib
from collections.abc import Callable

import numpy as np

QUERIES = 300
FIRST_AREA = 0.3  # of the first squares, as a fraction of the image; the paper tunes 0.05 to 0.8
HALVED_AFTER = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)  # fractions of all queries (figure 2 of the paper)
CHUNK = 32  # images at a time

Classify = Callable[[np.ndarray], np.ndarray]  # uint8 (images, size, size, 3) to probabilities (images, classes)


def square_attack(
    classify: Classify, images: np.ndarray, labels: np.ndarray, epsilon: int, queries: int, options: tuple[bool, int]
) -> np.ndarray:
    """Search the corners of the ball of radius epsilon, of the norm "linf".

    Args:
        classify: gives the answers
        images: uint8 (images, size, size, 3)
        labels: int (images,): the classes to leave, or to reach
        epsilon: whole gray levels
        queries: of each image; an image that is fooled needs no more
        options: whether the labels are the classes to reach, and the seed, which decides all draws with the image

    Returns:
        uint8 of the shape of the images
    """
    parts = [
        _attack_chunk(classify, images[first : first + CHUNK], labels[first : first + CHUNK], epsilon, queries, options)
        for first in range(0, len(images), CHUNK)
    ]
    return np.concatenate(parts) if parts else images


def _attack_chunk(
    classify: Classify, images: np.ndarray, labels: np.ndarray, epsilon: int, queries: int, options: tuple[bool, int]
) -> np.ndarray:
    is_targeted, seed = options
    draws = [np.random.default_rng((seed, zlib.crc32(image.tobytes()))) for image in images]
    size = images.shape[1]
    best, margins = images.copy(), _margins(classify(images), labels, is_targeted)
    for query in range(queries if epsilon else 0):
        open_ones = np.flatnonzero(margins >= 0)
        if not len(open_ones):
            break
        side = square_side(query, queries, size)
        tried = np.stack([_draw(images[k], best[k], query, side, (epsilon, draws[k])) for k in open_ones])
        found = _margins(classify(tried), labels[open_ones], is_targeted)
        better = found <= margins[open_ones]  # where the softmax is saturated, all are equal
        best[open_ones[better]], margins[open_ones[better]] = tried[better], found[better]
    return best


def _draw(
    image: np.ndarray, best: np.ndarray, query: int, side: int, options: tuple[int, np.random.Generator]
) -> np.ndarray:
    """Change the best image so far: first vertical stripes, then one square of one color."""
    epsilon, random = options
    size, changed = len(image), best.copy()
    if query == 0:
        area = (slice(None), slice(None))
        signs = random.choice((-1, 1), (1, size, 3))
    else:
        top, left = random.integers(0, size - side + 1, 2)
        area = (slice(top, top + side), slice(left, left + side))
        signs = random.choice((-1, 1), (1, 1, 3))
    changed[area] = np.clip(image[area].astype(np.int16) + epsilon * signs, 0, 255)
    return changed


def square_side(query: int, queries: int, size: int) -> int:
    """Compute the side of the square of a query: it halves its area as the search proceeds.

    >>> [square_side(query, 100, 224) for query in (0, 1, 50, 99)]
    [123, 61, 11, 5]
    """
    halvings = sum(query > fraction * queries for fraction in HALVED_AFTER)
    return max(1, min(size - 1, round(size * math.sqrt(FIRST_AREA / 2**halvings))))


def _margins(probabilities: np.ndarray, labels: np.ndarray, is_targeted: bool) -> np.ndarray:
    """Compute by how far an image is from being fooled, in logarithms; below 0 it is."""
    logs = np.log(np.maximum(probabilities.astype(np.float64), 1e-30))
    rows = np.arange(len(labels))
    own = logs[rows, labels]
    logs[rows, labels] = -np.inf
    margin = own - logs.max(axis=1)
    return -margin if is_targeted else np.asarray(margin)
