"""The plan of one training phase, made before it starts. It imports no Keras."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from tlkit.training.loop.batches import Mixing
from tlkit.training.loop.history import LOSS

EARLY_BEST = 0.1  # of the planned epochs, after which a long phase has its best one: figures in docs/decisions/049
FIXED_WARM_UPS = {"one-cycle": 0.3, "plateau": 0.0}  # fractions of the steps, by schedule (Smith 2018)


@dataclass(frozen=True)
class OptimizerConfig:
    """An optimizer with its hyperparameters.

    Attributes:
        name: a key of `optimizers.OPTIMIZERS`
        learning_rate: the peak
        schedule: a key of `optimizers.SCHEDULES`
        warm_up: fraction of the steps in which the learning rate rises from 0
        clip_norm: global gradient norm; 0 for none
        ema: decay of a moving average of the weights; 0 for none
        lr_multipliers: of the learning rate, by the path of a variable; 1 where not named
    """

    learning_rate: float
    name: str = "adamw"
    schedule: str = "cosine"
    warm_up: float = 0.0
    weight_decay: float = 0.0
    momentum: float = 0.9
    nesterov: bool = False
    clip_norm: float = 0.0
    ema: float = 0.0
    lr_multipliers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class FitPlan:
    """The plan of one training phase.

    Attributes:
        phase: its name in history.csv
        epochs: at most
        batch_size: images per step
        optimizer: with learning rate, schedule and weight decay
        patience: epochs without a better one before training stops
        loss: a key of `losses.LOSSES`
        label_smoothing: fraction of certainty taken from the labels
        keep_initial_weights: whether the weights it starts from are kept where no epoch is better; the history then has
            an epoch 0
        train_bn_offsets: whether the offsets of frozen batch norms are trained
        product_dtype: of the factors of the matrix products in folded convolutions
        criterion: what decides which epoch is best: see `history.choose_criterion`
        lr_option: the option that sets the learning rate, for messages
        end: no epoch is started that would end later, on the clock `time.perf_counter`, but the first
    """

    phase: str
    epochs: int
    batch_size: int
    optimizer: OptimizerConfig
    patience: int
    seed: int
    loss: str = "cross-entropy"
    label_smoothing: float = 0.0
    mixing: Mixing = Mixing()
    keep_initial_weights: bool = False
    train_bn_offsets: bool = False
    product_dtype: str = "float32"
    criterion: str = LOSS
    lr_option: str = "--learning-rate"
    end: float = math.inf

    @property
    def expected_epochs(self) -> int:
        """Epochs after which early stopping ends the phase, as a rule; all of them where the patience is longer."""
        return min(self.epochs, self.patience + round(self.epochs * EARLY_BEST))
