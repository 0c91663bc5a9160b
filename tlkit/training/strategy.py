"""Which layers are trained, for how long: what `--freeze auto` and `--time-limit` decide once the features are there.

A decision is kept in the run folder, for a resumed run must not measure again and decide otherwise.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tlkit.data.split import Split
from tlkit.durations import seconds_of, spoken
from tlkit.errors import OptionError
from tlkit.extraction import Extracted
from tlkit.models.body import depths
from tlkit.progress import Clock, Progress
from tlkit.runs import Run
from tlkit.settings import FinetuneSettings, TrainingSettings
from tlkit.training.advice import Advice, advise, expected_gain, is_worth
from tlkit.training.forecast import Forecast, Ready, forecast_strategy
from tlkit.training.probe import probe_depths

DECISION = "checkpoint-strategy.json"  # in the run folder, until the run is finished
LEAST_EPOCHS = 3  # of upper blocks; fewer do more harm than good
WRITING = 6.0  # seconds at the end of a run: saving, converting, plots

Decision = dict[str, Any]  # settings that change, advice, forecast, what is said at once, what is noted in the run


def choose_strategy(
    run: Run, ready: Ready, read: tuple[Extracted, Split], settings: TrainingSettings, clock: Clock, progress: Progress
) -> tuple[TrainingSettings, Decision]:
    """The settings with strategy and epochs decided, and the decision.

    read: the features of every image, and which images are for training
    clock: has run since the start of the command
    """
    if (run.path / DECISION).exists():
        decision: Decision = run.read_json(DECISION)
    else:
        left = seconds_of(settings.time_limit) - clock.total() - WRITING if settings.time_limit else math.inf
        decision = decide(ready, _probes(ready, *read, settings), settings, left)
        run.write_json(DECISION, decision)
        for text in decision["said"]:
            progress.note(text)
    return replace(settings, **decision["settings"]), decision


def decide(ready: Ready, probes: Mapping[str, float] | None, settings: TrainingSettings, left: float) -> Decision:
    """Which settings change, and why.

    probes: accuracy of linear probes by depth, for `--freeze auto`
    left: seconds there are for what comes now
    """
    if probes is not None and isinstance(settings, FinetuneSettings):
        return _decide_by_probes(ready, probes, settings, left)
    if settings.freeze == "all" and left == math.inf:
        return _decision({}, [], [])  # takes seconds; not worth measuring
    expected = forecast_strategy(ready, settings)
    changed, notes = fit_into(left, expected, settings)
    told = f"this will take about {spoken(expected.seconds)} and {expected.disk / 1e9:.2f} GB of disk."
    return _decision(changed, notes or [told], notes, expected=expected)


def fit_into(left: float, expected: Forecast, settings: TrainingSettings) -> tuple[dict[str, Any], list[str]]:
    """What of a strategy fits into the seconds there are, and what to tell."""
    epochs = expected.epochs_within(left)
    if epochs == expected.epochs:
        return {}, []
    if settings.freeze == "lower" and epochs < LEAST_EPOCHS:
        return {"freeze": "all"}, ["--time-limit leaves no time to train upper blocks; the head alone is trained."]
    name = "upper_epochs" if settings.freeze == "lower" else "epochs"
    return {name: max(1, epochs)}, [f"--time-limit leaves time for {max(1, epochs)} of {expected.epochs} epochs."]


def _decide_by_probes(ready: Ready, probes: Mapping[str, float], settings: FinetuneSettings, left: float) -> Decision:
    """What `--freeze auto` means here: train upper blocks where that is expected to be worth its time."""
    if not is_worth(gain := expected_gain(probes), 0):
        return _advised(advise(probes, "all", "upper blocks would hardly add to that: freeze all"))
    try:
        expected = forecast_strategy(ready, replace(settings, freeze="lower"))
    except OptionError as error:
        return _advised(advise(probes, "all", f"freeze all, for {str(error).split(';')[0]}"))
    epochs = expected.epochs_within(left)
    seconds = expected.fixed + epochs * expected.per_epoch
    promise = f"training upper blocks should add about {100 * gain:.0f} points"
    if epochs < LEAST_EPOCHS:
        why = f"{promise}, but --time-limit leaves no time for it: freeze all"
        return _advised(advise(probes, "all", why, expected.seconds), expected)
    if not is_worth(gain, seconds):
        why = f"{promise}, but take {spoken(seconds)}: freeze all; --freeze lower does it all the same"
        return _advised(advise(probes, "all", why, seconds), expected)
    why = f"{promise} in about {spoken(seconds)}, with {expected.disk / 1e9:.2f} GB of disk: freeze lower"
    fewer = {"upper_epochs": epochs} if epochs < expected.epochs else {}
    return _advised(advise(probes, "lower", why, seconds), expected, fewer)


def _advised(advice: Advice, expected: Forecast | None = None, changed: Mapping[str, Any] | None = None) -> Decision:
    settings = {"freeze": advice.strategy} | dict(changed or {})
    return _decision(settings, [advice.reason], [], advice.as_json(), expected)


def _decision(
    changed: dict[str, Any],
    said: list[str],
    notes: list[str],
    advice: dict[str, Any] | None = None,
    expected: Forecast | None = None,
) -> Decision:
    forecast = {"seconds": round(expected.seconds, 1), "disk_bytes": expected.disk} if expected else None
    return {"settings": changed, "said": said, "notes": notes, "advice": advice, "forecast": forecast}


def _probes(ready: Ready, extracted: Extracted, split: Split, settings: TrainingSettings) -> dict[str, float] | None:
    if settings.freeze != "auto":
        return None
    part = split.train
    return probe_depths(extracted.values(part), part.labels, part.groups, depths(ready.body))
