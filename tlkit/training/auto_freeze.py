"""Linear probes: how well a linear classifier does on the averages of a network's feature maps, depth by depth.

Where the last map, made for ImageNet's classes, tells the classes apart better than a finer one
below it, the photos are like ImageNet's; where the finer one does, they are not (Alain and Bengio
2016; Kornblith 2019).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from tlkit.data.split import Split, hash_to_unit
from tlkit.errors import OptionError
from tlkit.features.extract import Features
from tlkit.models.backbones import FINER_MAP, LAST_MAP
from tlkit.models.build import feature_slices
from tlkit.runs.run import Run
from tlkit.settings.training import FinetuneSettings, TrainingSettings
from tlkit.training.estimate import CostEstimate, EstimateInput, estimate_cost
from tlkit.utils.progress import Progress, Stopwatch
from tlkit.utils.text import format_duration, parse_duration

ALL_DEPTHS = "all"  # the name of all depths together
PROBE_FOLDS = 5
RIDGE = 0.3  # times the number of features; chosen on three folders, docs/decisions/011
MAX_PROBE_IMAGES = 4000  # more tell no more
STD_FLOOR = 1e-3  # added to the deviation of a feature, so that a constant one stays harmless


def probe_depths(
    features: np.ndarray, labels: np.ndarray, groups: Sequence[str], depths: Mapping[str, slice]
) -> dict[str, float]:
    """Cross-validated accuracy of a ridge classifier, for each depth and for all depths together.

    features: float (images, length), standardized here over all images
    groups: of equal pixels; a group never lies on both sides of a fold
    depths: columns by name
    returns: accuracy by name, and as `ALL` on all columns
    """
    places = np.array([hash_to_unit(group, seed=PROBE_FOLDS) for group in groups])
    rows = np.argsort(places, kind="stable")[:MAX_PROBE_IMAGES]
    folds = (places[rows] / (places[rows].max() + 1e-9) * PROBE_FOLDS).astype(int)
    values = _standardized(features[rows])
    targets = np.eye(int(labels.max()) + 1, dtype=np.float32)[labels[rows]]
    columns = {**depths, ALL_DEPTHS: slice(None)}
    return {name: _probe_accuracy(values[:, part], targets, folds) for name, part in columns.items()}


def _standardized(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float32)
    standardized: np.ndarray = (values - values.mean(axis=0)) / (values.std(axis=0) + STD_FLOOR)
    return standardized


def _probe_accuracy(values: np.ndarray, targets: np.ndarray, folds: np.ndarray) -> float:
    """The share of images that the classifier of the other folds gets right."""
    parts = [folds == fold for fold in range(PROBE_FOLDS)]
    squares = [values[part].T @ values[part] for part in parts]
    products = [values[part].T @ (targets[part] - targets.mean(axis=0)) for part in parts]
    right = 0
    for part, square, product in zip(parts, squares, products, strict=True):
        ridge = RIDGE * values.shape[1] * np.eye(values.shape[1], dtype=np.float32)
        weights = np.linalg.solve(sum(squares) - square + ridge, sum(products) - product)
        scores = values[part] @ weights  # without the classes' shares, which would win where images are few
        right += int((scores.argmax(axis=1) == targets[part].argmax(axis=1)).sum())
    return right / len(values)


FIXED_ERRORS = 0.25  # share of the errors that upper blocks remedy, where both depths do equally well
FIXED_PER_POINT = 3.0  # how much more of them, for each point that the finer map is ahead
MIN_FIXED, MAX_FIXED = 0.05, 0.5
MIN_GAIN = 0.01  # gain in accuracy that is worth waiting for at all
MIN_GAIN_PER_HOUR = 0.02  # and more of it for every hour


@dataclass(frozen=True)
class FreezeDecision:
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


def imagenet_similarity(probes: Mapping[str, float]) -> float | None:
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
    share = FIXED_ERRORS - FIXED_PER_POINT * (imagenet_similarity(probes) or 0.0)
    return (1 - probes[ALL_DEPTHS]) * min(MAX_FIXED, max(MIN_FIXED, share))


def pays_off(gain: float, seconds: float) -> bool:
    """Whether a gain in accuracy is worth waiting for."""
    return gain >= MIN_GAIN + MIN_GAIN_PER_HOUR * seconds / 3600


def decide_freeze(probes: Mapping[str, float], strategy: str, why: str, seconds: float | None = None) -> FreezeDecision:
    """The advice to follow a strategy, `why` being the end of the sentence."""
    likeness = imagenet_similarity(probes)
    return FreezeDecision(
        strategy, f"{_probe_text(probes, likeness)}; {why}.", probes, likeness, expected_gain(probes), seconds
    )


def _probe_text(probes: Mapping[str, float], likeness: float | None) -> str:
    figures = " ".join(f"{accuracy:.3f} on the {name}," for name, accuracy in probes.items() if name != ALL_DEPTHS)
    found = f"linear probes give {figures} {probes[ALL_DEPTHS]:.3f} on all features"
    if likeness is None:
        return found
    return f"{found}: the photos are {'like' if likeness > 0 else 'unlike'} ImageNet's"


DECISION_FILE = "checkpoint-strategy.json"  # in the run folder, until the run is finished
MIN_BLOCK_EPOCHS = 3  # of upper blocks; fewer do more harm than good
WRITING_SECONDS = 6.0  # seconds at the end of a run: saving, converting, plots

Decision = dict[str, Any]  # settings that change, advice, forecast, what is said at once, what is noted in the run


def choose_strategy(
    run: Run,
    ready: EstimateInput,
    read: tuple[Features, Split],
    settings: TrainingSettings,
    clock: Stopwatch,
    progress: Progress,
) -> tuple[TrainingSettings, Decision]:
    """The settings with strategy and epochs decided, and the decision.

    read: the features of every image, and which images are for training
    clock: has run since the start of the command
    """
    if (run.path / DECISION_FILE).exists():
        decision: Decision = run.read_json(DECISION_FILE)
    else:
        left = (
            parse_duration(settings.time_limit) - clock.total() - WRITING_SECONDS if settings.time_limit else math.inf
        )
        decision = decide(ready, _probes(ready, *read, settings), settings, left)
        run.write_json(DECISION_FILE, decision)
        for text in decision["said"]:
            progress.note(text)
    return replace(settings, **decision["settings"]), decision


def decide(
    ready: EstimateInput, probes: Mapping[str, float] | None, settings: TrainingSettings, left: float
) -> Decision:
    """Which settings change, and why.

    probes: accuracy of linear probes by depth, for `--freeze auto`
    left: seconds there are for what comes now
    """
    if probes is not None and isinstance(settings, FinetuneSettings):
        return _decide_by_probes(ready, probes, settings, left)
    if settings.freeze == "all" and left == math.inf:
        return _decision({}, [], [])  # takes seconds; not worth measuring
    expected = estimate_cost(ready, settings)
    changed, notes = fit_into(left, expected, settings)
    told = f"this will take about {format_duration(expected.seconds)} and {expected.disk / 1e9:.2f} GB of disk."
    return _decision(changed, notes or [told], notes, expected=expected)


def fit_into(left: float, expected: CostEstimate, settings: TrainingSettings) -> tuple[dict[str, Any], list[str]]:
    """What of a strategy fits into the seconds there are, and what to tell."""
    epochs = expected.epochs_within(left)
    if epochs == expected.epochs:
        return {}, []
    if settings.freeze == "lower" and epochs < MIN_BLOCK_EPOCHS:
        return {"freeze": "all"}, ["--time-limit leaves no time to train upper blocks; the head alone is trained."]
    name = "upper_epochs" if settings.freeze == "lower" else "epochs"
    return {name: max(1, epochs)}, [f"--time-limit leaves time for {max(1, epochs)} of {expected.epochs} epochs."]


def _decide_by_probes(
    ready: EstimateInput, probes: Mapping[str, float], settings: FinetuneSettings, left: float
) -> Decision:
    """What `--freeze auto` means here: train upper blocks where that is expected to be worth its time."""
    if not pays_off(gain := expected_gain(probes), 0):
        return _advised(decide_freeze(probes, "all", "upper blocks would hardly add to that: freeze all"))
    try:
        expected = estimate_cost(ready, replace(settings, freeze="lower"))
    except OptionError as error:
        return _advised(decide_freeze(probes, "all", f"freeze all, for {str(error).split(';')[0]}"))
    epochs = expected.epochs_within(left)
    seconds = expected.fixed + epochs * expected.per_epoch
    promise = f"training upper blocks should add about {100 * gain:.0f} points"
    if epochs < MIN_BLOCK_EPOCHS:
        why = f"{promise}, but --time-limit leaves no time for it: freeze all"
        return _advised(decide_freeze(probes, "all", why, expected.seconds), expected)
    if not pays_off(gain, seconds):
        why = f"{promise}, but take {format_duration(seconds)}: freeze all; --freeze lower does it all the same"
        return _advised(decide_freeze(probes, "all", why, seconds), expected)
    why = f"{promise} in about {format_duration(seconds)}, with {expected.disk / 1e9:.2f} GB of disk: freeze lower"
    fewer = {"upper_epochs": epochs} if epochs < expected.epochs else {}
    return _advised(decide_freeze(probes, "lower", why, seconds), expected, fewer)


def _advised(
    advice: FreezeDecision, expected: CostEstimate | None = None, changed: Mapping[str, Any] | None = None
) -> Decision:
    settings = {"freeze": advice.strategy} | dict(changed or {})
    return _decision(settings, [advice.reason], [], advice.as_json(), expected)


def _decision(
    changed: dict[str, Any],
    said: list[str],
    notes: list[str],
    advice: dict[str, Any] | None = None,
    expected: CostEstimate | None = None,
) -> Decision:
    forecast = {"seconds": round(expected.seconds, 1), "disk_bytes": expected.disk} if expected else None
    return {"settings": changed, "said": said, "notes": notes, "advice": advice, "forecast": forecast}


def _probes(
    ready: EstimateInput, extracted: Features, split: Split, settings: TrainingSettings
) -> dict[str, float] | None:
    if settings.freeze != "auto":
        return None
    part = split.train
    return probe_depths(extracted.values(part), part.labels, part.groups, feature_slices(ready.body))
