"""Universal perturbations: one pattern that fools a network on most images (Moosavi-Dezfooli et al. 2017).

The pattern is learned by steps along the sign of the mean gradient of batches (Shafahi et al. 2020).
"""

import numpy as np

from tlkit.robustness.attacks import GradientSource

BATCH = 32  # images in a step
BATCHES = 100
ENOUGH = 3.0  # log odds of an image beyond which it has no say: the others need the pattern more


def universal_pattern(
    gradient: GradientSource,
    images: np.ndarray,
    labels: np.ndarray,
    epsilon: int,
    batches: int = BATCHES,
    options: tuple[bool, int] = (False, 0),
) -> np.ndarray:
    """Learn one pattern for many images.

    Args:
        gradient: of the classifier
        images: uint8 (images, size, size, 3)
        labels: int (images,): the classes to leave, or to reach
        epsilon: largest change of a value, in whole gray levels
        batches: steps, each on `BATCH` images
        options: whether the labels are the classes to reach, and the seed of the order of the images

    Returns:
        int16 (size, size, 3), from -epsilon to epsilon
    """
    is_targeted, seed = options
    random = np.random.default_rng(seed)
    pattern = np.zeros(images.shape[1:], np.float32)
    for step in range(batches):
        chosen = random.choice(len(images), min(BATCH, len(images)), replace=False)
        directions = ascent_of_each(gradient, add_pattern(images[chosen], pattern), labels[chosen], is_targeted)
        size = epsilon * (0.2 if step < batches // 2 else 0.05)
        pattern = np.clip(pattern + size * np.sign(directions.sum(axis=0)), -epsilon, epsilon)
    return np.asarray(np.rint(pattern), np.int16)


def ascent_of_each(gradient: GradientSource, pixels: np.ndarray, labels: np.ndarray, is_targeted: bool) -> np.ndarray:
    """Give the direction in which the loss of each image rises: of the shape of the pixels; zero where it is fooled."""
    log_odds, slopes = gradient.log_odds(pixels, labels)
    sign = -1 if is_targeted else 1
    weights = sign * (sign * log_odds < ENOUGH)
    return np.asarray(slopes * weights[:, None, None, None], np.float32)


def add_pattern(images: np.ndarray, pattern: np.ndarray) -> np.ndarray:
    """Add a pattern to images: float32, 0 to 255."""
    return np.asarray(np.clip(images.astype(np.float32) + pattern, 0, 255))
