"""How long and how fast to train: pure functions of what is known before."""

MIN_STEPS, MIN_EPOCHS, MAX_EPOCHS = 300, 20, 100


def steps_per_epoch(num_images: int, batch_size: int) -> int:
    """Batches in one pass, the last one perhaps smaller."""
    return -(-num_images // batch_size)


def choose_epochs(num_images: int, batch_size: int) -> int:
    """Passes over the images: few for many images, more for few, so that a head settles.

    Early stopping usually ends sooner. Figures: docs/results.md, "Head".

    >>> choose_epochs(2021, 128), choose_epochs(40, 128), choose_epochs(50_000, 128)
    (20, 100, 20)
    """
    return min(MAX_EPOCHS, max(MIN_EPOCHS, MIN_STEPS // steps_per_epoch(num_images, batch_size)))
