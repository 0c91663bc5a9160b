"""The check of an exported file before it gets its name: does it answer as the run does?"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from tlkit.data.image import ImageSpec
from tlkit.errors import GateError
from tlkit.evaluation.metrics import mcnemar
from tlkit.export.base import RuntimeFunction
from tlkit.export.images import RunImages, whole_pixels

TOLERANCE = 1e-4  # of a probability of a file that is not quantized; also of a tie between two classes
MIN_TESTED = 64  # validation images that tell something about the accuracy
MEDIAN_RESIZED, MARGIN_RESIZED = 0.02, 0.2  # of probabilities, where the file resizes (docs/decisions/033)
BATCH = 8  # images at a time, after those that are classified one by one
MEASURED_SECONDS = 1.0


@dataclass(frozen=True)
class Reference:
    """Images, with the answers of the run itself.

    Attributes:
        golden: number of golden samples, which are the first images
        images: golden samples, then validation images
        probabilities: of `predict`, float32 (images, classes)
        whole: how a file that resizes makes images square; None for files that take squares
    """

    golden: int
    images: RunImages = field(repr=False)
    probabilities: np.ndarray = field(repr=False)
    whole: ImageSpec | None = None

    def inputs(self, count: int) -> Sequence[np.ndarray]:
        """Give inputs of a file, one by one."""
        if self.whole is None:
            return list(self.images.pixels[:count])
        return [whole_pixels(file, self.whole) for file in self.images.files[:count]]


@dataclass(frozen=True)
class Verification:
    """The differences between an exported file and `predict` on the same pixels.

    Attributes:
        num_golden, num_validation: images that were compared
        max_difference: of any probability
        median_difference: median over the images of the largest difference of each
        agreement: fraction of the images with the same most probable class
        num_ties: images whose two most probable classes are less than `TOLERANCE` apart in `predict`; either counts
            as the same
        accuracy_before, accuracy_after: of `predict` and of the file, on the validation images, else on the golden
            samples
        accuracy_drop: before minus after
        accuracy_drop_ci95: its paired 95 % interval
    """

    num_golden: int
    num_validation: int
    max_difference: float
    median_difference: float
    agreement: float
    num_ties: int
    accuracy_before: float
    accuracy_after: float
    accuracy_drop: float
    accuracy_drop_ci95: tuple[float, float]

    @property
    def is_accuracy_tested(self) -> bool:
        """Tell whether there were enough validation images to test the accuracy."""
        return self.num_validation >= MIN_TESTED

    def as_json(self) -> dict[str, Any]:
        """Give the entries of export.json."""
        content = asdict(self)
        content["largest_difference"] = content.pop("max_difference")
        content["is_accuracy_tested"] = self.is_accuracy_tested
        return content


def answers_of(run: RuntimeFunction, reference: Reference) -> Iterator[np.ndarray]:
    """Yield the probabilities of a file: golden samples and one further image one by one, the others in batches.

    Whole images are decoded one by one, so that only one is in memory.
    """
    if reference.whole is not None:
        for file in reference.images.files:
            yield run(whole_pixels(file, reference.whole)[np.newaxis])
        return
    pixels, singles = reference.images.pixels, min(reference.golden + 1, len(reference.images))
    for row in range(singles):
        yield run(pixels[row : row + 1])
    for start in range(singles, len(pixels), BATCH):
        yield run(pixels[start : start + BATCH])


def compare_answers(reference: Reference, answers: np.ndarray) -> Verification:
    """Compare the probabilities of a file with those of `predict`."""
    expected, images = reference.probabilities, reference.images
    own, best = answers.argmax(axis=1), expected.argmax(axis=1)
    is_same = own == best
    counted = slice(reference.golden if len(images) > reference.golden else 0, None)
    labels = images.labels[counted]
    before, after = best[counted] == labels, own[counted] == labels
    paired = mcnemar(before, after)
    differences = np.abs(answers - expected).max(axis=1)
    second = np.sort(expected, axis=1)[:, -2]
    return Verification(
        num_golden=reference.golden,
        num_validation=len(images) - reference.golden,
        max_difference=float(differences.max()),
        median_difference=float(np.median(differences)),
        agreement=float(is_same.mean()),
        num_ties=int(np.sum(expected.max(axis=1) - second < TOLERANCE)),
        accuracy_before=float(before.mean()),
        accuracy_after=float(after.mean()),
        accuracy_drop=paired.difference,
        accuracy_drop_ci95=paired.interval,
    )


def verify(run: RuntimeFunction, reference: Reference, what: str, max_drop: float | None) -> Verification:
    """Check the answers of a file.

    Args:
        what: the file, for messages
        max_drop: of the accuracy, 0 to 1, for a quantized file; None for one that must answer as `predict` does

    Raises:
        GateError: it names the image that differs most, or the loss of accuracy
    """
    answers = np.concatenate(list(answers_of(run, reference)))
    if answers.shape != reference.probabilities.shape or not np.isfinite(answers).all():
        raise GateError(
            f"{what} gives {_describe(answers)}, not probabilities of shape {reference.probabilities.shape}; "
            "it was removed."
        )
    found = compare_answers(reference, answers)
    if reference.whole is not None:
        _check_near(answers, reference, what, found.median_difference)
    elif max_drop is None:
        _check_equal(answers, reference, what)
    elif found.accuracy_drop > max_drop:
        low, high = found.accuracy_drop_ci95
        raise GateError(
            f"{what} loses {100 * found.accuracy_drop:.1f} points of accuracy ({100 * low:.1f} to {100 * high:.1f}), "
            f"more than --max-drop {100 * max_drop:g} allows: {100 * found.accuracy_before:.1f} % before, "
            f"{100 * found.accuracy_after:.1f} % after, {_worst(answers, reference)}; "
            "it was removed: try another --quantize."
        )
    return found


def _check_equal(answers: np.ndarray, reference: Reference, what: str) -> None:
    """Check that nothing differs but by rounding.

    Raises:
        GateError
    """
    expected = reference.probabilities
    rows = np.arange(len(expected))
    behind = expected.max(axis=1) - expected[rows, answers.argmax(axis=1)]  # 0 where the class is the same
    if np.abs(answers - expected).max() > TOLERANCE or (behind > TOLERANCE).any():
        raise GateError(
            f"{what} does not answer as the run does: {_worst(answers, reference)}, and at most {TOLERANCE:g} is "
            "allowed; it was removed."
        )


def _check_near(answers: np.ndarray, reference: Reference, what: str, median: float) -> None:
    """Check a file that resizes: Pillow reduces large images in two steps, and a JPEG while decoding.

    Raises:
        GateError
    """
    expected = reference.probabilities
    behind = expected.max(axis=1) - expected[np.arange(len(expected)), answers.argmax(axis=1)]
    if median > MEDIAN_RESIZED or (behind > MARGIN_RESIZED).any():
        raise GateError(
            f"{what} does not answer as the run does: {_worst(answers, reference)}; allowed are {MEDIAN_RESIZED:g} in "
            f"the median (found {median:.2g}), and another class only where two are less than {MARGIN_RESIZED:g} "
            "apart; it was removed."
        )


def _worst(answers: np.ndarray, reference: Reference) -> str:
    differences = np.abs(answers - reference.probabilities).max(axis=1)
    row = int(differences.argmax())
    return f"'{reference.images.names[row]}' differs most, by {differences[row]:.2g} in a probability"


def _describe(answers: np.ndarray) -> str:
    return "values that are not finite" if not np.isfinite(answers).all() else f"an array of shape {answers.shape}"


def measure_speeds(runs: list[RuntimeFunction], pixels: Sequence[np.ndarray]) -> list[float]:
    """Measure files in turn, one image at a time, so that other work on the machine slows them alike."""
    rounds, best = 3, [0.0] * len(runs)
    for _ in range(rounds):
        for index, run in enumerate(runs):
            started, done = time.perf_counter(), 0
            while (elapsed := time.perf_counter() - started) < MEASURED_SECONDS / rounds or not done:
                run(pixels[done % len(pixels)][np.newaxis])
                done += 1
            best[index] = max(best[index], done / elapsed if elapsed else 0.0)
    return best
