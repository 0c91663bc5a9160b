"""Attacks that are learned on some images and measured on others: universal perturbations and patches."""

from collections.abc import Collection

import numpy as np

from tlkit.data.image import decode_square
from tlkit.data.sources.files import hash_of, read_file
from tlkit.data.split import TRAIN
from tlkit.errors import DataError, ImageError, OptionError
from tlkit.inference.inputs import expand_inputs
from tlkit.inference.predictor import Predictor
from tlkit.models.keras_setup import require_keras
from tlkit.robustness.gradient import LossGradient
from tlkit.robustness.patch import BATCHES as PATCH_BATCHES
from tlkit.robustness.patch import learn_patch, paste_patch, position_for
from tlkit.robustness.universal import BATCHES as PATTERN_BATCHES
from tlkit.robustness.universal import add_pattern, universal_pattern
from tlkit.runs.images import images_folder, rows_of_subset
from tlkit.runs.run import Run
from tlkit.runs.trust import load_run_network
from tlkit.settings.attack import AttackSettings
from tlkit.utils.storage import Location, as_location

LEARNED = ("universal", "patch")
MAX_LEARNED = 512  # images that are held in memory


class LearnedAttacker:
    """One pattern or patch for all images.

    Attributes:
        method: "universal" or "patch"
        steps: batches that it is learned on
        pattern: the last one: int16 (size, size, 3) to add, or uint8 (side, side, 3) to lay on images
        num_learned: images that it is learned on
    """

    def __init__(self, run: Run, predictor: Predictor, settings: AttackSettings) -> None:
        """Open the network.

        Raises:
            OptionError: for a norm that the method does not have
            RunError: if Keras may not open the network, or the classifier is none
        """
        self.method, self._settings, self._run, self._predictor = settings.method, settings, run, predictor
        if settings.norm != "linf":
            raise OptionError(f"--method {self.method} has no --norm {settings.norm}; omit it, or use --method pgd.")
        self.steps = settings.steps or (PATCH_BATCHES if self.method == "patch" else PATTERN_BATCHES)
        self.pattern, self._epsilon = np.zeros(0), -1.0
        self.num_learned = 0
        require_keras(f"--method {self.method}")
        self._gradient = LossGradient(load_run_network(run, settings.trust_model))

    def read_training(self, measured: Collection[Location], target: int | None) -> None:
        """Read the images that the pattern is learned on: none of those that it is measured on.

        Raises:
            DataError: if there are none
            RunError: if another machine made the run, and no folder is named
        """
        hashes = {hash_of(file) for file in measured} - {""}
        files, labels = self._candidates()
        chosen = [k for k, file in enumerate(files) if hash_of(file) not in hashes]
        if len(chosen) > MAX_LEARNED:
            chosen = [chosen[k * len(chosen) // MAX_LEARNED] for k in range(MAX_LEARNED)]
        pairs = [(_square_or_none(files[k], self._predictor), labels[k] if labels else -1) for k in chosen]
        found = [(pixels, label) for pixels, label in pairs if pixels is not None and label != target]
        if not found:
            raise DataError("no image is left to learn from; give others with --learn-from.")
        self._images = np.stack([pixels for pixels, _ in found])
        self._labels = np.array([label for _, label in found])
        if not labels:
            self._labels = np.concatenate(
                [self._answers(part) for part in np.array_split(self._images, 16) if len(part)]
            )
        if target is not None:
            self._labels[:] = target
        self.num_learned = len(found)

    def _candidates(self) -> tuple[list[Location], list[int]]:
        """List the images of --learn-from, or the training images of the run with their classes."""
        if self._settings.learn_from:
            return [as_location(str(path)) for path in expand_inputs([self._settings.learn_from])], []
        remedy = "name a folder of images with --learn-from"
        root = images_folder(self._run, remedy)
        rows, names = rows_of_subset(self._run, TRAIN, remedy), self._run.manifest.class_names
        return [root / row["path"] for row in rows], [names.index(row["class"]) for row in rows]

    def _answers(self, pixels: np.ndarray) -> np.ndarray:
        return np.asarray(self._predictor.classify(self._predictor.network.extract(pixels)).argmax(axis=1))

    def attack(self, images: np.ndarray, labels: np.ndarray, epsilon: float) -> np.ndarray:
        """Change images, uint8 (images, size, size, 3), all with the same pattern; the first call learns it."""
        if epsilon != self._epsilon:
            options = (bool(self._settings.target), self._settings.seed)
            learned = (self._gradient, self._images, self._labels)
            if self.method == "patch":
                self.pattern = learn_patch(*learned, self._side(images), self.steps, options)
            else:
                self.pattern = universal_pattern(*learned, int(epsilon), self.steps, options)
            self._epsilon = epsilon
        return self._apply(images, self.pattern)

    def control(self, images: np.ndarray, epsilon: float) -> np.ndarray:
        """Change images by a pattern that is random, or a patch that is gray: the effect of any change of this size."""
        if self.method == "patch":
            return self._apply(images, np.full((self._side(images),) * 2 + (3,), 128, np.uint8))
        random = np.random.default_rng(self._settings.seed)
        return self._apply(images, int(epsilon) * random.choice((-1, 1), images.shape[1:]))

    def _apply(self, images: np.ndarray, pattern: np.ndarray) -> np.ndarray:
        if self.method == "universal":
            return np.asarray(np.rint(add_pattern(images, pattern)), np.uint8)
        side, seed = self._side(images), self._settings.seed + 1  # other positions than while it was learned
        return np.stack([paste_patch(image, pattern, position_for(image, seed, side)) for image in images])

    def _side(self, images: np.ndarray) -> int:
        return max(4, round(self._settings.patch_size * int(images.shape[1])))


def _square_or_none(file: Location, predictor: Predictor) -> np.ndarray | None:
    """Decode a file as predict does; None where it cannot be read."""
    try:
        return decode_square(read_file(file), predictor.manifest.image)
    except ImageError:
        return None
