"""How a rung did: what the table, the plot and the advice are made from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tlkit.durations import spoken
from tlkit.evaluation.paired import Paired, compare_paired

AT_LEAST = "≥ "  # before seconds that leave something out


@dataclass(frozen=True)
class Standing:
    """A rung, climbed.

    name, title, kind  of the rung
    accuracy           on the validation images
    interval           of it, 95 %; None where it is known exactly
    right              bool (images,): which of them it got right; None of "chance"
    selected           whether epochs or layers were chosen on these images
    seconds            that training it takes from nothing, when it was trained
    reused             whether they leave out what reading takes, for features were kept from before the ladder
    rate               images a second that `predict` classifies, reading included, when it was trained
    size               bytes of the files that `predict` needs
    command            that trains it
    """

    name: str
    title: str
    kind: str
    accuracy: float
    interval: tuple[float, float] | None = None
    right: np.ndarray | None = None
    selected: bool = False
    seconds: float | None = None
    reused: bool = False
    rate: float | None = None
    size: int | None = None
    command: str = ""

    def against(self, best: "Standing") -> Paired | None:
        """How it stands to the best, image by image; None where nothing can be said."""
        if self.right is None or best.right is None or self is best:
            return None
        return compare_paired(self.right, best.right)


def find_best(standings: Sequence[Standing]) -> Standing:
    """The one that is right most often; of equals the lowest on the ladder."""
    return max(standings, key=lambda standing: standing.accuracy)


def spoken_seconds(standing: Standing) -> str:
    """What training it takes, in words; "" where nobody knows."""
    return (AT_LEAST if standing.reused else "") + spoken(standing.seconds) if standing.seconds else ""
