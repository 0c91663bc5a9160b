"""Adversarial training (Goodfellow et al. 2015, Madry et al. 2018): half of each batch is attacked, then trained on.

The attack is PGD of a few steps from a random point; after one step only (Wong et al. 2020) networks resisted that step
but not PGD. It goes to the pixels through the whole network, as it is at that step. What lies below the cut is frozen,
but what it makes of the attacked pixels is computed at each step.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from tlkit.data.augment import AugmentedBatches
from tlkit.engines.base import Engine, ThreadedRunner
from tlkit.models.graph import topological_order
from tlkit.models.keras_setup import start_keras
from tlkit.robustness.attacks import AttackOptions, pgd
from tlkit.robustness.gradient import LossGradient

ATTACKED = 0.5  # fraction of a batch
ATTACK_STEPS, STEP_SIZE = 4, 0.5  # of PGD; the size as a multiple of epsilon


@dataclass(frozen=True)
class FrozenPart:
    """The network below the part that is trained.

    Attributes:
        network: the Keras model, from pixels to the cut
        engine: the same, as `predict` runs it
        images: the training images as an epoch sees them
    """

    network: Any
    engine: Engine
    images: AugmentedBatches


class Adversary:
    """Attacks half of the images of each batch of a training.

    Attributes:
        epsilon: maximum change of any value, in gray levels
        seconds: that attacks have taken
    """

    def __init__(self, labels: np.ndarray, epsilon: int, seed: int, frozen: FrozenPart | None = None) -> None:
        """Take what attacks need.

        Args:
            labels: int (images,) of the training images
            seed: decides the random points, with the content of each image
            frozen: None where everything is trained, so that batches are pixels
        """
        self.epsilon, self.seconds = epsilon, 0.0
        self._labels, self._seed, self._frozen = labels, seed, frozen
        self._run = ThreadedRunner(frozen.engine) if frozen else None
        self._gradient: LossGradient | None = None

    def aim_at(self, top: Any) -> None:
        """Attack this network from now on.

        Args:
            top: the part that is trained, from what batches hold to probabilities
        """
        self._gradient = LossGradient(_join(self._frozen.network, top) if self._frozen else top)

    def attack(self, batch: np.ndarray, positions: np.ndarray, epoch: int) -> np.ndarray:
        """Put attacked images in the place of the first half of a batch.

        Args:
            batch: what the network is trained on: (images, …)
            positions: of its images among the training images

        Returns:
            The batch with attacked images, of the same shape
        """
        assert self._gradient, "aimed first"
        started, count = time.perf_counter(), max(1, round(ATTACKED * len(batch)))
        chosen = positions[:count]
        pixels = self._frozen.images.in_epoch(epoch)[chosen] if self._frozen else batch[:count]
        options = AttackOptions(step_size=STEP_SIZE * self.epsilon, seed=self._seed)
        attacked = pgd(self._gradient, pixels, self._labels[chosen], self.epsilon, ATTACK_STEPS, options)
        changed = np.concatenate([self._run(attacked) if self._run else attacked, batch[count:]])
        self.seconds += time.perf_counter() - started
        return changed


def _join(network: Any, top: Any) -> Any:
    """Join a frozen network and a top that ends with a softmax into one that does, too, and shares their variables."""
    keras = start_keras()
    *_, (_, (logits,), _) = topological_order(top.output)
    scores = keras.Model(top.input, logits)
    return keras.Model(network.input, keras.layers.Softmax()(scores(network.output)), name="joined")
