"""The answer "unknown": images that are unlike the training images, or whose class is not sure.

Two signs are joined. The distance in feature space finds images of another world. The confidence finds new classes of
the same world. Each alone is blind to what the other finds (docs/decisions/025).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

NUM_NEIGHBORS = 5
MAX_REFERENCES = 1000  # training images that distances are measured to
MAX_REFERENCE_BYTES = 16 << 20  # of their features, as they are stored
UNLIKE, NOT_SURE = "unlike training images", "not sure"  # reasons
BALANCES = np.linspace(-3, 3, 25)  # that are tried on images known to be of no class
SLACK = 1e-4  # on a threshold, which is the score of an image: engines differ in the seventh digit
LENGTH_ERROR = 0.01  # of rows that float16 rounds
MIN_ODDS = 1e-6  # of a wrong answer: a confidence of 1 is not infinitely sure
MIN_DEVIATION = 1e-6  # where all validation images are alike


@dataclass(frozen=True)
class Standardization:
    """The mean and standard deviation of a value over the validation images."""

    mean: float
    deviation: float

    @staticmethod
    def of(values: np.ndarray) -> "Standardization":
        """Compute them."""
        return Standardization(float(values.mean()), max(float(values.std()), MIN_DEVIATION))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Give values in standard deviations from the mean."""
        standardized: np.ndarray = (values - self.mean) / self.deviation
        return standardized


@dataclass(frozen=True)
class UnknownDetector:
    """The rule that separates known images from unknown ones.

    Attributes:
        distance: standardizes the mean cosine distance to the nearest training images
        doubt: standardizes the logarithm of the odds that the most probable class is wrong
        balance: added to the distance and subtracted from the doubt, in standard deviations
        coverage: fraction of known images that the threshold is meant to accept
        threshold: highest score of an image that gets an answer; None where there are too few validation images
        references: features of training images, float32 (images, values), each row of length 1
    """

    distance: Standardization
    doubt: Standardization
    coverage: float
    threshold: float | None
    references: np.ndarray = field(repr=False, compare=False)
    balance: float = 0.0

    def distances(self, features: np.ndarray) -> np.ndarray:
        """Measure the mean cosine distance to the nearest references, 0 to 2: (images,).

        Args:
            features: float32 (images, …), the input of the head
        """
        similarities = normalize_rows(features) @ self.references.T
        count = min(NUM_NEIGHBORS, similarities.shape[1])
        nearest = np.partition(similarities, -count, axis=1)[:, -count:]
        return np.asarray(1 - nearest.mean(axis=1), np.float32)

    def scores(self, distances: np.ndarray, confidence: np.ndarray) -> np.ndarray:
        """Compute how unknown images are, a smooth maximum of both signs: (images,).

        Args:
            distances: from `distances`
            confidence: calibrated probability of the most probable class, 0 to 1
        """
        unlike, unsure = self._signs(distances, confidence)
        return np.asarray(np.logaddexp(unlike, unsure))

    def reasons(self, distances: np.ndarray, confidence: np.ndarray) -> list[str]:
        """Give the reason why each image is unknown; "" for one that gets an answer."""
        if self.threshold is None:
            return [""] * len(distances)
        unlike, unsure = self._signs(distances, confidence)
        rejected = np.logaddexp(unlike, unsure) > self.threshold
        return [
            (UNLIKE if is_unlike else NOT_SURE) if is_rejected else ""
            for is_rejected, is_unlike in zip(rejected, unlike >= unsure, strict=True)
        ]

    def _signs(self, distances: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        unsure = self.doubt(log_odds_wrong(confidence))
        return self.distance(distances) + self.balance, unsure - self.balance

    def as_json(self) -> dict[str, Any]:
        """Give the entry of model.json; the references are a file of their own."""
        return {
            "coverage": self.coverage,
            "threshold": self.threshold,
            "balance": self.balance,
            "distance": [self.distance.mean, self.distance.deviation],
            "doubt": [self.doubt.mean, self.doubt.deviation],
        }

    @staticmethod
    def from_json(content: Mapping[str, Any], references: np.ndarray) -> "UnknownDetector":
        """Read the entry of a model.json.

        Args:
            references: float16 or float32 (images, values), each row of length 1

        Raises:
            KeyError, TypeError, ValueError: if it is not what `as_json` gives
        """
        threshold, lengths = content["threshold"], np.linalg.norm(references.astype(np.float32), axis=1)
        if ((np.abs(lengths - 1) > LENGTH_ERROR) & (lengths > 0)).any():
            raise ValueError("its rows do not have length 1")
        return UnknownDetector(
            distance=Standardization(*map(float, content["distance"])),
            doubt=Standardization(*map(float, content["doubt"])),
            coverage=float(content["coverage"]),
            threshold=None if threshold is None else float(threshold),
            references=references.astype(np.float32),
            balance=float(content["balance"]),
        )


@dataclass(frozen=True)
class KnownImages:
    """Validation images, by which a detector is fitted.

    Attributes:
        features: float32 (images, …), the input of the head
        confidence: calibrated probability of the most probable class
    """

    features: np.ndarray
    confidence: np.ndarray


def fit_detector(
    references: np.ndarray, known: KnownImages, coverage: float, unknown: KnownImages | None = None
) -> tuple[UnknownDetector, float | None]:
    """Fit the rule on validation images, and its balance on images of no class where there are some.

    Args:
        references: features of training images, (images, …)
        known: at least one validation image
        coverage: fraction of known images to accept
        unknown: images of no class

    Returns:
        The detector; and the area under the ROC curve on `unknown`, each half with the balance of the other
    """
    # float16 is what the run keeps: the rule is fitted on what predict will read
    references = normalize_rows(references).astype(np.float16).astype(np.float32)
    unset = Standardization(0.0, 1.0)
    detector = UnknownDetector(unset, unset, coverage, None, references)
    distances = detector.distances(known.features)
    doubt = log_odds_wrong(known.confidence)
    detector = replace(detector, distance=Standardization.of(distances), doubt=Standardization.of(doubt))
    auroc = None
    if unknown is not None and len(unknown.confidence):
        known_signs = distances, known.confidence
        unknown_signs = detector.distances(unknown.features), unknown.confidence
        balance, auroc = _fit_balance(detector, known_signs, unknown_signs)
        detector = replace(detector, balance=balance)
    scores = detector.scores(distances, known.confidence)
    threshold = conformal_threshold(scores, coverage)
    return replace(detector, threshold=None if threshold is None else threshold + SLACK), auroc


def conformal_threshold(scores: np.ndarray, coverage: float) -> float | None:
    """Find the score that a new known image stays below with at least the probability `coverage`.

    Split conformal prediction (Vovk, Gammerman & Shafer 2005): the k-th smallest of n, k = ceil((n + 1) coverage).

    Returns:
        None if that needs more images than there are

    >>> conformal_threshold(np.arange(19.0), 0.95), conformal_threshold(np.arange(18.0), 0.95)
    (18.0, None)
    """
    rank = int(np.ceil((len(scores) + 1) * coverage - 1e-9))
    return float(np.sort(scores)[rank - 1]) if 0 < rank <= len(scores) else None


def min_images(coverage: float) -> int:
    """Count the validation images that a threshold at some coverage needs at least.

    >>> min_images(0.95), min_images(0.9)
    (19, 9)
    """
    return int(np.ceil(coverage / (1 - coverage) - 1e-9))


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    """Compute how often an unknown image has a higher score than a known one; ties count half.

    >>> auroc(np.array([1, 2, 3]), np.array([3, 4]))
    0.9166666666666666
    """
    _, inverse, counts = np.unique(np.concatenate([known, unknown]), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    above = ranks[len(known) :].sum() - len(unknown) * (len(unknown) + 1) / 2
    return float(above / (len(known) * len(unknown)))


def choose_references(labels: np.ndarray, order: np.ndarray, num_values: int) -> np.ndarray:
    """Choose the training images that distances are measured to: class by class in turn.

    Args:
        labels: int (images,)
        order: of the images, one that does not depend on their class: (images,)
        num_values: in the features of an image

    Returns:
        Their positions, in order
    """
    count = max(NUM_NEIGHBORS, min(MAX_REFERENCES, MAX_REFERENCE_BYTES // (2 * max(1, num_values))))
    turns = np.empty(len(labels), int)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        turns[members] = np.arange(len(members))
    return np.sort(np.lexsort((labels, turns))[:count])


def order_by_hash(sha256: Sequence[str]) -> np.ndarray:
    """Order images for `choose_references`, in a way that does not depend on their names or classes."""
    return np.array(sorted(range(len(sha256)), key=lambda index: sha256[index]), int)


def normalize_rows(features: np.ndarray) -> np.ndarray:
    """Scale each row to length 1: float32 (images, values); a row of zeros stays."""
    rows = features.reshape(len(features), -1).astype(np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0))


def log_odds_wrong(confidence: np.ndarray) -> np.ndarray:
    """Compute the logarithm of the odds that an answer is wrong, from its probability."""
    wrong = np.clip(1 - confidence.astype(np.float64), MIN_ODDS, 1 - MIN_ODDS)
    odds: np.ndarray = np.log(wrong / (1 - wrong))
    return odds


_Signs = tuple[np.ndarray, np.ndarray]  # distances and confidence


def _fit_balance(detector: UnknownDetector, known: _Signs, unknown: _Signs) -> tuple[float, float]:
    """Find the balance that separates best, and measure each half with the balance of the other half."""

    def best(keep: slice) -> float:
        """Find the balance of some of the images; of equals, the nearest to 0."""
        some = [tuple(values[keep] for values in signs) for signs in (known, unknown)]
        return float(max(BALANCES, key=lambda balance: (_separation(detector, balance, *some), -abs(balance))))

    halves = slice(0, None, 2), slice(1, None, 2)
    if min(len(known[0]), len(unknown[0])) < 2:
        return 0.0, _separation(detector, 0.0, known, unknown)
    measured = [
        _separation(detector, best(other), *(tuple(values[half] for values in signs) for signs in (known, unknown)))
        for half, other in (halves, halves[::-1])
    ]
    return best(slice(None)), float(np.mean(measured))


def _separation(detector: UnknownDetector, balance: float, known: Any, unknown: Any) -> float:
    balanced = replace(detector, balance=balance)
    return auroc(balanced.scores(*known), balanced.scores(*unknown))
