"""Keras's optimizers and learning-rate schedules, with a learning rate per variable."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import keras

from tlkit.training.loop.losses import LOSSES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tlkit.training.loop.plan import FitPlan


Schedule = Any  # a number, or a keras LearningRateSchedule
FINAL_FRACTION = 0.01  # share of the rate where an exponential decay ends
WAITS, FALLS = 3, 0.3  # plateau: after so many epochs without a better one, times so much

SCHEDULES: dict[str, Callable[[float, int], Schedule]] = {
    "constant": lambda rate, steps: rate,
    "plateau": lambda rate, steps: rate,  # falls epoch by epoch, see `plateau_share`
    "step": lambda rate, steps: keras.optimizers.schedules.PiecewiseConstantDecay(
        [steps // 2, steps * 3 // 4], [rate, rate / 10, rate / 100]
    ),
    "exponential": lambda rate, steps: keras.optimizers.schedules.ExponentialDecay(rate, steps, FINAL_FRACTION),
    "cosine": keras.optimizers.schedules.CosineDecay,
    "one-cycle": keras.optimizers.schedules.CosineDecay,
}
WARM_UPS = {"one-cycle": 0.3, "plateau": 0.0}  # shares of the steps, whatever the phase (Smith 2018)


def make_schedule(decay: str, rate: float, steps: int, warm_up: float) -> Schedule:
    """The rate by step: up in a line from 0 during a share of the steps, then down as the decay says.

    steps: in all
    """
    rise = round(WARM_UPS.get(decay, warm_up) * steps)
    falling = SCHEDULES[decay](rate, max(1, steps - rise))
    return WarmUp(rate, rise, falling) if rise else falling


def plateau_factor(scores: Sequence[Any]) -> float:
    """What is left of the rate after epochs with these scores; less is better.

    >>> plateau_share([3, 2, 2, 2]), round(plateau_share([3, 2, 2, 2, 2]), 3), plateau_share([])
    (1.0, 0.3, 1.0)
    """
    best, waited, share = None, 0, 1.0
    for score in scores:
        is_better = best is None or score < best
        best, waited = (score, 0) if is_better else (best, waited + 1)
        if waited == WAITS:
            share, waited = share * FALLS, 0
    return share


class WarmUp(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A schedule after a rise in a line from 0 (Goyal 2017).

    rise: steps
    falling: a number or a schedule, counted from the end of the rise
    """

    def __init__(self, rate: float, rise: int, falling: Schedule) -> None:
        self.rate, self.rise, self.falling = rate, rise, falling

    def __call__(self, step: Any) -> Any:
        """See `keras.optimizers.schedules.LearningRateSchedule`."""
        step = keras.ops.cast(step, "float32")
        after = keras.ops.maximum(step - self.rise, 0.0)
        falling = self.falling(after) if callable(self.falling) else self.falling
        return keras.ops.where(step < self.rise, self.rate * step / self.rise, falling)

    def get_config(self) -> dict[str, Any]:
        """See `keras.optimizers.schedules.LearningRateSchedule`."""
        return {"rate": self.rate, "rise": self.rise, "falling": self.falling}


NO_WEIGHT_DECAY = ["bias", "gamma", "beta"]  # by weight decay


@dataclass(frozen=True)
class OptimizerSpec:
    """One of Keras's optimizers.

    head, blocks   largest learning rates, where none is asked for
    network        the same, for a network that learns from scratch
    weight_decay   where none is asked for
    uses_momentum  whether it knows --momentum and --nesterov
    """

    constructor: str
    head: float
    blocks: float
    network: float
    weight_decay: float = 0.0
    uses_momentum: bool = False


OPTIMIZERS = {
    "sgd": OptimizerSpec("SGD", 0.1, 0.02, 0.05, uses_momentum=True),
    "rmsprop": OptimizerSpec("RMSprop", 1e-3, 2e-4, 1e-3),
    "adam": OptimizerSpec("Adam", 2e-3, 4e-4, 1e-3),
    "adamw": OptimizerSpec("AdamW", 2e-3, 4e-4, 1e-3, weight_decay=0.1),
    "adadelta": OptimizerSpec("Adadelta", 1.0, 0.5, 1.0),
    "adagrad": OptimizerSpec("Adagrad", 2e-2, 2e-3, 1e-2),
    "nadam": OptimizerSpec("Nadam", 2e-3, 4e-4, 1e-3),
}


def compile_model(model: keras.Model, plan: "FitPlan", learning_rate: float, steps: int) -> None:
    """Make a model ready to train, with an optimizer that knows nothing yet.

    learning_rate: the largest
    steps: in all
    """
    row = OPTIMIZERS[plan.optimizer]
    schedule = make_schedule(plan.decay, learning_rate, steps, plan.warm_up)
    options = {"momentum": plan.momentum, "nesterov": plan.nesterov} if row.uses_momentum else {}
    if plan.ema:
        options |= {"use_ema": True, "ema_momentum": plan.ema}
    optimizer = layerwise(row.constructor)(
        plan.rates,
        learning_rate=schedule,
        weight_decay=plan.weight_decay if plan.weight_decay or row.weight_decay else None,  # AdamW wants a number
        global_clipnorm=plan.clip or None,
        **options,
    )
    if plan.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=NO_WEIGHT_DECAY)
    model.compile(optimizer, LOSSES[plan.loss](), metrics=["accuracy"], jit_compile=False)


@contextmanager
def ema_weights(model: keras.Model, plan: "FitPlan") -> "Iterator[None]":
    """The moving average of the weights in the model, where one is kept, as long as it lasts."""
    if not plan.ema:
        yield
        return
    raw = [keras.ops.convert_to_numpy(variable) for variable in model.trainable_variables]
    model.optimizer.finalize_variable_values(model.trainable_variables)
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, raw, strict=True):
            variable.assign(value)


@cache
def layerwise(constructor: str) -> Any:
    """One of Keras's optimizers with a rate for each variable (layer-wise decay: Howard and Ruder 2018).

    Its first argument is the share of the learning rate by a variable's path; 1 where not named.
    """
    kind: Any = getattr(keras.optimizers, constructor)

    class Layerwise(kind):  # type: ignore[misc]
        def __init__(self, rates: Mapping[str, float], **options: Any) -> None:
            super().__init__(**options)
            self._rate_by_path = dict(rates)
            self._rates: list[float] = []

        def build(self, variables: list[Any]) -> None:
            super().build(variables)
            self._rates = [self._rate_by_path.get(variable.path, 1.0) for variable in variables]

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            rate = self._rates[self._get_variable_index(variable)]
            super().update_step(gradient, variable, learning_rate * rate)

    Layerwise.__name__ = f"Layerwise{constructor}"
    return Layerwise
