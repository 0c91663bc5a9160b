"""Makes one rung: a run that is finished and measured, be it copied, gone on with or trained."""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tlkit.comparison.deadline import NO_TIME, Deadline, OutOfTimeError
from tlkit.comparison.keeping import find_rung, keep_rung
from tlkit.comparison.measuring import has_speed, measure_speed, training_seconds
from tlkit.errors import RunError
from tlkit.files import other_paths
from tlkit.progress import Progress
from tlkit.runs import RUN_FILES, UNFINISHED, Run, discard_run, is_done
from tlkit.settings import AnySettings, ClassicSettings, FinetuneSettings, TrainSettings
from tlkit.training.classic import train_classic
from tlkit.training.finetune import finetune
from tlkit.training.resume import has_progress
from tlkit.training.session import resume
from tlkit.training.train import train

PATIENCE = 2.0  # times its share: what takes longer than that is ended
SHORTEST = 40.0  # seconds; nothing is ended earlier, for so long it may take to start Keras and convert a network
TRAININGS: Mapping[type, Callable[..., Any]] = {
    FinetuneSettings: finetune,
    TrainSettings: train,
    ClassicSettings: train_classic,
}


@dataclass(frozen=True)
class Share:
    """Of a time limit, in seconds; infinite where there is none.

    seconds  that a rung should take
    left     until all must be over
    least    that it is begun with
    """

    seconds: float
    left: float
    least: float


def make_rung(root: Path, target: Path, settings: AnySettings, key: str, share: Share, progress: Progress) -> None:
    """See that a rung's run is there, finished and measured.

    root: of the images
    target: its run folder
    key: what it depends on where nothing limits its time
    raises: OutOfTimeError, RunError where something else is in its folder, and whatever a training raises
    """
    if is_done(target) and has_speed(target):
        return
    if not is_done(target) and not _is_begun(target):
        discard_run(Run(target))  # of a copy or a training that was stopped early
        if os.path.lexists(target):
            raise RunError(f"'{target}' holds what tlkit did not write; move it elsewhere and compare anew.")
        if find_rung(key, target):
            return
    if not is_done(target):
        _train(root, target, settings, share, progress)
    run = Run(target)
    _require_strategy(run, settings)
    measure_speed(run, root)
    if training_seconds(run) is not None and not run.read_json("settings.json").get("time_limit"):
        keep_rung(key, target)  # what had all the time it wanted, and is known to have taken


def _is_begun(target: Path) -> bool:
    """Whether there is a training to go on with; without progress only where somebody put something beside it."""
    if not (target / UNFINISHED).exists():
        return False
    return has_progress(Run(target)) or ((target / "settings.json").exists() and bool(other_paths(target, RUN_FILES)))


def _train(root: Path, target: Path, settings: AnySettings, share: Share, progress: Progress) -> None:
    if share.left < share.least:
        raise OutOfTimeError(NO_TIME)
    progress = Deadline(progress, min(max(PATIENCE * share.seconds, SHORTEST), share.left))
    if _is_begun(target):
        resume(target, progress)
    else:
        TRAININGS[type(settings)](root, target, _limited(settings, share.seconds), progress)


def _limited(settings: AnySettings, seconds: float) -> AnySettings:
    """Told its time, unless it is frozen or made by hand: then most of it goes into reading, which cannot be cut."""
    if isinstance(settings, ClassicSettings) or settings.freeze == "all" or seconds == math.inf:
        return settings
    return replace(settings, time_limit=f"{seconds:.0f}s")


def _require_strategy(run: Run, settings: AnySettings) -> None:
    """raises: OutOfTimeError where for want of time another part of a network was trained than the rung is about"""
    if run.read_json("model.json").get("freeze", settings.freeze) != settings.freeze:
        raise OutOfTimeError(NO_TIME)
