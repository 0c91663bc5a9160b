"""What tells rows of values apart: their scaling, a projection, and a classifier, fitted."""

from dataclasses import dataclass

import numpy as np

from tlkit.shallow.classifiers import CLASSIFIERS
from tlkit.shallow.linear import softmax


@dataclass(frozen=True)
class Decider:
    """Rows of values in, probabilities out.

    classifier   its name
    temperature  what scores that are no probabilities are multiplied with before the softmax
    scaling      how values are scaled and projected before
    kept         the classifier's arrays
    """

    classifier: str
    temperature: float
    scaling: "Scaling"
    kept: dict[str, np.ndarray]

    def probabilities(self, values: np.ndarray) -> np.ndarray:
        """float32 (images, values) to float32 (images, classes)."""
        row = CLASSIFIERS[self.classifier]
        scores = row.scores(self.kept, self.scaling.apply(values))
        return (scores if row.sure else softmax(scores * self.temperature)).astype(np.float32)


@dataclass(frozen=True)
class Scaling:
    """What is done to values before they are told apart.

    mean, factor  float32 (values,): what is taken from them, and what the rest is multiplied with
    components    float32 (components, values): what that is projected on, principal components; None for nothing
    """

    mean: np.ndarray
    factor: np.ndarray
    components: np.ndarray | None = None

    def apply(self, values: np.ndarray) -> np.ndarray:
        """float32 (images, values) to float32 (images, values or components)."""
        scaled: np.ndarray = (values - self.mean) * self.factor
        if self.components is not None:
            scaled = scaled @ self.components.T
        return scaled
