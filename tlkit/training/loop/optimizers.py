"""Keras's optimizers and learning-rate schedules, with a learning rate per variable."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import keras

from tlkit.training.loop.plan import FIXED_WARM_UPS, OptimizerConfig


@dataclass(frozen=True)
class OptimizerSpec:
    """One of Keras's optimizers; `training/hyperparameters.py` has the default learning rates.

    Attributes:
        constructor: its name in `keras.optimizers`
        uses_momentum: whether it takes momentum and nesterov
        needs_weight_decay: whether its weight decay must be a number, not None
    """

    constructor: str
    uses_momentum: bool = False
    needs_weight_decay: bool = False


OPTIMIZERS = {
    "sgd": OptimizerSpec("SGD", uses_momentum=True),
    "rmsprop": OptimizerSpec("RMSprop"),
    "adam": OptimizerSpec("Adam"),
    "adamw": OptimizerSpec("AdamW", needs_weight_decay=True),
    "adadelta": OptimizerSpec("Adadelta"),
    "adagrad": OptimizerSpec("Adagrad"),
    "nadam": OptimizerSpec("Nadam"),
}

Schedule = Any  # a number, or a keras LearningRateSchedule
FINAL_FRACTION = 0.01  # of the learning rate, where an exponential decay ends
ADAMS = ("Adam", "AdamW")  # whose update TensorFlow has as one operation

SCHEDULES: dict[str, Callable[[float, int], Schedule]] = {
    "constant": lambda rate, steps: rate,
    "plateau": lambda rate, steps: rate,  # falls epoch by epoch, see `plateau_factor`
    "step": lambda rate, steps: keras.optimizers.schedules.PiecewiseConstantDecay(
        [steps // 2, steps * 3 // 4], [rate, rate / 10, rate / 100]
    ),
    "exponential": lambda rate, steps: keras.optimizers.schedules.ExponentialDecay(rate, steps, FINAL_FRACTION),
    "cosine": keras.optimizers.schedules.CosineDecay,
    "one-cycle": keras.optimizers.schedules.CosineDecay,
}


def make_schedule(name: str, learning_rate: float, steps: int, warm_up: float) -> Schedule:
    """Make the learning rate by step: a linear rise from 0, then the named schedule.

    Args:
        learning_rate: the peak
        steps: in all
        warm_up: fraction of the steps in which it rises
    """
    warm_up_steps = round(FIXED_WARM_UPS.get(name, warm_up) * steps)
    schedule = SCHEDULES[name](learning_rate, max(1, steps - warm_up_steps))
    return WarmUp(learning_rate, warm_up_steps, schedule) if warm_up_steps else schedule


class WarmUp(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A schedule after a linear rise from 0 (Goyal 2017).

    Args:
        learning_rate: the peak
        steps: of the rise
        then: a number or a schedule, whose steps are counted from the end of the rise
    """

    def __init__(self, learning_rate: float, steps: int, then: Schedule) -> None:
        self.learning_rate, self.steps, self.then = learning_rate, steps, then

    def __call__(self, step: Any) -> Any:
        """Compute the learning rate at a step."""
        step = keras.ops.cast(step, "float32")
        after = keras.ops.maximum(step - self.steps, 0.0)
        then = self.then(after) if callable(self.then) else self.then
        return keras.ops.where(step < self.steps, self.learning_rate * step / self.steps, then)

    def get_config(self) -> dict[str, Any]:
        """Give the arguments of the constructor."""
        return {"learning_rate": self.learning_rate, "steps": self.steps, "then": self.then}


NO_WEIGHT_DECAY = ["bias", "gamma", "beta"]  # variables that weight decay spares


def compile_model(
    model: keras.Model, config: OptimizerConfig, loss: keras.losses.Loss, steps: int, lr_scale: float = 1.0
) -> None:
    """Make a model ready to train, with a new optimizer.

    Args:
        steps: in all
        lr_scale: of the learning rate
    """
    spec = OPTIMIZERS[config.name]
    options: dict[str, Any] = {"momentum": config.momentum, "nesterov": config.nesterov} if spec.uses_momentum else {}
    if config.ema:
        options |= {"use_ema": True, "ema_momentum": config.ema}
    optimizer = layerwise(spec.constructor)(
        config.lr_multipliers,
        learning_rate=make_schedule(config.schedule, config.learning_rate * lr_scale, steps, config.warm_up),
        weight_decay=config.weight_decay if config.weight_decay or spec.needs_weight_decay else None,
        global_clipnorm=config.clip_norm or None,
        **options,
    )
    if config.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=NO_WEIGHT_DECAY)
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)


@contextmanager
def ema_weights(model: keras.Model, config: OptimizerConfig) -> Iterator[None]:
    """Put the moving average of the weights into the model for a while, where one is kept."""
    if not config.ema:
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
    """Make a class of one of Keras's optimizers with a learning rate per variable (Howard and Ruder 2018).

    Its first argument is the multiplier of the learning rate by a variable's path; 1 where not named.
    """
    kind: Any = getattr(keras.optimizers, constructor)

    class Layerwise(kind):  # type: ignore[misc]
        """The optimizer with a multiplier for each weight."""

        def __init__(self, lr_multipliers: Mapping[str, float], **options: Any) -> None:
            super().__init__(**options)
            self._by_path = dict(lr_multipliers)
            self._multipliers: list[float] = []

        def build(self, variables: list[Any]) -> None:
            """Create the optimizer's variables and the multipliers."""
            super().build(variables)
            self._multipliers = [self._by_path.get(variable.path, 1.0) for variable in variables]

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            """Update one weight."""
            index = self._get_variable_index(variable)
            rate = learning_rate * self._multipliers[index]
            if constructor in ADAMS and keras.backend.backend() == "tensorflow":
                apply_adam(self, gradient, variable, rate, (self._momentums[index], self._velocities[index]))
            else:
                super().update_step(gradient, variable, rate)

    Layerwise.__name__ = f"Layerwise{constructor}"
    return Layerwise


def apply_adam(optimizer: Any, gradient: Any, variable: Any, learning_rate: Any, moments: tuple[Any, Any]) -> None:
    """Update one weight and its two moments in one operation of TensorFlow, as Keras does in fifteen.

    Each of Keras's reads and writes the whole array.
    """
    import tensorflow as tf

    step = tf.cast(optimizer.iterations.value + 1, variable.dtype)
    first, second = (moment.value.handle for moment in moments)
    beta_1, beta_2 = (tf.constant(beta, variable.dtype) for beta in (optimizer.beta_1, optimizer.beta_2))
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=first,
        v=second,
        beta1_power=beta_1**step,
        beta2_power=beta_2**step,
        lr=tf.cast(learning_rate, variable.dtype),
        beta1=beta_1,
        beta2=beta_2,
        epsilon=tf.constant(optimizer.epsilon, variable.dtype),
        grad=gradient,
    )
