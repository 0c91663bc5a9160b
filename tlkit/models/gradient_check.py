"""Numerical against analytic gradients of a network, layer by layer, in float64.

Networks of a hundred layers have many rectifiers and much rounding, so that a layer or two of
ResNet-101 and ResNet-152 may be reported at some seeds and sizes, though their gradients are right.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tlkit.models.architectures.build import build_architecture
from tlkit.models.architectures.registry import find_trainable
from tlkit.models.backbones import Backbone
from tlkit.models.build import build_backbone
from tlkit.models.head import Head, attach_head

STEPS = (1e-6, 1e-7, 1e-8, 1e-9)  # of central differences: (f(w + h) − f(w − h)) / 2h is off by a multiple of h²
TOLERANCE = 1e-5  # relative
DIGITS = 15  # of a loss in float64
ROUNDING = 10 * 2.0**-52  # of the loss: how far rounding alone moves it
MAX_ALLOWED = 0.01  # relative: an entry for which rounding allows more shows nothing
NUM_IMAGES = 4
MIN_SIZE = 8  # pixels, where a network could be built for fewer
HEAD = Head(dropout=0.0, batch_norm=False, hidden=())
FIXED_WIDTH = ("lenet5",)  # its table of connections is for its own width


@dataclass(frozen=True)
class EntryCheck:
    """The comparison of both gradients of one entry of a weight.

    Attributes:
        gradient: the analytic one
        error: difference of both, relative to the larger of them
        allowed: the largest error that passes: `TOLERANCE`, and the part that rounding of the loss alone may cause
    """

    gradient: float
    error: float
    allowed: float

    @property
    def passed(self) -> bool:
        """True if both gradients agree."""
        return self.error <= self.allowed

    @property
    def is_comparable(self) -> bool:
        """True if the gradient is large enough: rounding hides any error of one that is nearly zero."""
        return self.allowed <= MAX_ALLOWED

    @property
    def reason(self) -> str:
        """The main cause of the allowed error."""
        return "tolerance" if self.allowed <= 2 * TOLERANCE else "rounding"


@dataclass(frozen=True)
class LayerGradientCheck:
    """The comparison of both gradients in one layer.

    Attributes:
        parameters: trainable weights and biases of the layer
        entries: of its weights, randomly drawn
    """

    name: str
    parameters: int
    entries: tuple[EntryCheck, ...]

    @property
    def passed(self) -> bool:
        """True if both gradients agree in every entry."""
        return all(entry.passed for entry in self.entries)

    @property
    def num_comparable(self) -> int:
        """The number of entries with a gradient that is large enough to be compared."""
        return sum(entry.is_comparable for entry in self.entries)

    @property
    def closest(self) -> EntryCheck:
        """The entry whose error is the largest part of what is allowed; comparable ones and failures go first."""
        return max(
            self.entries,
            key=lambda entry: (not entry.passed, entry.is_comparable, entry.error / max(entry.allowed, 1e-300)),
        )

    def as_json(self) -> dict[str, Any]:
        """Give the entry of `tlkit gradcheck --json`."""
        figures = {"passed": self.passed, "num_entries": len(self.entries), "num_comparable": self.num_comparable}
        closest = asdict(self.closest) | {"reason": self.closest.reason}
        return {"layer": self.name, "parameters": self.parameters} | figures | closest


def check_architecture(
    name: str, image_size: int = 0, num_classes: int = 4, width: float = 0.1, per_layer: int = 4, seed: int = 0
) -> list[LayerGradientCheck]:
    """Build an architecture or a backbone with random weights, without dropout, and check its gradients.

    Args:
        image_size: in pixels; 0 for the smallest it can be built for
        width: factor of the number of filters and units; of architectures only
        per_layer: see `check_gradients`
        seed: decides weights, images and entries

    Raises:
        OptionError
    """
    spec = find_trainable(name)
    size = image_size or max(spec.min_size, MIN_SIZE)
    with double_precision():
        if isinstance(spec, Backbone):
            body = build_backbone(spec, "none", size, seed)
        else:
            changes = {"width": 1.0 if spec.name in FIXED_WIDTH else width, "dropout": 0.0}
            body = build_architecture(spec, size, changes, seed=seed)
        return check_gradients(attach_head(body, HEAD, num_classes), per_layer, seed)


@contextmanager
def double_precision() -> Iterator[None]:
    """Build and compute everything inside in float64."""
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        yield
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)


def check_gradients(model: keras.Model, per_layer: int = 4, seed: int = 0) -> list[LayerGradientCheck]:
    """Compare the gradients of the cross-entropy at randomly drawn weights.

    Args:
        model: built in float64, pixels to probabilities; weights that are all zero get random values
        per_layer: how many entries of each weight are moved

    Returns:
        One result per layer with trainable weights, from the pixels up; batch norms use the batch
    """
    random = np.random.default_rng(seed)
    _fill_zeros(model, random)
    pixels = random.uniform(0, 255, (NUM_IMAGES, *model.input.shape[1:]))
    targets = np.eye(model.output.shape[-1])[np.arange(NUM_IMAGES) % model.output.shape[-1]]
    loss = _make_loss(model, pixels, targets)
    gradients = _analytic_gradients(model, loss)
    results = []
    for layer in model.layers:
        entries = [
            (weight, index) for weight in layer.trainable_weights for index in _draw_indices(weight, per_layer, random)
        ]
        if entries:
            analytic = [float(gradients[weight.path][index]) for weight, index in entries]
            checks = tuple(_check_entry(exact, *entry, loss) for exact, entry in zip(analytic, entries, strict=True))
            count = sum(int(np.prod(weight.shape)) for weight in layer.trainable_weights)
            results.append(LayerGradientCheck(layer.name, count, checks))
    return results


def _fill_zeros(model: keras.Model, random: np.random.Generator) -> None:
    """Draw the weights that are all zero.

    Below a last layer of zeros every gradient is zero, and a rectifier with a bias of zero may sit
    exactly where it has no derivative.
    """
    for weight in model.trainable_weights:
        if not np.any(weight.numpy()):
            weight.assign(random.normal(0, 0.1, weight.shape))


def _make_loss(model: keras.Model, pixels: np.ndarray, targets: np.ndarray) -> Callable[[], Any]:
    """Make the mean cross-entropy as a graph that reads the weights at every call."""
    inputs, one_hot = tf.constant(pixels), tf.constant(targets)

    @tf.function  # type: ignore[untyped-decorator]
    def loss() -> Any:
        """Compute the mean cross-entropy."""
        probabilities = model(inputs, training=True)
        return -tf.reduce_mean(tf.reduce_sum(one_hot * tf.math.log(probabilities), axis=-1))

    return loss  # type: ignore[no-any-return]


def _analytic_gradients(model: keras.Model, loss: Callable[[], Any]) -> dict[str, np.ndarray]:
    """Differentiate the loss by every trainable weight; keys are their paths."""
    with tf.GradientTape() as tape:
        value = loss()
    weights = model.trainable_weights
    gradients = tape.gradient(value, [weight.value for weight in weights])
    return {weight.path: np.asarray(gradient) for weight, gradient in zip(weights, gradients, strict=True)}


def _draw_indices(weight: Any, count: int, random: np.random.Generator) -> list[tuple[int, ...]]:
    """Draw the indices of up to `count` different entries of a weight."""
    size = int(np.prod(weight.shape))
    drawn = random.choice(size, min(count, size), replace=False)
    return [tuple(int(axis) for axis in np.unravel_index(flat, weight.shape)) for flat in drawn]


def _check_entry(exact: float, weight: Any, index: tuple[int, ...], loss: Callable[[], Any]) -> EntryCheck:
    """Compare the analytic gradient of one entry with the numerical one.

    In a deep network a step may carry some rectifier over its kink, where it has no derivative. Then
    smaller steps are tried, as long as rounding hides no more than the tolerance: a gradient that is
    wrong agrees at none of them.
    """
    best = EntryCheck(exact, float("inf"), TOLERANCE)
    for step in STEPS:
        noise = ROUNDING * float(loss()) / step
        if step < STEPS[0] and (best.passed or noise > TOLERANCE * abs(exact)):
            break
        numerical = _numerical_gradient(weight, index, loss, step)
        scale = max(abs(exact), abs(numerical), noise)
        found = EntryCheck(exact, abs(exact - numerical) / scale, TOLERANCE + noise / scale)
        if found.error - found.allowed < best.error - best.allowed:
            best = found
    return best


def _numerical_gradient(weight: Any, index: tuple[int, ...], loss: Callable[[], Any], step: float) -> float:
    before = weight.numpy().copy()
    losses = []
    for change in (step, -step):
        moved = before.copy()
        moved[index] += change
        weight.assign(moved)
        losses.append(float(loss()))
    weight.assign(before)
    return (losses[0] - losses[1]) / (2 * step)
