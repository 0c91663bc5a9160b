"""Calibration: probabilities that mean what they say, by a temperature; and how far they are from it.

One temperature divides all logits (Guo, Pleiss, Sun & Weinberger 2017, "On Calibration of Modern Neural Networks").
It is fitted on held-out images, and never changes which class is the most probable.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

MIN_IMAGES = 200  # held-out images below which neither a temperature nor its error can be judged
NUM_BINS = 10  # of equally many images
NUM_DRAWS = 2000  # of the simulated interval
NUM_PARTS = 5  # in which the temperature is fitted without the images that measure its error
MIN_INVERSE, MAX_INVERSE = 0.02, 50.0  # of a temperature
TINY = 1e-38  # in place of a probability that float32 rounds to 0


@dataclass(frozen=True)
class ReliabilityBin:
    """Images of similar confidence.

    Attributes:
        confidence: their mean confidence, 0 to 1
        accuracy: the fraction of them that is classified correctly
        count: the number of images
    """

    confidence: float
    accuracy: float
    count: int


@dataclass(frozen=True)
class Calibration:
    """The temperature of a classifier, and how well calibrated it is.

    Attributes:
        temperature: divides the logits; above 1 where the classifier was too confident, 1 where it cannot be judged
        ece: expected calibration error, 0 to 1, each image with a temperature fitted on others; None if not judged
        ece_ci95: an interval that holds it with at least 95 % probability
        ece_before: the same without a temperature
        num_images: held-out images that it is fitted on
        judged: whether these are enough
        source: which images these are: "validation", or "folds" for all, each held out once
        bins: of the calibrated confidence, from the lowest
    """

    temperature: float = 1.0
    ece: float | None = None
    ece_ci95: tuple[float, float] | None = None
    ece_before: float | None = None
    num_images: int = 0
    judged: bool = False
    source: str = "validation"
    bins: tuple[ReliabilityBin, ...] = field(default=(), repr=False)

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrate probabilities: float32 (images, classes)."""
        return apply_temperature(probabilities, self.temperature)

    def as_json(self) -> dict[str, Any]:
        """Give the entry of metrics.json."""
        interval = None if self.ece_ci95 is None else list(self.ece_ci95)
        return asdict(self) | {"ece_ci95": interval, "bins": [asdict(item) for item in self.bins]}

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "Calibration":
        """Read the entry of a metrics.json.

        Raises:
            KeyError, TypeError: if something is missing
        """
        interval = content["ece_ci95"]
        bins = tuple(ReliabilityBin(**item) for item in content["bins"])
        return Calibration(**dict(content) | {"ece_ci95": None if interval is None else tuple(interval), "bins": bins})


def calibrate(probabilities: np.ndarray, labels: np.ndarray, source: str = "validation") -> Calibration:
    """Fit a temperature on held-out images and measure the calibration error.

    Args:
        probabilities: float32 (images, classes), not calibrated
        labels: int (images,)
        source: which images these are
    """
    count = len(labels)
    if count < MIN_IMAGES:
        return Calibration(num_images=count, source=source)
    calibrated, temperature = _cross_fitted(probabilities, labels), best_temperature(probabilities, labels)
    if _cross_entropy(calibrated, labels) >= _cross_entropy(probabilities, labels):
        calibrated, temperature = probabilities, 1.0  # it was calibrated already
    confidence, correct = confidence_and_correct(calibrated, labels)
    ece = expected_calibration_error(confidence, correct)
    return Calibration(
        temperature=temperature,
        ece=ece,
        ece_ci95=_error_interval(confidence, correct),
        ece_before=expected_calibration_error(*confidence_and_correct(probabilities, labels)),
        num_images=count,
        judged=True,
        source=source,
        bins=tuple(reliability_bins(confidence, correct)),
    )


def measure_calibration(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, tuple[float, float]] | None:
    """Measure the calibration error, and its 95 % interval, on images that the temperature was not fitted on.

    Returns:
        None where the images are too few
    """
    if len(labels) < MIN_IMAGES:
        return None
    return calibration_error(*confidence_and_correct(probabilities, labels))


def calibration_error(confidence: np.ndarray, correct: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Compute the expected calibration error and its 95 % interval, which is wide if the images are few.

    Args:
        confidence: (images,), 0 to 1
        correct: bool (images,)
    """
    return expected_calibration_error(confidence, correct), _error_interval(confidence, correct)


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Divide the logits of probabilities by a temperature: float32 (images, classes), rows sum to 1.

    >>> apply_temperature(np.array([[0.9, 0.1]], np.float32), 2.0).round(3).tolist()
    [[0.75, 0.25]]
    """
    if temperature == 1:
        return probabilities
    logits = _log(probabilities) / temperature
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), np.float32)


def best_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Find the temperature with the lowest cross-entropy on held-out images.

    The cross-entropy is convex in the inverse temperature, so its slope is bisected. One more mistake than was seen is
    counted, each image's second class a little: without any, the best temperature would be 0.

    Args:
        probabilities: float32 (images, classes), not calibrated
        labels: int (images,)
    """
    logits = _log(probabilities)
    rows, second = np.arange(len(labels)), np.argsort(-logits, axis=1, kind="stable")[:, 1]
    weight = 1 / (len(labels) + 1)
    targets = (1 - weight) * logits[rows, labels] + weight * logits[rows, second]
    low, high = np.log(MIN_INVERSE), np.log(MAX_INVERSE)
    for _ in range(50):
        middle = (low + high) / 2
        scaled = np.exp(np.exp(middle) * (logits - logits.max(axis=1, keepdims=True)))
        expected = (scaled * logits).sum(axis=1) / scaled.sum(axis=1)
        if np.mean(expected - targets) > 0:
            high = middle
        else:
            low = middle
    return float(np.exp(-(low + high) / 2))


def confidence_and_correct(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give each image's highest probability, and whether its class is correct."""
    return probabilities.max(axis=1).astype(np.float64), probabilities.argmax(axis=1) == labels


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Average the gap between confidence and accuracy over bins of equally many images.

    Chance alone gives gaps. Its variance is subtracted from each squared gap (Kumar, Liang & Ma 2019, "Verified
    uncertainty calibration"), so that the error of a calibrated classifier is near 0 with few images, too.

    Args:
        confidence: (images,), 0 to 1
        correct: bool (images,)

    >>> expected_calibration_error(np.full(100, 0.9), np.arange(100) % 10 > 0)
    0.0
    """
    bins = reliability_bins(confidence, correct)
    gaps = [max(0.0, (item.accuracy - item.confidence) ** 2 - _variance(item)) ** 0.5 for item in bins]
    return float(sum(item.count * gap for item, gap in zip(bins, gaps, strict=True)) / len(confidence))


def _variance(item: ReliabilityBin) -> float:
    """Estimate the variance of a bin's accuracy if it is calibrated."""
    return item.confidence * (1 - item.confidence) / item.count


def reliability_bins(confidence: np.ndarray, correct: np.ndarray) -> list[ReliabilityBin]:
    """Sort images by confidence into bins of equally many; images of equal confidence share a bin."""
    values, inverse, counts = np.unique(confidence, return_inverse=True, return_counts=True)
    middles = np.cumsum(counts) - (counts + 1) / 2  # the mean rank of images of equal confidence
    bins = np.minimum((NUM_BINS * middles / len(confidence)).astype(int), NUM_BINS - 1)[inverse]
    return [
        ReliabilityBin(float(confidence[inside].mean()), float(correct[inside].mean()), int(inside.sum()))
        for inside in (bins == index for index in range(NUM_BINS))
        if inside.any()
    ]


def _cross_fitted(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Calibrate each image by a temperature that is fitted on the images of other parts."""
    calibrated, parts = np.empty_like(probabilities), np.arange(len(labels)) % NUM_PARTS
    for part in range(NUM_PARTS):
        inside = parts == part
        temperature = best_temperature(probabilities[~inside], labels[~inside])
        calibrated[inside] = apply_temperature(probabilities[inside], temperature)
    return calibrated


def _error_interval(confidence: np.ndarray, correct: np.ndarray) -> tuple[float, float]:
    """Compute an interval that holds the calibration error of these bins with at least 95 % probability.

    The mean absolute gap differs from the true one by at most the mean absolute error of the bins' accuracies. The 95 %
    point of the latter is simulated.
    """
    bins = reliability_bins(confidence, correct)
    counts = np.array([item.count for item in bins])
    accuracy = (np.array([item.accuracy for item in bins]) * counts + 1) / (counts + 2)  # never 0 or 1
    weights, rng = counts / counts.sum(), np.random.default_rng(0)
    drawn = rng.binomial(counts, accuracy, (NUM_DRAWS, len(bins))) / counts
    error = float(np.quantile((np.abs(drawn - accuracy) * weights).sum(axis=1), 0.95))
    gap = float(sum(weight * abs(item.accuracy - item.confidence) for weight, item in zip(weights, bins, strict=True)))
    return max(0.0, gap - error), min(1.0, gap + error)


def _cross_entropy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float(-np.mean(_log(probabilities)[np.arange(len(labels)), labels]))


def _log(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities.astype(np.float64), TINY))
