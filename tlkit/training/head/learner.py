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

from tlkit.models.head import EPSILON, MOMENTUM, Head
from tlkit.training.loop.batches import Batch
from tlkit.training.loop.plan import FIXED_WARM_UPS, FitPlan

BETA_1, BETA_2, ADAM_EPSILON = 0.9, 0.999, 1e-7  # Keras's defaults
BATCH_NORM = ("gamma", "beta", "mean", "variance")
MIN_PROBABILITY = 1e-7  # as Keras clips before the logarithm
BLOCK = 1 << 16  # weights the optimizer updates at a time: a few such arrays fit into the cache


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
        features, targets, sample_weights = batch
        standard = self._standardize(features) if self._head.batch_norm else features
        inputs = self._scaled(standard)
        values = [inputs]
        for index in range(1, len(self._head.hidden) + 1):
            values.append(_relu(values[-1] @ self.weights[f"kernel_{index}"] + self.weights[f"bias_{index}"]))
        kept, rate = None, self._head.dropout
        if rate:
            kept = (self._random.random(values[-1].shape, np.float32) >= rate) * np.float32(1 / (1 - rate))
            values[-1] = values[-1] * kept
        probabilities = _softmax(self._logits(values[-1], features))
        scores = (probabilities - targets) * (sample_weights / len(features))[:, np.newaxis]
        self._backward(features, standard, values, kept, scores)
        losses = self.losses(targets, probabilities) * sample_weights
        correct = probabilities.argmax(axis=1) == targets.argmax(axis=1)
        return float(losses.mean()) + self._penalize(), float(correct.mean())

    def _standardize(self, features: np.ndarray) -> np.ndarray:
        """Standardize a batch by its own statistics, and move those of all batches toward them."""
        mean = features.mean(axis=0)
        centered: np.ndarray = features - mean
        variance = np.einsum("ij,ij->j", centered, centered) / np.float32(len(features))
        for name, value in (("mean", mean), ("variance", variance)):
            self.weights[name] += np.float32(1 - MOMENTUM) * (value - self.weights[name])
        centered /= np.sqrt(variance + np.float32(EPSILON))
        return centered

    def _scaled(self, standard: np.ndarray) -> np.ndarray:
        if not self._head.batch_norm:
            return standard
        scaled: np.ndarray = standard * self.weights["gamma"] + self.weights["beta"]
        return scaled

    def _logits(self, values: np.ndarray, features: np.ndarray) -> np.ndarray:
        logits: np.ndarray = values @ self.weights["kernel"] + self.weights["bias"]
        return logits + features @ self.weights["linear"] if self._head.hidden else logits

    def _backward(
        self,
        features: np.ndarray,
        standard: np.ndarray,
        values: list[np.ndarray],
        kept: np.ndarray | None,
        scores: np.ndarray,
    ) -> None:
        """Fill the gradients.

        Args:
            standard: the features less their mean, over their deviation; the features where there is no batch norm
            values: the input of each layer that has a kernel
            kept: what dropout multiplied the last of them by
            scores: gradients of the logits
        """
        found = self.gradients
        if self._head.hidden:
            np.dot(features.T, scores, out=found["linear"])
        np.dot(values[-1].T, scores, out=found["kernel"])
        scores.sum(axis=0, out=found["bias"])
        gradient = scores @ self.weights["kernel"].T
        if kept is not None:
            gradient *= kept
        for index in range(len(self._head.hidden), 0, -1):
            gradient *= values[index] > 0
            kernel, bias = found[f"kernel_{index}"], found[f"bias_{index}"]
            gradient.sum(axis=0, out=bias)
            if index > 1 or not self._head.batch_norm:
                np.dot(values[index - 1].T, gradient, out=kernel)
                gradient = gradient @ self.weights[f"kernel_{index}"].T if index > 1 else gradient
                continue
            np.dot(standard.T, gradient, out=kernel)  # of the standardized features: gives those of the batch norm, too
            np.einsum("ij,ij->i", kernel, self.weights["kernel_1"], out=found["gamma"])
            np.dot(self.weights["kernel_1"], bias, out=found["beta"])
            kernel *= self.weights["gamma"][:, np.newaxis]
            kernel += self.weights["beta"][:, np.newaxis] * bias
        if self._head.batch_norm and not self._head.hidden:
            np.einsum("ij,ij->j", gradient, standard, out=found["gamma"])
            gradient.sum(axis=0, out=found["beta"])

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
        self._values[: self._decayed] *= np.float32(1 - rate * config.weight_decay)
        step_size = np.float32(rate * math.sqrt(1 - BETA_2**self._steps) / (1 - BETA_1**self._steps))
        change = np.empty(min(BLOCK, len(self._values)), np.float32)
        for start in range(0, len(self._values), BLOCK):
            part = slice(start, start + BLOCK)
            gradient, mean, square = self._gradient[part], self._mean[part], self._square[part]
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
            self._values[part] -= moved

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Give probabilities, as the finished head does."""
        arrays = self.arrays()
        values = features * arrays["scale"] + arrays["offset"] if self._head.batch_norm else features
        for index in range(1, len(self._head.hidden) + 1):
            values = _relu(values @ self.weights[f"kernel_{index}"] + self.weights[f"bias_{index}"])
        return _softmax(self._logits(values, features))

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
