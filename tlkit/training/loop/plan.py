"""How one phase of a training goes: a plan, made before it begins."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tlkit.training.loop.batches import Mixing


@dataclass(frozen=True)
class FitPlan:
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
