"""Keras's optimizers as every training here uses them: a rate per variable, a rise, a fall."""

from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import keras

from tlkit.training.decays import make_schedule
from tlkit.training.losses import LOSSES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tlkit.training.plan import Plan

SPARED = ["bias", "gamma", "beta"]  # by weight decay


@dataclass(frozen=True)
class OptimizerRow:
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
    "sgd": OptimizerRow("SGD", 0.1, 0.02, 0.05, uses_momentum=True),
    "rmsprop": OptimizerRow("RMSprop", 1e-3, 2e-4, 1e-3),
    "adam": OptimizerRow("Adam", 2e-3, 4e-4, 1e-3),
    "adamw": OptimizerRow("AdamW", 2e-3, 4e-4, 1e-3, weight_decay=0.1),
    "adadelta": OptimizerRow("Adadelta", 1.0, 0.5, 1.0),
    "adagrad": OptimizerRow("Adagrad", 2e-2, 2e-3, 1e-2),
    "nadam": OptimizerRow("Nadam", 2e-3, 4e-4, 1e-3),
}


def compile_model(model: keras.Model, plan: "Plan", learning_rate: float, steps: int) -> None:
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
        optimizer.exclude_from_weight_decay(var_names=SPARED)
    model.compile(optimizer, LOSSES[plan.loss](), metrics=["accuracy"], jit_compile=False)


@contextmanager
def averaged(model: keras.Model, plan: "Plan") -> "Iterator[None]":
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
