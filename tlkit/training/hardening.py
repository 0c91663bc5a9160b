"""Hardening: which phase trains on damaged images, and how it gets them (decision 041)."""

from dataclasses import dataclass

from tlkit.data.augment import NO_AUGMENTATION, AugmentedViews
from tlkit.training.recipe import NetworkTraining


@dataclass(frozen=True)
class Hardening:
    """Damaged images that a phase trains on in addition to its usual views.

    Attributes:
        noise: whether it trains on degraded views, too
    """

    noise: bool = False

    @staticmethod
    def from_options(kind: str) -> "Hardening":
        """Take the option `--harden`."""
        return Hardening(noise=kind in ("noise", "both"))

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


NO_HARDENING = Hardening()
