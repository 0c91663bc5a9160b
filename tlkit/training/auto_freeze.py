"""The decisions of `--freeze auto` and `--time-limit`, made from the features: which layers to train, and how long.

`--freeze auto` rests on linear probes: how well a linear classifier does on the averages of a network's
feature maps, depth by depth. Where the last map, made for ImageNet's classes, separates the classes better
than a finer one below it, the images are like ImageNet's; where the finer one does, they are not (Alain and
Bengio 2016; Kornblith 2019). Every number of the decision comes from the table in docs/decisions/011.

A decision is written into the run folder, so that a resumed run does not measure again and decide otherwise.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from tlkit.data.split import hash_to_unit
from tlkit.errors import OptionError, RunError
from tlkit.models.backbones import FINER_MAP, LAST_MAP
from tlkit.models.build import feature_slices
from tlkit.runs.run import Run
from tlkit.training.estimate import EstimateInput
from tlkit.training.hyperparameters import choose_precision
from tlkit.training.loop.cost import CostEstimate
from tlkit.training.recipe import NetworkDataset
from tlkit.utils.progress import Progress, Stopwatch
from tlkit.utils.text import format_duration, format_size, parse_duration

DECISION_FILE = "checkpoint-strategy.json"  # in the run folder, until the run is finished
LONGER = 1.25  # times what is expected, from which on the longest time is given, too
MIN_BLOCK_EPOCHS = 3  # fewer epochs of upper blocks do more harm than good
ALL_DEPTHS = "all"  # the name of all depths together
PROBE_FOLDS = 5
RIDGE = 0.3  # times the number of features; chosen on three folders, docs/decisions/011
MAX_PROBE_IMAGES = 4000
STD_FLOOR = 1e-3  # added to the deviation of a feature, so that a constant one stays harmless
FIXED_ERRORS = 0.25  # fraction of the errors that upper blocks correct, where both depths do equally well
FIXED_PER_POINT = 3.0  # how much more of them, for each point that the finer map is ahead
MIN_FIXED, MAX_FIXED = 0.05, 0.5
MIN_GAIN = 0.01  # in accuracy, that is worth waiting for at all
MIN_GAIN_PER_HOUR = 0.02  # and more of it for every hour


class Strategies(Protocol):
    """A recipe whose strategy may still be open: `NetworkRecipe`."""

    @property
    def settings(self) -> Any:
        """Its settings."""

    @property
    def freeze(self) -> str:
        """The strategy asked for; "auto" where it is open."""

    def changed(self, options: Mapping[str, Any]) -> "Strategies":
        """Change some options."""

    def estimate(self, inputs: EstimateInput) -> CostEstimate:
        """Estimate what it takes."""


@dataclass(frozen=True)
class FreezeAdvice:
    """The evidence of linear probes on the images.

    Attributes:
        strategy: "all" or "lower"
        reason: one sentence
        probes: cross-validated accuracy of linear probes on the training images, by depth
        similarity: the last map's less the finer map's: above 0, the images are like ImageNet's; None for a single
            depth
        gain: accuracy that training the upper blocks is expected to add
        seconds: it is expected to take; None where that was not measured
    """

    strategy: str
    reason: str
    probes: Mapping[str, float]
    similarity: float | None
    gain: float
    seconds: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Give the entry of metrics.json."""
        content = asdict(self)
        return content | {"likeness": content.pop("similarity")}


@dataclass(frozen=True)
class FreezeDecision:
    """The layers to train, as stored in `checkpoint-strategy.json`.

    Attributes:
        options: that change
        messages: for a person, at once
        notes: for the run
        advice: see `FreezeAdvice`; None where nothing was probed
        forecast: seconds of the whole run, and disk_bytes, that are expected; None where that was not measured
        planned_epochs: of the last phase, where `--time-limit` allows fewer; else 0
        end_seconds: between the last epoch and the end of the command, as expected
    """

    options: dict[str, Any] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    advice: dict[str, Any] | None = None
    forecast: dict[str, Any] | None = None
    planned_epochs: int = 0
    end_seconds: float = 0.0

    @property
    def num_epochs(self) -> int:
        """Epochs that `--time-limit` allows; 0 where it allows all."""
        return int(self.options.get("upper_epochs") or self.options.get("epochs") or 0)


def choose_strategy(
    run: Run, recipe: Strategies, dataset: NetworkDataset, stopwatch: Stopwatch, progress: Progress
) -> FreezeDecision:
    """Decide, or read what a stopped run has decided.

    Args:
        stopwatch: has run since the start of the command

    Raises:
        RunError
    """
    if (run.path / DECISION_FILE).exists():
        try:
            return FreezeDecision(**run.read_json(DECISION_FILE))
        except TypeError:
            file = run.path / DECISION_FILE
            raise RunError(f"'{file}' is damaged; remove it and use --resume again to repeat the decision.") from None
    train, left = dataset.split.train, seconds_left(recipe, stopwatch)
    probes = None
    if recipe.freeze == "auto":
        features = dataset.features.load(train)
        probes = probe_depths(features, train.labels, train.groups, feature_slices(dataset.network))
    decision = decide(recipe, estimate_input(dataset), probes, left)
    if decision.forecast:
        whole = round(decision.forecast["seconds"] + stopwatch.total(), 1)
        decision = replace(decision, forecast=decision.forecast | {"seconds": whole})
    if decision.options.get("freeze", recipe.freeze) == "lower":
        precision = choose_precision(recipe.settings.upper_precision)  # kept by a run that another machine continues
        decision = replace(decision, options=decision.options | {"upper_precision": precision})
    run.write_json(DECISION_FILE, asdict(decision))
    for text in decision.messages:
        progress.note(text)
    return decision


def seconds_left(recipe: Strategies, stopwatch: Stopwatch) -> float:
    """Give the seconds that --time-limit leaves for the training; infinite without a limit.

    Args:
        stopwatch: has run since the start of the command
    """
    limit = parse_duration(recipe.settings.time_limit)
    return limit - stopwatch.total() if limit else math.inf


def estimate_input(dataset: NetworkDataset) -> EstimateInput:
    """Give what an estimate is made from, once the images are read."""
    train, num_held_out = dataset.split.train, len(dataset.split.validation) + len(dataset.split.test)
    key = dataset.extractor.key
    images = len(train), num_held_out
    return EstimateInput(dataset.network, dataset.extractor.engine, train.files, key.image, images, train.num_classes)


def decide(
    recipe: Strategies, inputs: EstimateInput, probes: Mapping[str, float] | None, left: float
) -> FreezeDecision:
    """Decide which options change, and why.

    Args:
        probes: accuracy of linear probes by depth, for `--freeze auto`
        left: seconds there are for what comes now
    """
    if probes is not None:
        return _decide_by_probes(recipe, inputs, probes, left)
    expected = recipe.estimate(inputs)
    options, message = fit_into(left, expected, recipe.freeze)
    if "freeze" in options:
        head = recipe.changed(options).estimate(inputs)
        return FreezeDecision(options, [message], [message], None, _forecast(head), end_seconds=head.end_seconds)
    allowed = expected.with_epochs(next(iter(options.values()), expected.epochs))
    messages = [message or in_words(allowed)] if message or recipe.freeze != "all" else []
    planned = expected.epochs if options else 0
    return FreezeDecision(options, messages, [], None, _forecast(allowed), planned, allowed.end_seconds)


def in_words(expected: CostEstimate) -> str:
    """Say what a training is expected to take from here on."""
    limit = ""
    if expected.max_seconds > LONGER * expected.seconds:
        limit = f" (up to {format_duration(expected.max_seconds)} if early stopping does not end it)"
    return (
        f"training takes about {format_duration(expected.seconds)}{limit} and {format_size(expected.disk)} of disk "
        "space."
    )


def fit_into(left: float, expected: CostEstimate, freeze: str) -> tuple[dict[str, Any], str]:
    """Choose what of a strategy fits into the seconds there are, and say so."""
    epochs = expected.epochs_within(left)
    if epochs == expected.epochs:
        return {}, ""
    if freeze == "lower" and epochs < MIN_BLOCK_EPOCHS:
        missing = format_duration(expected.seconds - left)
        return {"freeze": "all"}, (
            f"only the head is trained: the upper blocks do not fit in --time-limit; {missing} are missing."
        )
    name = "upper_epochs" if freeze == "lower" else "epochs"
    return {name: max(1, epochs)}, f"--time-limit allows {max(1, epochs)} of {expected.epochs} epochs."


def _decide_by_probes(
    recipe: Strategies, inputs: EstimateInput, probes: Mapping[str, float], left: float
) -> FreezeDecision:
    """Train the upper blocks if that is expected to be worth its time."""
    gain, head = expected_gain(probes), recipe.changed({"freeze": "all"}).estimate(inputs)
    if not pays_off(gain, 0):
        return _advised(advise(probes, "all", "Training the upper blocks, too, should add less than 1 point."), head)
    try:
        expected = recipe.changed({"freeze": "lower"}).estimate(inputs)
    except OptionError as error:
        return _advised(advise(probes, "all", f"Upper blocks cannot be trained: {str(error).split(';')[0]}."), head)
    allowed = expected.with_epochs(expected.epochs_within(left))
    points = f"about {100 * gain:.0f} points"
    promise = f"Training the upper blocks, too, should add {points}"
    if allowed.epochs < min(MIN_BLOCK_EPOCHS, expected.epochs):
        missing = format_duration(expected.seconds - left)
        why = f"{promise} but does not fit in --time-limit; {missing} are missing."
        return _advised(advise(probes, "all", why, expected.seconds), head)
    if not pays_off(gain, allowed.seconds):
        why = f"{promise} but takes about {format_duration(allowed.seconds)}; --freeze lower trains them anyway."
        return _advised(advise(probes, "all", why, allowed.seconds), head)
    disk = f"{format_size(expected.disk)} of disk space"
    why = f"That should add {points} and takes about {format_duration(allowed.seconds)} and {disk}."
    return _advised(advise(probes, "lower", why, allowed.seconds), allowed, expected.epochs)


def _advised(advice: FreezeAdvice, allowed: CostEstimate, planned_epochs: int = 0) -> FreezeDecision:
    """Decide as advised.

    Args:
        allowed: the part of the strategy's estimate that fits into the time there is
        planned_epochs: of upper blocks, without a limit
    """
    fewer = allowed.epochs < planned_epochs
    return FreezeDecision(
        {"freeze": advice.strategy} | ({"upper_epochs": allowed.epochs} if fewer else {}),
        [advice.reason],
        advice=advice.as_json(),
        forecast=_forecast(allowed),
        planned_epochs=planned_epochs if fewer else 0,
        end_seconds=allowed.end_seconds,
    )


def _forecast(expected: CostEstimate) -> dict[str, Any]:
    return {"seconds": round(expected.seconds, 1), "disk_bytes": expected.disk}


def advise(probes: Mapping[str, float], strategy: str, why: str, seconds: float | None = None) -> FreezeAdvice:
    """Advise a strategy.

    Args:
        why: the sentence that gives the reason
    """
    similarity = imagenet_similarity(probes)
    trained = {"all": "Only the head is trained.", "lower": "The upper blocks are trained, too."}[strategy]
    images = ""
    if similarity is not None:
        images = f" The images are {'similar to' if similarity > 0 else 'different from'} those of ImageNet."
    return FreezeAdvice(strategy, f"{trained} {why}{images}", probes, similarity, expected_gain(probes), seconds)


def imagenet_similarity(probes: Mapping[str, float]) -> float | None:
    """Compute how much better a linear classifier does on the last map than on a finer one; None for a single depth."""
    return probes[LAST_MAP] - probes[FINER_MAP] if FINER_MAP in probes else None


def expected_gain(probes: Mapping[str, float]) -> float:
    """Expect the accuracy that training the upper blocks adds to that of a trained head.

    The more, the more errors there are and the less the images are like ImageNet's.

    >>> round(expected_gain({"last map": 0.81, "finer map": 0.86, "all": 0.86}), 3)
    0.056
    >>> round(expected_gain({"last map": 0.95, "finer map": 0.89, "all": 0.96}), 3)
    0.003
    """
    fixed = FIXED_ERRORS - FIXED_PER_POINT * (imagenet_similarity(probes) or 0.0)
    return (1 - probes[ALL_DEPTHS]) * min(MAX_FIXED, max(MIN_FIXED, fixed))


def pays_off(gain: float, seconds: float) -> bool:
    """Tell whether a gain in accuracy is worth waiting for."""
    return gain >= MIN_GAIN + MIN_GAIN_PER_HOUR * seconds / 3600


def probe_depths(
    features: np.ndarray, labels: np.ndarray, groups: Sequence[str], depths: Mapping[str, slice]
) -> dict[str, float]:
    """Cross-validate a ridge classifier, for each depth and for all depths together.

    Args:
        features: float (images, length), standardized here over all images
        groups: of equal pixels; a group never lies on both sides of a fold
        depths: columns by name

    Returns:
        Accuracy by name, and as `ALL_DEPTHS` on all columns
    """
    positions = np.array([hash_to_unit(group, seed=PROBE_FOLDS) for group in groups])
    chosen = np.argsort(positions, kind="stable")[:MAX_PROBE_IMAGES]
    folds = (positions[chosen] / (positions[chosen].max() + 1e-9) * PROBE_FOLDS).astype(int)
    values = features[chosen].astype(np.float32)
    values = (values - values.mean(axis=0)) / (values.std(axis=0) + STD_FLOOR)
    targets = np.eye(int(labels.max()) + 1, dtype=np.float32)[labels[chosen]]
    columns = {**depths, ALL_DEPTHS: slice(None)}
    return {name: _probe_accuracy(values[:, part], targets, folds) for name, part in columns.items()}


def _probe_accuracy(values: np.ndarray, targets: np.ndarray, folds: np.ndarray) -> float:
    """Measure the fraction of images that the classifier of the other folds classifies correctly."""
    labels = targets.argmax(axis=1)
    targets = targets - targets.mean(axis=0)  # the classes' frequencies would win where images are few
    penalty, correct = RIDGE * values.shape[1], 0
    parts = [np.flatnonzero(folds == fold) for fold in range(PROBE_FOLDS)]
    is_wide = len(values) < values.shape[1]
    kernel = values @ values.T if is_wide else None
    squares = [] if is_wide else [values[part].T @ values[part] for part in parts]
    for fold, part in enumerate(parts):
        rest = np.flatnonzero(folds != fold)
        if kernel is not None:  # the same classifier from fewer equations
            inner = kernel[np.ix_(rest, rest)] + penalty * np.eye(len(rest), dtype=np.float32)
            scores = kernel[np.ix_(part, rest)] @ np.linalg.solve(inner, targets[rest])
        else:
            square = sum(squares[:fold] + squares[fold + 1 :]) + penalty * np.eye(values.shape[1], dtype=np.float32)
            scores = values[part] @ np.linalg.solve(square, values[rest].T @ targets[rest])
        correct += int((scores.argmax(axis=1) == labels[part]).sum())
    return correct / len(values)
