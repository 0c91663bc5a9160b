"""The head of a classifier in NumPy, as the loop trains it: no TensorFlow, whose import takes longer than the training.

It is the head of `models/head.py` with the same mathematics as Keras: batch norm, hidden ReLU layers with dropout
beside a linear layer, softmax, cross-entropy, AdamW. All that is trained is one flat array, kernels first, with its
gradients in a second one, so that the optimizer goes over it in blocks that fit into the processor's cache.
docs/decisions/046 has figures and alternatives.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np

from tlkit.models.head import EPSILON, Head
from tlkit.training.head.halves import FeatureHalf
from tlkit.training.loop.batches import Batch
from tlkit.training.loop.plan import FIXED_WARM_UPS, FitPlan
from tlkit.utils.parallel import TwoThreads

BETA_1, BETA_2, ADAM_EPSILON = 0.9, 0.999, 1e-7  # Keras's defaults
BATCH_NORM = ("gamma", "beta", "mean", "variance")
MIN_PROBABILITY = 1e-7  # as Keras clips before the logarithm
BLOCK = 1 << 16  # weights the optimizer updates at a time: a few such arrays fit into the cache
MIN_WEIGHTS = 100_000  # of a head that two threads train; a smaller one waits longer than it computes

Sums = tuple[np.ndarray, np.ndarray | None]


def can_learn(plan: FitPlan) -> bool:
    """Tell whether a plan asks for nothing that only Keras has; this is the list of what is done here."""
    return (
        plan.optimizer.name in ("adam", "adamw")
        and plan.optimizer.schedule in ("cosine", "one-cycle", "constant", "plateau")
        and plan.loss == "cross-entropy"
        and not plan.optimizer.ema
    )


class HeadLearner:
    """A head as a `Learner`.

    Attributes:
        weights: by name, in the order of `get_weights`: views of one array, and the statistics of the batch norm
        gradients: of the last step, by the names of what is trained
    """

    def __init__(self, head: Head, num_features: int, num_classes: int, seed: int) -> None:
        """Make a new head, which gives every class the same probability.

        Args:
            seed: of the initial weights of hidden layers
        """
        self._head, self._num_kernels = head, len(head.hidden) + 1 + bool(head.hidden)
        shapes = _shapes(head, num_features, num_classes)
        sizes = [math.prod(shape) for shape in shapes.values()]
        self._decayed = sum(sizes[: self._num_kernels])  # where what weight decay spares begins
        self._values, self._gradient, self._mean, self._square = np.zeros((4, sum(sizes)), np.float32)
        self.weights = dict(_views(self._values, shapes))
        self.gradients = dict(_views(self._gradient, shapes))
        if head.batch_norm:
            self.weights["gamma"][:] = 1
            self.weights |= {"mean": np.zeros(num_features, np.float32), "variance": np.ones(num_features, np.float32)}
        random = np.random.default_rng(seed)
        for index in range(1, len(head.hidden) + 1):
            kernel = self.weights[f"kernel_{index}"]
            bound = math.sqrt(6 / sum(kernel.shape))  # Glorot 2010
            kernel[:] = random.uniform(-bound, bound, kernel.shape)
        middle, trained = num_features // 2, (self.weights, self.gradients)
        self._halves = FeatureHalf(*trained, slice(0, middle)), FeatureHalf(*trained, slice(middle, num_features))
        self._threads = TwoThreads(sum(sizes) >= MIN_WEIGHTS)
        self._steps, self.learning_rate = 0, 0.0

    def prepare(self, plan: FitPlan, steps: int, lr_scale: float) -> None:
        """Start with a new optimizer."""
        self._plan, self._total, self._factor = plan, steps, 1.0
        self._peak = plan.optimizer.learning_rate * lr_scale
        self._mean[:] = self._square[:] = 0
        self._steps = 0

    def start_epoch(self, seed: int, epoch: int, lr_factor: float) -> None:
        """Make the draws of dropout depend on seed and epoch, and forget the means of the epoch before."""
        self._random = np.random.default_rng(np.random.SeedSequence((seed, epoch, 0)))
        self._factor = lr_factor if self._plan.optimizer.schedule == "plateau" else 1.0
        self._loss = self._correct = self._batches = 0.0

    def step(self, batch: Batch) -> tuple[float, float]:
        """Take a step, and give the means of loss and accuracy over the epoch so far."""
        loss, correct = self.differentiate(batch)
        self.learning_rate = self._rate_at(self._steps)
        self._update()
        self._loss, self._correct, self._batches = self._loss + loss, self._correct + correct, self._batches + 1
        return self._loss / self._batches, self._correct / self._batches

    def differentiate(self, batch: Batch) -> tuple[float, float]:
        """Compute the gradients of a batch, and give its loss and accuracy."""
        stored, targets, sample_weights = batch
        features = stored.astype(np.float32, copy=False)
        kept, rate, hidden = None, self._head.dropout, self._head.hidden
        if rate:
            shape = len(features), hidden[-1] if hidden else features.shape[1]
            kept = (self._random.random(shape, np.float32) >= rate) * np.float32(1 / (1 - rate))
        dropped = None if hidden else kept
        sums = self._threads(lambda half: half.forward(features, dropped), self._halves)
        values, probabilities = self._finish(sums, kept)
        scores = (probabilities - targets) * (sample_weights / len(features))[:, np.newaxis]
        self._backward(values, kept, scores)
        losses = self.losses(targets, probabilities) * sample_weights
        correct = probabilities.argmax(axis=1) == targets.argmax(axis=1)
        return float(losses.mean()) + self._penalize(), float(correct.mean())

    def _finish(self, sums: Sequence[Sums], kept: np.ndarray | None = None) -> tuple[list[np.ndarray], np.ndarray]:
        """Compute what follows the layers on the features.

        Args:
            sums: of the layers on the features, of each half
            kept: what dropout multiplies the last hidden layer by

        Returns:
            The output of each hidden layer, and probabilities
        """
        (entered, direct), (other, other_direct) = sums
        entered += other
        if direct is None or other_direct is None:
            return [], _softmax(entered + self.weights["bias"])
        values = [_relu(entered + self.weights["bias_1"])]
        for index in range(2, len(self._head.hidden) + 1):
            values.append(_relu(values[-1] @ self.weights[f"kernel_{index}"] + self.weights[f"bias_{index}"]))
        if kept is not None:
            values[-1] *= kept
        return values, _softmax(values[-1] @ self.weights["kernel"] + self.weights["bias"] + direct + other_direct)

    def _backward(self, values: list[np.ndarray], kept: np.ndarray | None, scores: np.ndarray) -> None:
        """Fill the gradients.

        Args:
            values: the output of each hidden layer
            kept: what dropout multiplied the last of them by
            scores: gradients of the logits
        """
        found, gradient = self.gradients, scores
        scores.sum(axis=0, out=found["bias"])
        if values:
            np.dot(values[-1].T, scores, out=found["kernel"])
            gradient = scores @ self.weights["kernel"].T
            if kept is not None:
                gradient *= kept
        for index in range(len(values), 0, -1):
            gradient *= values[index - 1] > 0
            gradient.sum(axis=0, out=found[f"bias_{index}"])
            if index > 1:
                np.dot(values[index - 2].T, gradient, out=found[f"kernel_{index}"])
                gradient = gradient @ self.weights[f"kernel_{index}"].T
        bias_gradient = found["bias_1" if values else "bias"]
        self._threads(lambda half: half.backward(gradient, scores, bias_gradient), self._halves)

    def _penalize(self) -> float:
        """Add the gradients of the penalties on kernels, and give their loss."""
        l1, l2 = self._head.l1, self._head.l2
        if not (l1 or l2):
            return 0.0
        kernels = self._values[: self._decayed]
        self._gradient[: self._decayed] += np.float32(l1) * np.sign(kernels) + np.float32(2 * l2) * kernels
        return float(l1 * np.abs(kernels).sum() + l2 * np.square(kernels).sum())

    def _rate_at(self, step: int) -> float:
        """Compute the learning rate of a step, counted from 0: a linear rise from 0, then the schedule."""
        config = self._plan.optimizer
        rise = round(FIXED_WARM_UPS.get(config.schedule, config.warm_up) * self._total)
        if step < rise:
            return self._peak * step / rise
        if config.schedule in ("constant", "plateau"):
            return self._peak * self._factor
        done = min(1.0, (step - rise) / max(1, self._total - rise))
        return self._peak * 0.5 * (1 + math.cos(math.pi * done))

    def _update(self) -> None:
        """Take a step of AdamW (Loshchilov 2019), block by block."""
        config, rate = self._plan.optimizer, self.learning_rate
        self._steps += 1
        if config.clip_norm:
            norm = math.sqrt(float(np.dot(self._gradient, self._gradient)))
            self._gradient *= np.float32(config.clip_norm / max(norm, config.clip_norm))
        step_size = np.float32(rate * math.sqrt(1 - BETA_2**self._steps) / (1 - BETA_1**self._steps))
        decay, middle = np.float32(1 - rate * config.weight_decay), len(self._values) // 2
        self._threads(
            lambda part: self._update_part(*part, decay, step_size), ((0, middle), (middle, len(self._values)))
        )

    def _update_part(self, start: int, end: int, decay: np.float32, step_size: np.float32) -> None:
        """Update the weights from one position to another."""
        change = np.empty(min(BLOCK, end - start), np.float32)
        for first in range(start, end, BLOCK):
            part = slice(first, min(first + BLOCK, end))
            values, gradient, mean, square = (
                array[part] for array in (self._values, self._gradient, self._mean, self._square)
            )
            moved = change[: len(gradient)]
            np.subtract(gradient, mean, out=moved)
            moved *= np.float32(1 - BETA_1)
            mean += moved
            np.multiply(gradient, gradient, out=moved)
            moved -= square
            moved *= np.float32(1 - BETA_2)
            square += moved
            np.sqrt(square, out=moved)
            moved += np.float32(ADAM_EPSILON)
            np.divide(mean, moved, out=moved)
            moved *= step_size
            values[: max(0, self._decayed - first)] *= decay
            values -= moved

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Give probabilities, as the finished head does."""
        arrays, values = self.arrays(), features.astype(np.float32, copy=False)
        return self._finish(self._threads(lambda half: half.predict(values, arrays), self._halves))[1]

    def arrays(self) -> dict[str, np.ndarray]:
        """Give what the finished head computes with, named as by `models.head.head_arrays`."""
        arrays = {name: value for name, value in self.weights.items() if name not in BATCH_NORM}
        if self._head.batch_norm:
            gamma, beta, mean, variance = (self.weights[name].astype(np.float64) for name in BATCH_NORM)
            scale = gamma / np.sqrt(variance + EPSILON)
            arrays |= {"scale": scale.astype(np.float32), "offset": (beta - mean * scale).astype(np.float32)}
        return arrays

    def losses(self, targets: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """Compute the cross-entropy of each image."""
        clipped = np.clip(probabilities, MIN_PROBABILITY, 1 - MIN_PROBABILITY)
        losses: np.ndarray = -np.einsum("ij,ij->i", targets, np.log(clipped))
        return losses

    def averaged(self) -> AbstractContextManager[None]:
        """Leave the weights as they are: no average is kept."""
        return nullcontext()

    def get_weights(self) -> list[np.ndarray]:
        """Copy the weights."""
        return [value.copy() for value in self.weights.values()]

    def set_weights(self, weights: Sequence[np.ndarray]) -> None:
        """Replace the weights."""
        for value, new in zip(self.weights.values(), weights, strict=True):
            value[...] = new

    def get_state(self) -> list[np.ndarray]:
        """Give the weights, the two moments of the gradients, and the number of steps."""
        return [*self.get_weights(), self._mean, self._square, np.array(self._steps)]

    def set_state(self, state: Sequence[np.ndarray]) -> None:
        """Continue from a checkpoint."""
        *weights, self._mean[:], self._square[:], steps = state
        self.set_weights(weights)
        self._steps = int(steps)


def _shapes(head: Head, num_features: int, num_classes: int) -> dict[str, tuple[int, ...]]:
    """Give the shape of everything that is trained: kernels, then what weight decay spares."""
    units = (num_features, *head.hidden)
    kernels = {f"kernel_{index}": units[index - 1 : index + 1] for index in range(1, len(units))}
    kernels["kernel"] = units[-1], num_classes
    if head.hidden:
        kernels["linear"] = num_features, num_classes
    spared: dict[str, tuple[int, ...]] = {f"bias_{index}": units[index : index + 1] for index in range(1, len(units))}
    if head.batch_norm:
        spared |= {"gamma": (num_features,), "beta": (num_features,)}
    return kernels | spared | {"bias": (num_classes,)}


def _views(values: np.ndarray, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[str, np.ndarray]]:
    """Give the parts of a flat array in these shapes."""
    start = 0
    for name, shape in shapes.items():
        end = start + math.prod(shape)
        yield name, values[start:end].reshape(shape)
        start = end


def _relu(values: np.ndarray) -> np.ndarray:
    positive: np.ndarray = np.maximum(values, 0, out=values)
    return positive


def _softmax(logits: np.ndarray) -> np.ndarray:
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    return logits
