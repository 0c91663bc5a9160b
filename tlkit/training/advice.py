"""`--freeze auto`: what linear probes say of the photos, and whether training the upper blocks is worth its time.

Every number here comes from the table in docs/decisions/011.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tlkit.models.backbones import FINER_MAP, LAST_MAP
from tlkit.training.probe import ALL

REMEDIED = 0.25  # share of the errors that upper blocks remedy, where both depths do equally well
LEVERAGE = 3.0  # how much more of them, for each point that the finer map is ahead
LEAST_REMEDIED, MOST_REMEDIED = 0.05, 0.5
WORTHWHILE = 0.01  # gain in accuracy that is worth waiting for at all
WORTHWHILE_PER_HOUR = 0.02  # and more of it for every hour


@dataclass(frozen=True)
class Advice:
    """What the photos call for.

    strategy  "all" or "lower"
    reason    one sentence
    probes    cross-validated accuracy of linear probes on the training images, by depth
    likeness  the last map's less the finer map's: above 0, the photos are like ImageNet's; None for a single depth
    gain      accuracy that training the upper blocks is expected to add
    seconds   it is expected to take; None where that was not measured
    """

    strategy: str
    reason: str
    probes: Mapping[str, float]
    likeness: float | None
    gain: float
    seconds: float | None = None

    def as_json(self) -> dict[str, Any]:
        """As `metrics.json` keeps it."""
        return asdict(self)


def likeness_of(probes: Mapping[str, float]) -> float | None:
    """How much better a linear classifier does on the last map than on a finer one; None for a single depth."""
    return probes[LAST_MAP] - probes[FINER_MAP] if FINER_MAP in probes else None


def expected_gain(probes: Mapping[str, float]) -> float:
    """Accuracy that training the upper blocks is expected to add to that of a trained head.

    The more, the more errors there are and the less the photos are like ImageNet's.

    >>> round(expected_gain({"last map": 0.81, "finer map": 0.86, "all": 0.86}), 3)
    0.056
    >>> round(expected_gain({"last map": 0.95, "finer map": 0.89, "all": 0.96}), 3)
    0.003
    """
    share = REMEDIED - LEVERAGE * (likeness_of(probes) or 0.0)
    return (1 - probes[ALL]) * min(MOST_REMEDIED, max(LEAST_REMEDIED, share))


def is_worth(gain: float, seconds: float) -> bool:
    """Whether a gain in accuracy is worth waiting for."""
    return gain >= WORTHWHILE + WORTHWHILE_PER_HOUR * seconds / 3600


def advise(probes: Mapping[str, float], strategy: str, why: str, seconds: float | None = None) -> Advice:
    """The advice to follow a strategy, `why` being the end of the sentence."""
    likeness = likeness_of(probes)
    return Advice(strategy, f"{_described(probes, likeness)}; {why}.", probes, likeness, expected_gain(probes), seconds)


def _described(probes: Mapping[str, float], likeness: float | None) -> str:
    figures = " ".join(f"{accuracy:.3f} on the {name}," for name, accuracy in probes.items() if name != ALL)
    found = f"linear probes give {figures} {probes[ALL]:.3f} on all features"
    if likeness is None:
        return found
    return f"{found}: the photos are {'like' if likeness > 0 else 'unlike'} ImageNet's"
