"""Climbs the ladder: trains rung after rung within the time there is, and goes on where it was stopped."""

import math
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tlkit.comparison.deadline import Deadline, OutOfTimeError
from tlkit.comparison.keeping import find_rung, fingerprint, keep_rung, rung_key
from tlkit.comparison.measuring import (
    Judged,
    baseline,
    command_of,
    has_speed,
    judged_by,
    look_at,
    measure_speed,
    what_was_chosen,
)
from tlkit.comparison.rungs import Rung, build_ladder, missing
from tlkit.comparison.standing import Standing
from tlkit.data.folder import read_folder
from tlkit.durations import seconds_of
from tlkit.errors import ModelError, OptionError, RunError
from tlkit.progress import Progress, Silent
from tlkit.runs import UNFINISHED, Run, create_run, is_done
from tlkit.settings import AnySettings, ClassicSettings, CompareSettings, FinetuneSettings, TrainSettings, as_json
from tlkit.training.classic import train_classic
from tlkit.training.finetune import finetune
from tlkit.training.resume import has_progress, reopen_run
from tlkit.training.session import refuse_inside, resume
from tlkit.training.train import train

LEAST = 8.0  # seconds; a rung that would have less is left out
PATIENCE = 2.0  # times its part of the time: what takes longer than that is ended
BEGUN = "begun.json"  # what all its rungs depend on, as a hash
WRITING = 5.0  # seconds for tables and the plot at the end
TRAININGS: Mapping[type, Callable[..., Any]] = {
    FinetuneSettings: finetune,
    TrainSettings: train,
    ClassicSettings: train_classic,
}
Tell = Callable[[str], None]


@dataclass
class Climb:
    """A comparison under way.

    run        its folder
    root       of the images
    images     their fingerprint
    end        when all should be done, on the monotonic clock
    standings  of the rungs climbed, from the lowest
    notes      what a person should know
    """

    run: Run
    root: Path
    images: str
    settings: CompareSettings
    progress: Progress
    end: float
    judged: Judged | None = None
    standings: list[Standing] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def start(data: str | Path, output: str | Path | None, settings: CompareSettings) -> Run:
    """A comparison's folder, begun.

    raises: DataError, OptionError, RunError
    """
    folder = read_folder(data)
    rungs = build_ladder(settings)
    if not any(rung.choose for rung in rungs):
        raise OptionError("--only names no rung that is trained; add one, such as linear.")
    refuse_inside(folder.root, output)
    run = create_run(Path(output) if output else None, "compare")
    run.write_json("settings.json", {"command": "compare", "data": str(folder.root.resolve()), **as_json(settings)})
    return run


def reopen(path: Path) -> Run:
    """A comparison that was stopped.

    raises: RunError
    """
    run = reopen_run(path)
    if run.read_json("settings.json").get("command") != "compare":
        raise RunError(f"'{path}' is no comparison; `tlkit finetune --resume {path}` goes on with it.")
    return run


def climb(run: Run, progress: Progress | None = None, tell: Tell | None = None) -> Climb:
    """Train what is not there yet, and measure all of it.

    run: begun, perhaps stopped
    tell: is given a line before each rung, and one after it
    raises: DataError, RunError
    """
    tell = tell or (lambda line: None)
    started = time.monotonic()
    request = run.read_json("settings.json")
    chosen = {name: value for name, value in request.items() if name not in ("command", "data")}
    settings = CompareSettings(**chosen)
    folder = read_folder(request["data"])
    limit = seconds_of(settings.time_limit) or math.inf
    end = started + limit - WRITING
    images = fingerprint(folder)
    _check_unchanged(run, rung_key(images, settings))
    state = Climb(run, folder.root, images, settings, progress or Silent(), end, notes=missing())
    rungs = [rung for rung in build_ladder(settings) if rung.choose]
    for place, rung in enumerate(rungs):
        tell(f"{place + 1} of {len(rungs)}: {rung.title}")
        tell(_step(state, rung, rungs[place:]))
    if state.judged is None:
        raise OptionError(f"nothing could be trained: {state.notes[-1]}")
    below = [baseline(rung, state.judged) for rung in build_ladder(settings) if not rung.choose]
    state.standings = [*below, *state.standings]
    return state


def _check_unchanged(run: Run, key: str) -> None:
    """raises: RunError where a comparison was begun with other images, or another tlkit"""
    if not (run.path / BEGUN).exists():
        run.write_json(BEGUN, key)
    elif run.read_json(BEGUN) != key:
        raise RunError(
            f"since '{run.path}' was begun, the images, tlkit or a package it needs have changed; compare anew."
        )


def _step(state: Climb, rung: Rung, ahead: list[Rung]) -> str:
    """Climb one rung, or note why not; returns how it ended, in words.

    ahead: the rungs there are still to climb, this one first
    """
    assert rung.choose
    settings = rung.choose({standing.name: standing.accuracy for standing in state.standings})
    target = state.run.path / rung.name
    seconds = (state.end - time.monotonic()) * rung.share / sum(other.share for other in ahead)
    try:
        _ready(state, settings, target, seconds)
    except OutOfTimeError:
        shutil.rmtree(target, ignore_errors=True)
        state.notes.append(f"{rung.name} was left out, for --time-limit leaves no time for it; give it more.")
        return state.notes[-1]
    except (ModelError, OptionError) as error:
        state.notes.append(f"{rung.name} was left out: {error}")
        return state.notes[-1]
    run = Run(target)
    state.judged = state.judged or judged_by(run)
    state.notes += what_was_chosen(rung, run)
    state.standings.append(look_at(rung, run, state.judged, command_of(settings, state.root)))
    return f"{state.standings[-1].title}: {state.standings[-1].accuracy:.3f}"


def _ready(state: Climb, settings: AnySettings, target: Path, seconds: float) -> None:
    """See that a rung's run is there, finished and measured.

    seconds: it may take
    raises: OutOfTimeError, and what a training raises
    """
    key = rung_key(state.images, settings)
    if is_done(target) and has_speed(target):
        return
    if not is_done(target) and not _is_begun(target):
        shutil.rmtree(target, ignore_errors=True)  # of a copy or a training that was stopped early
        if find_rung(key, target):
            return
    taken: float | None = None
    if not is_done(target):
        if min(PATIENCE * seconds, state.end - time.monotonic()) < LEAST:
            raise OutOfTimeError("the time is over")
        taken = _trained(state, settings, target, seconds)
    measure_speed(Run(target), state.root, taken)
    if taken is not None and not Run(target).read_json("settings.json").get("time_limit"):
        keep_rung(key, target)  # what had all the time it wanted, and is known to have taken


def _is_begun(target: Path) -> bool:
    """Whether there is a training that can be gone on with."""
    return (target / UNFINISHED).exists() and has_progress(Run(target))


def _trained(state: Climb, settings: AnySettings, target: Path, seconds: float) -> float | None:
    """Train a rung, or go on with it; returns the seconds that took, None where it was stopped in between."""
    progress = Deadline(state.progress, min(PATIENCE * seconds, state.end - time.monotonic()))
    if _is_begun(target):
        resume(target, progress)
        return None
    if seconds < math.inf and not isinstance(settings, ClassicSettings):
        settings = replace(settings, time_limit=f"{seconds:.0f}s")
    outcome = TRAININGS[type(settings)](state.root, target, settings, progress)
    taken: float = outcome.metrics["seconds"]["total"]
    return taken
