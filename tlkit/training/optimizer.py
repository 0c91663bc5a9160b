"""AdamW as every training here uses it: a rate per variable, a rise, a cosine."""

from collections.abc import Mapping
from typing import Any

import keras

from tlkit.training.plan import Plan


def compile_model(model: keras.Model, plan: Plan, learning_rate: float, steps: int) -> None:
    """Make a model ready to train, with an optimizer that knows nothing yet.

    learning_rate: the largest; it rises from 0 as the plan says and falls as a cosine to 0
    steps: in all
    """
    rise = round(plan.warm_up * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0 if rise else learning_rate, steps - rise, warmup_target=learning_rate, warmup_steps=rise
    )
    optimizer = LayerwiseAdamW(plan.rates, schedule, weight_decay=plan.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=plan.label_smoothing)
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)


class LayerwiseAdamW(keras.optimizers.AdamW):  # type: ignore[misc]
    """AdamW with a rate of its own for each variable (layer-wise decay: Howard and Ruder 2018).

    rates: share of the learning rate by a variable's path; 1 where not named
    """

    def __init__(self, rates: Mapping[str, float], *positional: Any, **options: Any) -> None:
        super().__init__(*positional, **options)
        self._rate_by_path = dict(rates)
        self._rates: list[float] = []

    def build(self, variables: list[Any]) -> None:
        """See `keras.optimizers.Optimizer`."""
        super().build(variables)
        self._rates = [self._rate_by_path.get(variable.path, 1.0) for variable in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """See `keras.optimizers.Optimizer`."""
        rate = self._rates[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * rate)
