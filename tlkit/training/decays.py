"""How a learning rate rises and falls over the steps of a phase: a table over Keras's own schedules."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

Schedule = Any  # a number, or a keras LearningRateSchedule
LAST = 0.01  # share of the rate where an exponential decay ends
WAITS, FALLS = 3, 0.3  # plateau: after so many epochs without a better one, times so much

DECAYS: dict[str, Callable[[float, int], Schedule]] = {
    "constant": lambda rate, steps: rate,
    "plateau": lambda rate, steps: rate,  # falls epoch by epoch, see `plateau_share`
    "step": lambda rate, steps: keras.optimizers.schedules.PiecewiseConstantDecay(
        [steps // 2, steps * 3 // 4], [rate, rate / 10, rate / 100]
    ),
    "exponential": lambda rate, steps: keras.optimizers.schedules.ExponentialDecay(rate, steps, LAST),
    "cosine": keras.optimizers.schedules.CosineDecay,
    "one-cycle": keras.optimizers.schedules.CosineDecay,
}
WARM_UPS = {"one-cycle": 0.3, "plateau": 0.0}  # shares of the steps, whatever the phase (Smith 2018)


def make_schedule(decay: str, rate: float, steps: int, warm_up: float) -> Schedule:
    """The rate by step: up in a line from 0 during a share of the steps, then down as the decay says.

    steps: in all
    """
    rise = round(WARM_UPS.get(decay, warm_up) * steps)
    falling = DECAYS[decay](rate, max(1, steps - rise))
    return WarmedUp(rate, rise, falling) if rise else falling


def plateau_share(scores: Sequence[Any]) -> float:
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


class WarmedUp(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
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
