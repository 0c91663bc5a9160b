"""Defaults that depend on the data: head, epochs, batch size, learning rate, and what fits on the disk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tlkit.errors import OptionError
from tlkit.models.head import Head
from tlkit.settings.shared import hidden_units
from tlkit.settings.training import FinetuneSettings, NetworkSettings, TrainSettings
from tlkit.training.loop.batches import Mixing, steps_per_epoch
from tlkit.training.loop.history import LOSS
from tlkit.training.loop.plan import FitPlan, OptimizerConfig
from tlkit.utils.processor import read_gpu, read_processor


@dataclass(frozen=True)
class OptimizerDefaults:
    """Peak learning rates, and the weight decay, of an optimizer where none are asked for.

    Attributes:
        head_lr: of a head on a frozen network
        blocks_lr: of the top blocks of a pretrained network
        scratch_lr: of a network from scratch
    """

    head_lr: float
    blocks_lr: float
    scratch_lr: float
    weight_decay: float = 0.0


OPTIMIZER_DEFAULTS = {
    "sgd": OptimizerDefaults(0.1, 0.02, 0.05),
    "rmsprop": OptimizerDefaults(1e-3, 2e-4, 1e-3),
    "adam": OptimizerDefaults(2e-3, 8e-4, 1e-3),
    "adamw": OptimizerDefaults(2e-3, 8e-4, 1e-3, weight_decay=0.1),
    "adadelta": OptimizerDefaults(1.0, 0.5, 1.0),
    "adagrad": OptimizerDefaults(2e-2, 2e-3, 1e-2),
    "nadam": OptimizerDefaults(2e-3, 8e-4, 1e-3),
}
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}  # of processors whose products oneDNN computes in bfloat16
WARM_UP = 0.1  # fraction of the steps, where more than the head is trained
SMALL_DATASET = 1000  # images
MIN_STEPS, MIN_EPOCHS, MAX_EPOCHS = 150, 20, 100
MAX_STEPS, MIN_PASSES = 100_000, 3  # of a head on very many images, which needs no twenty passes
SCRATCH_BATCHES, MAX_BATCH = ((300, 16), (1000, 32)), 64  # (below this number of images, batch size)
SCRATCH_STEPS, MIN_SCRATCH_EPOCHS, MAX_SCRATCH_EPOCHS = 1500, 15, 100
BLOCK_STEPS, MIN_BLOCK_EPOCHS, MAX_BLOCK_EPOCHS = 320, 5, 30
FEW_VIEWS = 3  # more need more epochs, else each is seen once
LOWER_LR_FAMILIES = {"convnext": 1 / 16, "vgg": 1 / 16}


def finetune_head(settings: FinetuneSettings, num_images: int) -> Head:
    """Choose the head on a pretrained backbone, given the number of training images."""
    hidden = (choose_hidden(num_images),) if settings.hidden == "auto" else hidden_units(settings.hidden)
    return Head(settings.dropout, settings.batch_norm, hidden, settings.l1, settings.l2)


def scratch_head(settings: TrainSettings, num_images: int) -> Head:
    """Take a linear layer: the rest of a network from scratch is its own."""
    return Head(0.0, False, (), settings.l1, settings.l2)


def plan_head(settings: FinetuneSettings, num_images: int, criterion: str) -> FitPlan:
    """Plan to train the head on a frozen backbone."""
    return _plan(
        settings,
        "head",
        criterion,
        epochs=settings.epochs or choose_epochs(num_images, settings.batch_size),
        batch_size=settings.batch_size,
        optimizer=_optimizer(settings, settings.learning_rate or OPTIMIZER_DEFAULTS[settings.optimizer].head_lr),
        train_bn_offsets=settings.batch_norms == "shift",
    )


def plan_scratch(settings: TrainSettings, num_images: int, criterion: str) -> FitPlan:
    """Plan to train everything from random weights."""
    batch_size = settings.batch_size or choose_scratch_batch(num_images)
    return _plan(
        settings,
        "whole",
        criterion,
        epochs=settings.epochs or choose_scratch_epochs(num_images, batch_size),
        batch_size=batch_size,
        optimizer=_optimizer(
            settings, settings.learning_rate or OPTIMIZER_DEFAULTS[settings.optimizer].scratch_lr, WARM_UP
        ),
    )


def plan_blocks(
    settings: FinetuneSettings, num_images: int, lr_multipliers: Mapping[str, float], criterion: str = LOSS
) -> FitPlan:
    """Plan to train the upper blocks, from where the head ended."""
    learning_rate = settings.upper_learning_rate or default_blocks_lr(settings)
    return _plan(
        settings,
        "blocks",
        criterion,
        epochs=settings.upper_epochs or choose_block_epochs(num_images, settings.upper_batch_size, settings.views),
        batch_size=settings.upper_batch_size,
        optimizer=_optimizer(settings, learning_rate, WARM_UP, lr_multipliers),
        keep_initial_weights=True,
        train_bn_offsets=settings.batch_norms == "shift",
        product_dtype=choose_precision(settings.upper_precision),
        lr_option="--upper-learning-rate",
    )


def _plan(settings: NetworkSettings, phase: str, criterion: str, **options: Any) -> FitPlan:
    return FitPlan(
        phase=phase,
        criterion=criterion,
        patience=settings.patience,
        seed=settings.seed,
        loss=settings.loss,
        label_smoothing=0.0 if settings.loss == "hinge" else settings.label_smoothing,  # it compares scores
        mixing=Mixing(settings.mixup, settings.cutmix),
        **options,
    )


def _optimizer(
    settings: NetworkSettings,
    learning_rate: float,
    warm_up: float = 0.0,
    lr_multipliers: Mapping[str, float] | None = None,
) -> OptimizerConfig:
    default_decay = OPTIMIZER_DEFAULTS[settings.optimizer].weight_decay
    return OptimizerConfig(
        learning_rate,
        name=settings.optimizer,
        schedule=settings.schedule,
        warm_up=warm_up if settings.warm_up is None else settings.warm_up,
        weight_decay=default_decay if settings.weight_decay is None else settings.weight_decay,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        clip_norm=settings.clip_norm,
        ema=settings.ema,
        lr_multipliers=lr_multipliers or {},
    )


def default_blocks_lr(settings: FinetuneSettings) -> float:
    """Give the peak learning rate of upper blocks, where none is asked for."""
    return OPTIMIZER_DEFAULTS[settings.optimizer].blocks_lr * lr_multiplier(settings.backbone)


def choose_precision(wanted: str) -> str:
    """Choose the precision of the products of upper blocks: "bfloat16" on processors that multiply faster in it.

    With a GPU it is float32: what the processor is fast at does not matter then.
    """
    if wanted != "auto":
        return wanted
    is_fast = bool(BFLOAT16_FLAGS & read_processor()[1]) and not read_gpu()
    return "bfloat16" if is_fast else "float32"


def lr_multiplier(backbone: str) -> float:
    """Give the fraction of the optimizer's learning rate that the upper blocks of a backbone take, by its family.

    The learning rates are those for networks with batch norms (docs/decisions/009 and 012), which forgive a
    large step. ConvNeXt's authors fine-tune with AdamW at 5e-5, a sixteenth of ours (Liu 2022,
    arXiv:2201.03545, table 5); VGG, without any norm, is taken for no sturdier. Neither was measured
    here: their weights were not available.

    >>> lr_multiplier("mobilenet_v2"), lr_multiplier("convnext_tiny")
    (1.0, 0.0625)
    """
    return next((factor for family, factor in LOWER_LR_FAMILIES.items() if backbone.startswith(family)), 1.0)


def choose_hidden(num_images: int) -> int:
    """Choose the units of the head's hidden layer. Figures: docs/decisions/004.

    >>> choose_hidden(245), choose_hidden(2021)
    (128, 512)
    """
    return 128 if num_images < SMALL_DATASET else 512


def choose_epochs(num_images: int, batch_size: int) -> int:
    """Choose the epochs of a head: few for many images, more for few, so that it settles.

    Early stopping usually ends sooner. Figures: docs/decisions/004 and, for very many images, 056.

    >>> choose_epochs(2021, 128), choose_epochs(40, 128), choose_epochs(50_000, 128)
    (20, 100, 20)
    >>> choose_epochs(1_000_000, 128), choose_epochs(10_000_000, 128)
    (12, 3)
    """
    steps = steps_per_epoch(num_images, batch_size)
    return min(MAX_EPOCHS, max(MIN_PASSES, MAX_STEPS // steps), max(MIN_EPOCHS, MIN_STEPS // steps))


def choose_scratch_batch(num_images: int) -> int:
    """Choose the batch size of a network from scratch: small for few images. Figures: docs/decisions/013.

    >>> choose_scratch_batch(75), choose_scratch_batch(500), choose_scratch_batch(1435)
    (16, 32, 64)
    """
    return next((size for limit, size in SCRATCH_BATCHES if num_images < limit), MAX_BATCH)


def choose_scratch_epochs(num_images: int, batch_size: int) -> int:
    """Choose the epochs of a network from scratch. Figures: docs/decisions/013.

    >>> choose_scratch_epochs(1435, 64), choose_scratch_epochs(75, 16), choose_scratch_epochs(50_000, 64)
    (65, 100, 15)
    """
    epochs = round(SCRATCH_STEPS / steps_per_epoch(num_images, batch_size))
    return min(MAX_SCRATCH_EPOCHS, max(MIN_SCRATCH_EPOCHS, epochs))


def choose_block_epochs(num_images: int, batch_size: int, views: int = 1) -> int:
    """Choose the epochs of upper blocks: two for each view, where there are many. Figures: docs/decisions/047.

    >>> choose_block_epochs(2021, 32), choose_block_epochs(245, 32), choose_block_epochs(50_000, 32)
    (5, 30, 5)
    >>> choose_block_epochs(2021, 32, views=3), choose_block_epochs(2021, 32, views=5)
    (5, 10)
    """
    epochs = round(BLOCK_STEPS / steps_per_epoch(num_images, batch_size))
    if views > FEW_VIEWS:
        epochs = max(epochs, 2 * views)
    return min(MAX_BLOCK_EPOCHS, max(MIN_BLOCK_EPOCHS, epochs))


def fit_to_disk(sizes: Sequence[int], images: tuple[int, int], views: int, limit: float) -> tuple[int, int]:
    """Choose the cut point, and how many views of each image, that fit into the space there is.

    Views are given up first, then layers to train.

    Args:
        sizes: numbers in one view's activations, by cut point, from the wanted one up
        images: to train on, cached in float16 in every view; and held out, cached once in float32
        limit: bytes

    Returns:
        A position in `sizes`, and the number of views

    Raises:
        OptionError

    >>> fit_to_disk([100, 50], images=(10, 5), views=5, limit=12_000)
    (0, 5)
    >>> fit_to_disk([100, 50], images=(10, 5), views=5, limit=8_000)
    (0, 3)
    >>> fit_to_disk([100, 50], images=(10, 5), views=5, limit=3_000)
    (1, 2)
    """
    train, held_out = images
    for position, size in enumerate(sizes):
        fitting = int((limit - 4 * size * held_out) // (2 * size * train))
        if fitting >= 1:
            return position, min(views, fitting)
    needed = min(sizes) * (2 * train + 4 * held_out) / 1e9
    raise OptionError(
        f"--freeze lower needs at least {needed:.2f} GB for cached activations, but only {limit / 1e9:.2f} GB are "
        "allowed; free disk space, raise --cache-limit or use --freeze all."
    )
