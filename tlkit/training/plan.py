"""How one phase of a training goes: made from settings and the number of images, before it begins."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tlkit.settings import FinetuneSettings, TrainingSettings, TrainSettings
from tlkit.training.mixing import Mixing
from tlkit.training.optimizer import OPTIMIZERS
from tlkit.training.recipe import (
    choose_epochs,
    choose_network_batch,
    choose_network_epochs,
    choose_upper_epochs,
    share_of_rate,
)

WARM_UP = 0.1  # of the steps, where blocks are trained


@dataclass(frozen=True)
class Plan:
    """How to train: passes, images per step, the largest rate, weight decay, patience in epochs.

    phase         what `history.csv` calls it
    rate_option   the option that sets the rate, for messages
    warm_up       share of the steps in which the rate rises from 0
    rates         of the rate, by the path of a variable: how much of it moves that one; 1 where not named
    keeps_start   whether the weights it starts from are kept where no epoch is better; history then
                  has an epoch 0
    shifts        whether the shifts of frozen batch norms learn
    by_f1         whether the best epoch is that of the highest macro-F1 instead of the lowest loss
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    label_smoothing: float
    patience: int
    seed: int
    phase: str = "head"
    rate_option: str = "--learning-rate"
    warm_up: float = 0.0
    rates: Mapping[str, float] = field(default_factory=dict)
    keeps_start: bool = False
    shifts: bool = False
    by_f1: bool = False
    optimizer: str = "adamw"
    decay: str = "cosine"
    momentum: float = 0.9
    nesterov: bool = False
    clip: float = 0.0
    ema: float = 0.0
    loss: str = "cross-entropy"
    mixing: Mixing = Mixing()


def plan_head(settings: TrainingSettings, num_images: int, by_f1: bool = False) -> Plan:
    """The head on a frozen backbone; or the whole network, where nothing is frozen."""
    if isinstance(settings, TrainSettings):
        return plan_network(settings, num_images, by_f1)
    return Plan(
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


def plan_network(settings: TrainSettings, num_images: int, by_f1: bool = False) -> Plan:
    """Everything, from random weights."""
    batch_size = settings.batch_size or choose_network_batch(num_images)
    return Plan(
        epochs=settings.epochs or choose_network_epochs(num_images, batch_size),
        batch_size=batch_size,
        learning_rate=settings.learning_rate or OPTIMIZERS[settings.optimizer].network,
        phase="whole",
        warm_up=WARM_UP if settings.warm_up is None else settings.warm_up,
        by_f1=by_f1,
        **_shared(settings),
    )


def blocks_rate(settings: FinetuneSettings) -> float:
    """The largest learning rate of upper blocks, where none is asked for."""
    return OPTIMIZERS[settings.optimizer].blocks * share_of_rate(settings.backbone)


def plan_blocks(settings: FinetuneSettings, num_images: int, rates: Mapping[str, float], by_f1: bool = False) -> Plan:
    """The upper blocks, from where the head ended."""
    return Plan(
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
