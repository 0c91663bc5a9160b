"""Defaults that depend on the data: epochs, batch size, learning rate, and what fits on the disk."""

from collections.abc import Mapping, Sequence
from typing import Any

from tlkit.errors import OptionError
from tlkit.settings.training import FinetuneSettings, TrainingSettings, TrainSettings
from tlkit.training.loop.batches import Mixing
from tlkit.training.loop.optimizers import OPTIMIZERS
from tlkit.training.loop.plan import FitPlan

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


SMALL_DATASET = 1000


def choose_hidden(num_images: int) -> int:
    """Units of the head's hidden layer. Figures: docs/decisions/004.

    >>> choose_hidden(245), choose_hidden(2021)
    (128, 512)
    """
    return 128 if num_images < SMALL_DATASET else 512


SCRATCH_BATCHES = ((300, 16), (1000, 32))  # below so many images, so many a step
MAX_BATCH = 64
SCRATCH_STEPS, MIN_SCRATCH_EPOCHS, MAX_SCRATCH_EPOCHS = 1500, 15, 100


def choose_scratch_batch(num_images: int) -> int:
    """Images per step while a network learns from scratch: few of few. Figures: docs/decisions/013.

    >>> choose_network_batch(75), choose_network_batch(500), choose_network_batch(1435)
    (16, 32, 64)
    """
    return next((size for most, size in SCRATCH_BATCHES if num_images < most), MAX_BATCH)


def choose_scratch_epochs(num_images: int, batch_size: int) -> int:
    """Passes over the images while a network learns from scratch. Figures: docs/decisions/013.

    >>> choose_network_epochs(1435, 64), choose_network_epochs(75, 16), choose_network_epochs(50_000, 64)
    (65, 100, 15)
    """
    passes = _epochs_for(SCRATCH_STEPS, num_images, batch_size)
    return min(MAX_SCRATCH_EPOCHS, max(MIN_SCRATCH_EPOCHS, passes))


def _epochs_for(steps: int, num_images: int, batch_size: int) -> int:
    return round(steps / steps_per_epoch(num_images, batch_size))


UPPER_STEPS, MIN_UPPER_EPOCHS, MAX_UPPER_EPOCHS = 450, 6, 30


def choose_upper_epochs(num_images: int, batch_size: int) -> int:
    """Passes over the images while upper blocks are trained. Figures: docs/decisions/009 and 012.

    >>> choose_upper_epochs(2021, 32), choose_upper_epochs(245, 32), choose_upper_epochs(50_000, 32)
    (7, 30, 6)
    """
    passes = _epochs_for(UPPER_STEPS, num_images, batch_size)
    return min(MAX_UPPER_EPOCHS, max(MIN_UPPER_EPOCHS, passes))


LOWER_LR_FAMILIES = {"convnext": 1 / 8, "vgg": 1 / 8}


def lr_multiplier(backbone: str) -> float:
    """What part of the optimizer's rate the upper blocks of a backbone stand, by its family.

    The rates are those for networks with batch norms (docs/decisions/009 and 012), which forgive a
    large step. ConvNeXt's authors fine-tune with AdamW at 5e-5, an eighth of ours (Liu 2022,
    arXiv:2201.03545, table 5); VGG, without any norm, is taken for no sturdier. Neither was measured
    here: their weights were not at hand.

    >>> share_of_rate("mobilenet_v2"), share_of_rate("convnext_tiny")
    (1.0, 0.125)
    """
    return next((share for family, share in LOWER_LR_FAMILIES.items() if backbone.startswith(family)), 1.0)


def fit_to_disk(values: Sequence[int], images: tuple[int, int], views: int, limit: float) -> tuple[int, int]:
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


WARM_UP = 0.1  # of the steps, where blocks are trained


def plan_head(settings: TrainingSettings, num_images: int, by_f1: bool = False) -> FitPlan:
    """The head on a frozen backbone; or the whole network, where nothing is frozen."""
    if isinstance(settings, TrainSettings):
        return plan_network(settings, num_images, by_f1)
    return FitPlan(
        epochs=settings.epochs or choose_epochs(num_images, settings.batch_size),
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate or OPTIMIZERS[settings.optimizer].head,
        phase="whole" if settings.freeze == "none" else "head",
        keeps_start=bool(settings.from_run),
        shifts=settings.batch_norms == "shift",
        warm_up=settings.warm_up or 0.0,
        by_f1=by_f1,
        **_shared(settings),
    )


def plan_network(settings: TrainSettings, num_images: int, by_f1: bool = False) -> FitPlan:
    """Everything, from random weights."""
    batch_size = settings.batch_size or choose_scratch_batch(num_images)
    return FitPlan(
        epochs=settings.epochs or choose_scratch_epochs(num_images, batch_size),
        batch_size=batch_size,
        learning_rate=settings.learning_rate or OPTIMIZERS[settings.optimizer].network,
        phase="whole",
        warm_up=WARM_UP if settings.warm_up is None else settings.warm_up,
        by_f1=by_f1,
        **_shared(settings),
    )


def blocks_rate(settings: FinetuneSettings) -> float:
    """The largest learning rate of upper blocks, where none is asked for."""
    return OPTIMIZERS[settings.optimizer].blocks * lr_multiplier(settings.backbone)


def plan_blocks(
    settings: FinetuneSettings, num_images: int, rates: Mapping[str, float], by_f1: bool = False
) -> FitPlan:
    """The upper blocks, from where the head ended."""
    return FitPlan(
        epochs=settings.upper_epochs or choose_upper_epochs(num_images, settings.upper_batch_size),
        batch_size=settings.upper_batch_size,
        learning_rate=settings.upper_learning_rate or blocks_rate(settings),
        phase="blocks",
        rate_option="--upper-learning-rate",
        warm_up=WARM_UP if settings.warm_up is None else settings.warm_up,
        rates=rates,
        keeps_start=True,
        shifts=settings.batch_norms == "shift",
        by_f1=by_f1,
        **_shared(settings),
    )


SHARED = ("label_smoothing", "patience", "seed", "optimizer", "decay", "momentum", "nesterov", "clip", "ema", "loss")


def _shared(settings: TrainingSettings) -> dict[str, Any]:
    own, given = OPTIMIZERS[settings.optimizer].weight_decay, settings.weight_decay
    return {name: getattr(settings, name) for name in SHARED} | {
        "weight_decay": own if given is None else given,
        "mixing": Mixing(settings.mixup, settings.cutmix),
    }
