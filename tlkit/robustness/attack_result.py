"""The answers of a run to adversarial images."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tlkit.data.listing import FileEntry
from tlkit.evaluation.report import Report
from tlkit.inference.predictor import Prediction


@dataclass(frozen=True)
class AttackedImage:
    """One image before and after the attack, as predict answers.

    Attributes:
        path: of the original
        label: index of its class; of an image without a class, of the answer before
        before, after: answers of predict to the original, and to the adversarial image
        original, adversarial: uint8 (size, size, 3); None where they are not kept
    """

    path: str
    label: int
    before: Prediction
    after: Prediction
    original: np.ndarray | None = field(default=None, repr=False)
    adversarial: np.ndarray | None = field(default=None, repr=False)


@dataclass(frozen=True)
class AttackResult:
    """The answers of a run to adversarial images.

    Attributes:
        class_names: of the run, in label order
        method, norm: of the attack
        steps: of the attack, 1 for FGSM
        target: the class to reach; "" for any wrong class
        counted: what the images are for the run: "new", "validation" or "training"; "" for single images
        is_labeled: whether the classes of the images are known
        by_epsilon: the images at each epsilon, in gray levels, the smallest first
        skipped: files that are not attacked, each with its reason
        first_change: the smallest epsilon at which the answer changes, of a single image; None where none was found
        learned: the pattern of "universal", int16 (size, size, 3), or the patch, uint8 (side, side, 3); None of others
        num_learned: images that it was learned on; none of them is among the others
        num_control: correct answers with a random pattern, or a gray patch at the same positions
    """

    class_names: tuple[str, ...]
    method: str
    norm: str
    steps: int
    target: str
    counted: str
    is_labeled: bool
    by_epsilon: dict[float, tuple[AttackedImage, ...]] = field(repr=False)
    skipped: tuple[FileEntry, ...] = field(default=(), repr=False)
    first_change: float | None = None
    learned: np.ndarray | None = field(default=None, repr=False)
    num_learned: int = 0
    num_control: int | None = None

    @property
    def epsilon(self) -> float:
        """The last epsilon; the adversarial images are those of it."""
        return max(self.by_epsilon)

    @property
    def images(self) -> tuple[AttackedImage, ...]:
        """The images at the last epsilon."""
        return self.by_epsilon[self.epsilon]

    @property
    def clean(self) -> Report:
        """The figures before the attack."""
        return self._report([image.before for image in self.images])

    def adversarial(self, epsilon: float | None = None) -> Report:
        """Give the figures after the attack.

        Args:
            epsilon: one of `by_epsilon`; the last where it is None
        """
        images = self.images if epsilon is None else self.by_epsilon[epsilon]
        return self._report([image.after for image in images])

    def _report(self, answers: Sequence[Prediction]) -> Report:
        labels = np.array([image.label for image in self.images], np.int32)
        return Report(self.class_names, labels, np.stack([answer.probabilities for answer in answers]))  # type: ignore[misc]

    @property
    def was_wrong(self) -> bool:
        """True if a single image with a class is answered wrong without an attack."""
        first = self.images[0]
        return len(self.images) == 1 and first.before.label != self.class_names[first.label]

    @property
    def num_reached(self) -> int:
        """The number of images that are taken for the target."""
        return sum(image.after.label == self.target for image in self.images)
