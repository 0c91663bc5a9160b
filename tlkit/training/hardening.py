"""Hardening: the damaged and attacked images that a phase trains on, and what they cost (decision 041)."""

from dataclasses import dataclass, replace
from typing import Any

from tlkit.data.augment import NO_AUGMENTATION, AugmentedBatches, AugmentedViews, OversizedImage
from tlkit.features.extract import extract
from tlkit.features.extractor import FrozenExtractor, completed, pixel_extractor
from tlkit.robustness.adversary import ATTACK_STEPS, ATTACKED, Adversary, FrozenPart
from tlkit.training.loop.plan import FitPlan
from tlkit.training.recipe import NetworkDataset, NetworkTraining
from tlkit.utils.progress import Progress


@dataclass(frozen=True)
class Hardening:
    """Damaged and attacked images that a phase trains on in addition to its usual views.

    Attributes:
        noise: whether it trains on degraded views, too
        epsilon: of attacks on half of each batch, in gray levels; 0 for none
    """

    noise: bool = False
    epsilon: int = 0

    @staticmethod
    def from_options(kind: str, epsilon: int) -> "Hardening":
        """Take the options `--harden` and `--harden-epsilon`."""
        return Hardening(kind in ("noise", "both"), epsilon if kind in ("adversarial", "both") else 0)

    def views(self, training: NetworkTraining) -> AugmentedViews:
        """Choose the views that are cached of each image; perhaps fewer fit on the disk.

        With noise every second view is degraded; without augmentation all but the plain one, for the others would be
        equal.
        """
        asked, seed, augmentation = training.settings.views, training.settings.seed, training.augmentation
        if augmentation == NO_AUGMENTATION:
            return self.degraded_views(training) if self.noise else AugmentedViews(1, seed, augmentation)
        if self.noise:
            return AugmentedViews(2 * asked, seed, augmentation, "every second")
        return AugmentedViews(asked, seed, augmentation)

    def degraded_views(self, training: NetworkTraining) -> AugmentedViews:
        """Choose the plain view and degraded ones that are not augmented."""
        return AugmentedViews(1 + training.settings.views, training.settings.seed, NO_AUGMENTATION, "all")

    def plan(self, plan: FitPlan, asked: int) -> FitPlan:
        """Double the epochs for degraded views, so that each image is trained on undamaged as often as without them.

        Args:
            asked: epochs that the options ask for; 0 for none
        """
        return replace(plan, epochs=2 * plan.epochs) if self.noise and not asked else plan

    def adversary(
        self,
        training: NetworkTraining,
        dataset: NetworkDataset,
        below: tuple[Any, FrozenExtractor] | None,
        progress: Progress,
    ) -> Adversary | None:
        """Prepare the attacks; None where there are none.

        Args:
            below: the frozen part, as Keras and as the engine run it; None where batches are pixels
        """
        if not self.epsilon:
            return None
        train, seed = dataset.split.train, training.settings.seed
        if below is None:
            return Adversary(train.labels, self.epsilon, seed)
        images = augmented_images(training, dataset, progress)
        return Adversary(train.labels, self.epsilon, seed, FrozenPart(below[0], below[1].engine, images))

    def attack_seconds(self, whole_step: float, frozen: float, batch_size: int) -> float:
        """Estimate the seconds that attacks add to a step.

        Args:
            whole_step: seconds of a training step of the whole network
            frozen: seconds an image takes through the frozen part
        """
        return ATTACKED * (ATTACK_STEPS * whole_step + frozen * batch_size) if self.epsilon else 0.0


NO_HARDENING = Hardening()


def augmented_images(
    training: NetworkTraining, dataset: NetworkDataset, progress: Progress, degraded: bool = False
) -> AugmentedBatches:
    """Decode the training images once; every epoch sees them with new augmentation.

    Args:
        degraded: whether half of them are degraded
    """
    train = dataset.split.train
    oversized = extract(train, completed(pixel_extractor(training.image)), training.image, progress, OversizedImage())
    options = training.augmentation, training.image.size, training.settings.seed, degraded
    return AugmentedBatches(oversized.open(train), train.sha256, *options)
