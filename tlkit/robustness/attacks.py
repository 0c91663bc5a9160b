"""Attacks along the gradient: FGSM (Goodfellow et al. 2015) and PGD (Madry et al. 2018).

Distances are in gray levels, 1/255 of the range. The result is rounded to whole gray levels and still within epsilon.
"""

import zlib
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

Norm = Literal["linf", "l2"]
STEPS = 20
TRAVEL = 2.5  # all steps of PGD together, as a multiple of epsilon (Madry et al. 2018)
BISECTIONS = 12  # until a pattern of whole gray levels has the length epsilon, to within 0.02 %


class GradientSource(Protocol):
    """A classifier that can be differentiated by its pixels; see `LossGradient`."""

    def log_odds(self, pixels: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute the log odds against the class of each image, and their gradient."""


@dataclass(frozen=True)
class AttackOptions:
    """The variant of an attack.

    Attributes:
        norm: of the pattern that epsilon limits: "linf" for the change of any value, "l2" for the length of all changes
        targeted: whether the labels are the classes to reach, not the classes to leave
        step_size: of PGD, in gray levels; None for 2.5 epsilon / steps
        starts: random points in the ball that PGD starts from, one after the other; the best result of each image
            counts. With 0 it starts from the image itself
        seed: decides the random points, with the content of each image
    """

    norm: Norm = "linf"
    targeted: bool = False
    step_size: float | None = None
    starts: int = 1
    seed: int = 0


def fgsm(
    gradient: GradientSource,
    images: np.ndarray,
    labels: np.ndarray,
    epsilon: float,
    options: AttackOptions = AttackOptions(),
) -> np.ndarray:
    """Move each image by epsilon along the sign of the gradient; with the norm "l2" along the gradient.

    Args:
        gradient: of the classifier
        images: uint8 (images, size, size, 3)
        labels: int (images,): the classes to leave, or with `targeted` those to reach
        epsilon: in gray levels

    Returns:
        uint8 of the shape of the images
    """
    pixels = images.astype(np.float32)
    step = _ascent(gradient, pixels, labels, options) * np.float32(epsilon)
    return round_within(pixels + step, images, epsilon, options.norm)


def pgd(
    gradient: GradientSource,
    images: np.ndarray,
    labels: np.ndarray,
    epsilon: float,
    steps: int = STEPS,
    options: AttackOptions = AttackOptions(),
) -> np.ndarray:
    """Ascend the loss in small steps, and return to the ball of radius epsilon after each.

    Args:
        gradient, images, labels, epsilon: as `fgsm` takes them
        steps: of the ascent; each costs a gradient

    Returns:
        uint8 of the shape of the images
    """
    size = np.float32(TRAVEL * epsilon / steps if options.step_size is None else options.step_size)
    origin, results = images.astype(np.float32), list[np.ndarray]()
    for start in range(max(1, options.starts)):
        pixels = origin + _random_pattern(images, epsilon, options, start) if options.starts else origin
        for _ in range(steps):
            pixels = project_to_ball(
                pixels + size * _ascent(gradient, pixels, labels, options), origin, epsilon, options.norm
            )
        results.append(round_within(pixels, images, epsilon, options.norm))
    if len(results) == 1:
        return results[0]
    losses = [gradient.log_odds(result.astype(np.float32), labels)[0] for result in results]
    best = np.argmax(-np.stack(losses) if options.targeted else np.stack(losses), axis=0)
    return np.asarray(np.stack(results)[best, np.arange(len(images))])


def _ascent(gradient: GradientSource, pixels: np.ndarray, labels: np.ndarray, options: AttackOptions) -> np.ndarray:
    """Give the direction of steepest ascent, of length 1 in the norm; towards the labels if they are targets."""
    direction = gradient.log_odds(pixels, labels)[1].astype(np.float32, copy=False)
    direction = -direction if options.targeted else direction
    if options.norm == "linf":
        return np.sign(direction)
    return np.asarray(direction / np.maximum(_lengths(direction), 1e-20))


def _lengths(patterns: np.ndarray) -> np.ndarray:
    """Compute the Euclidean length of each pattern: (images, 1, 1, 1)."""
    return np.asarray(np.sqrt(np.square(patterns, dtype=np.float32).sum(axis=(1, 2, 3), keepdims=True)))


def project_to_ball(pixels: np.ndarray, origin: np.ndarray, epsilon: float, norm: Norm) -> np.ndarray:
    """Return to the nearest image within epsilon of the original and between 0 and 255."""
    if norm == "linf":
        return np.asarray(np.clip(pixels, np.maximum(origin - epsilon, 0), np.minimum(origin + epsilon, 255)))
    pattern = np.clip(pixels, 0, 255) - origin  # clipping makes it no longer
    return np.asarray(origin + pattern * np.minimum(1, epsilon / np.maximum(_lengths(pattern), 1e-20)))


def _random_pattern(images: np.ndarray, epsilon: float, options: AttackOptions, start: int) -> np.ndarray:
    """Draw a pattern in the ball for each image, from the image and the seed alone."""
    patterns = np.empty(images.shape, np.float32)
    for image, pattern in zip(images, patterns, strict=True):
        random = np.random.default_rng((options.seed, start, zlib.crc32(image.tobytes())))
        pattern[:] = (
            random.uniform(-epsilon, epsilon, image.shape)
            if options.norm == "linf"
            else random.normal(size=image.shape)
        )
    if options.norm == "l2":
        patterns *= np.float32(epsilon) / _lengths(patterns)
    return np.asarray(project_to_ball(images + patterns, images.astype(np.float32), epsilon, options.norm) - images)


def round_within(pixels: np.ndarray, images: np.ndarray, epsilon: float, norm: Norm) -> np.ndarray:
    """Round to whole gray levels without leaving the ball.

    With the norm "l2" the pattern is stretched or shrunk before it is rounded, so that its length is epsilon again:
    most of its values are below one level.

    Returns:
        uint8 of the shape of the images
    """
    origin = images.astype(np.float32)
    if norm == "linf":
        pattern = np.clip(np.rint(pixels - origin), -np.floor(epsilon), np.floor(epsilon))
        return np.asarray(np.clip(origin + pattern, 0, 255), np.uint8)
    pattern = pixels - origin
    low = np.zeros((len(images), 1, 1, 1), np.float32)
    high = np.full_like(low, 4)
    for _ in range(BISECTIONS):
        factor = (low + high) / 2
        fits = _lengths(np.clip(np.rint(origin + factor * pattern), 0, 255) - origin) <= epsilon
        low, high = np.where(fits, factor, low), np.where(fits, high, factor)
    return np.asarray(np.clip(np.rint(origin + low * pattern), 0, 255), np.uint8)
