"""How long and how fast to train, and how much to keep: pure functions of what is known before."""

from collections.abc import Sequence

from tlkit.errors import OptionError

MIN_STEPS, MIN_EPOCHS, MAX_EPOCHS = 150, 20, 100


def steps_per_epoch(num_images: int, batch_size: int) -> int:
    """Batches in one pass, the last one perhaps smaller."""
    return -(-num_images // batch_size)


def choose_epochs(num_images: int, batch_size: int) -> int:
    """Passes over the images: few for many images, more for few, so that a head settles.

    Early stopping usually ends sooner. Figures: docs/decisions/004.

    >>> choose_epochs(2021, 128), choose_epochs(40, 128), choose_epochs(50_000, 128)
    (20, 100, 20)
    """
    return min(MAX_EPOCHS, max(MIN_EPOCHS, MIN_STEPS // steps_per_epoch(num_images, batch_size)))


FEW_IMAGES = 1000


def choose_hidden(num_images: int) -> int:
    """Units of the head's hidden layer. Figures: docs/decisions/004.

    >>> choose_hidden(245), choose_hidden(2021)
    (128, 512)
    """
    return 128 if num_images < FEW_IMAGES else 512


NETWORK_BATCHES = ((300, 16), (1000, 32))  # below so many images, so many a step
MOST_BATCH = 64
NETWORK_STEPS, MIN_NETWORK_EPOCHS, MAX_NETWORK_EPOCHS = 1500, 15, 100


def choose_network_batch(num_images: int) -> int:
    """Images per step while a network learns from scratch: few of few. Figures: docs/decisions/013.

    >>> choose_network_batch(75), choose_network_batch(500), choose_network_batch(1435)
    (16, 32, 64)
    """
    return next((size for most, size in NETWORK_BATCHES if num_images < most), MOST_BATCH)


def choose_network_epochs(num_images: int, batch_size: int) -> int:
    """Passes over the images while a network learns from scratch. Figures: docs/decisions/013.

    >>> choose_network_epochs(1435, 64), choose_network_epochs(75, 16), choose_network_epochs(50_000, 64)
    (65, 100, 15)
    """
    passes = _passes(NETWORK_STEPS, num_images, batch_size)
    return min(MAX_NETWORK_EPOCHS, max(MIN_NETWORK_EPOCHS, passes))


def _passes(steps: int, num_images: int, batch_size: int) -> int:
    return round(steps / steps_per_epoch(num_images, batch_size))


UPPER_STEPS, MIN_UPPER_EPOCHS, MAX_UPPER_EPOCHS = 450, 6, 30


def choose_upper_epochs(num_images: int, batch_size: int) -> int:
    """Passes over the images while upper blocks are trained. Figures: docs/decisions/009 and 012.

    >>> choose_upper_epochs(2021, 32), choose_upper_epochs(245, 32), choose_upper_epochs(50_000, 32)
    (7, 30, 6)
    """
    passes = _passes(UPPER_STEPS, num_images, batch_size)
    return min(MAX_UPPER_EPOCHS, max(MIN_UPPER_EPOCHS, passes))


GENTLE = {"convnext": 1 / 8, "vgg": 1 / 8}


def share_of_rate(backbone: str) -> float:
    """What part of the optimizer's rate the upper blocks of a backbone stand, by its family.

    The rates are those for networks with batch norms (docs/decisions/009 and 012), which forgive a
    large step. ConvNeXt's authors fine-tune with AdamW at 5e-5, an eighth of ours (Liu 2022,
    arXiv:2201.03545, table 5); VGG, without any norm, is taken for no sturdier. Neither was measured
    here: their weights were not at hand.

    >>> share_of_rate("mobilenet_v2"), share_of_rate("convnext_tiny")
    (1.0, 0.125)
    """
    return next((share for family, share in GENTLE.items() if backbone.startswith(family)), 1.0)


def choose_kept(values: Sequence[int], images: tuple[int, int], views: int, limit: float) -> tuple[int, int]:
    """Which cut point, and how many views of each image, fit into the space there is.

    values: numbers in one view's activations, by cut point, from the wanted one up
    images: to train on, kept in float16 in every view; and held out, kept once in float32
    limit: bytes
    returns: a position in `values`, and the number of views
    raises: OptionError

    Views are given up first, then layers to train.

    >>> choose_kept([100, 50], images=(10, 5), views=5, limit=12_000)
    (0, 5)
    >>> choose_kept([100, 50], images=(10, 5), views=5, limit=8_000)
    (0, 3)
    >>> choose_kept([100, 50], images=(10, 5), views=5, limit=3_000)
    (1, 2)
    """
    train, held_out = images
    for position, size in enumerate(values):
        fitting = int((limit - 4 * size * held_out) // (2 * size * train))
        if fitting >= 1:
            return position, min(views, fitting)
    needed = min(values) * (2 * train + 4 * held_out) / 1e9
    raise OptionError(
        f"--freeze lower keeps at least {needed:.2f} GB of activations, and {limit / 1e9:.2f} GB may be used; "
        "free some disk, raise --cache-limit or choose --freeze all."
    )
