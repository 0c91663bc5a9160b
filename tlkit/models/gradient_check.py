"""Numerical against analytic gradients of a network, layer by layer, in float64.

Networks of a hundred layers pass on so many bends and so much rounding that a layer or two of
ResNet-101 and ResNet-152 may be reported at some seeds and sizes, though their gradients are right.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tlkit.models.architectures.build import build_architecture
from tlkit.models.architectures.registry import find_trainable
from tlkit.models.backbones import Backbone
from tlkit.models.build import build_backbone
from tlkit.models.head import Head, attach_head
from tlkit.settings.commands import GradcheckSettings

STEPS = (1e-6, 1e-7, 1e-8, 1e-9)  # of central differences: (f(w + h) − f(w − h)) / 2h is off by a multiple of h²
TOLERANCE = 1e-5  # relative
ROUNDING = 10 * 2.0**-52  # of the loss: how far rounding alone moves it
IMAGES = 4
MIN_SIZE = 8  # pixels, where a network could be built for fewer
HEAD = Head(dropout=0.0, batch_norm=False, hidden=())
KEEP_WIDTH = ("lenet5",)  # whose table of connections is for its own width


@dataclass(frozen=True)
class LayerGradientCheck:
    """What was found of one layer.

    checked  how many of its weights were moved
    largest  absolute analytic gradient among them
    error    largest difference of the two gradients, relative to the larger of them
    beyond   the same of what rounding does not explain
    """

    name: str
    parameters: int
    checked: int
    largest: float
    error: float
    beyond: float

    @property
    def holds(self) -> bool:
        """Whether both gradients agree."""
        return self.beyond <= TOLERANCE


@contextmanager
def double_precision() -> Iterator[None]:
    """Everything that is built and computed meanwhile is float64."""
    before = keras.config.floatx()
    policy = keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        yield
    finally:
        keras.config.set_floatx(before)
        keras.config.set_dtype_policy(policy)


def check_architecture(name: str, settings: GradcheckSettings) -> list[LayerGradientCheck]:
    """Build a network as small as it can be, without dropout, and check it.

    raises: OptionError
    """
    row = find_trainable(name)
    size = settings.image_size or max(row.least_size, MIN_SIZE)
    with double_precision():
        if isinstance(row, Backbone):
            body = build_backbone(row, "none", size, settings.seed)
        else:
            width = settings.width if row.name not in KEEP_WIDTH else 1.0
            body = build_architecture(row, size, {"width": width, "dropout": 0.0}, seed=settings.seed)
        return check_gradients(attach_head(body, HEAD, settings.num_classes), settings.per_layer, settings.seed)


def check_gradients(model: keras.Model, per_layer: int = 4, seed: int = 0) -> list[LayerGradientCheck]:
    """Compare the gradients of the cross-entropy at randomly drawn weights.

    model: built in float64, pixels to probabilities; weights that are all zero get random values
    per_layer: how many entries of each weight are moved
    returns: a row per layer with trainable weights, from the pixels up; batch norms use the batch
    """
    random = np.random.default_rng(seed)
    _fill_zeros(model, random)
    pixels = random.uniform(0, 255, (IMAGES, *model.input.shape[1:]))
    targets = np.eye(model.output.shape[-1])[np.arange(IMAGES) % model.output.shape[-1]]
    loss = _loss_of(model, pixels, targets)
    analytic = _analytic(model, loss)
    rows = []
    for layer in model.layers:
        entries = [
            (weight, place) for weight in layer.trainable_weights for place in _places(weight, per_layer, random)
        ]
        if entries:
            exact = [float(analytic[weight.path][place]) for weight, place in entries]
            found = [_errors(gradient, *entry, loss) for gradient, entry in zip(exact, entries, strict=True)]
            worst = [max(column) for column in zip(*found, strict=True)]
            count = sum(int(np.prod(weight.shape)) for weight in layer.trainable_weights)
            rows.append(LayerGradientCheck(layer.name, count, len(entries), max(map(abs, exact)), *worst))
    return rows


def _errors(exact: float, weight: Any, place: tuple[int, ...], loss: Callable[[], Any]) -> tuple[float, float]:
    """How far an analytic gradient is from the numerical one, relative; and how far beyond what rounding explains.

    In a deep network a step may carry some rectifier over its bend, where there is no gradient. Then
    smaller steps are tried, as long as rounding hides no more than the tolerance: a gradient that is
    wrong agrees at none of them.
    """
    error = beyond = float("inf")
    for step in STEPS:
        noise = ROUNDING * float(loss()) / step
        if step < STEPS[0] and (beyond <= TOLERANCE or noise > TOLERANCE * abs(exact)):
            break
        measured = _numerical(weight, place, loss, step)
        apart, larger = abs(exact - measured), max(abs(exact), abs(measured), noise)
        error, beyond = min(
            (error, beyond), (apart / larger, max(apart - noise, 0.0) / larger), key=lambda both: both[1]
        )
    return error, beyond


def _fill_zeros(model: keras.Model, random: np.random.Generator) -> None:
    """A last layer of zeros passes no gradient on; biases of zero leave rectifiers just where they bend."""
    for weight in model.trainable_weights:
        if not np.any(weight.numpy()):
            weight.assign(random.normal(0, 0.1, weight.shape))


def _loss_of(model: keras.Model, pixels: np.ndarray, targets: np.ndarray) -> Callable[[], Any]:
    """The mean cross-entropy, as a graph that reads the weights anew each time."""
    inputs, wanted = tf.constant(pixels), tf.constant(targets)

    @tf.function  # type: ignore[untyped-decorator]
    def loss() -> Any:
        shares = model(inputs, training=True)
        return -tf.reduce_mean(tf.reduce_sum(wanted * tf.math.log(shares), axis=-1))

    return loss  # type: ignore[no-any-return]


def _analytic(model: keras.Model, loss: Callable[[], Any]) -> dict[str, np.ndarray]:
    """By the path of a weight."""
    with tf.GradientTape() as tape:
        value = loss()
    weights = model.trainable_weights
    found = tape.gradient(value, [weight.value for weight in weights])
    return {weight.path: np.asarray(gradient) for weight, gradient in zip(weights, found, strict=True)}


def _places(weight: Any, count: int, random: np.random.Generator) -> list[tuple[int, ...]]:
    """Some positions in a weight, each once."""
    size = int(np.prod(weight.shape))
    drawn = random.choice(size, min(count, size), replace=False)
    return [tuple(int(part) for part in np.unravel_index(one, weight.shape)) for one in drawn]


def _numerical(weight: Any, place: tuple[int, ...], loss: Callable[[], Any], step: float) -> float:
    before = weight.numpy().copy()
    found = []
    for change in (step, -step):
        moved = before.copy()
        moved[place] += change
        weight.assign(moved)
        found.append(float(loss()))
    weight.assign(before)
    return (found[0] - found[1]) / (2 * step)
