"""Trains the candidates within the time there is, and leaves out what cannot be trained."""

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tlkit.comparison.cache import accept, cache_run, check_unchanged, fingerprint, load_cached_run, requested, run_key
from tlkit.comparison.ladder import Candidate, baselines, build_candidates, missing_requirements
from tlkit.comparison.results import (
    CandidateResult,
    FeatureSource,
    ValidationSet,
    baseline,
    command_of,
    has_speed,
    measure_speed,
    notes_of,
    read_result,
    training_seconds,
    validation_set_of,
)
from tlkit.data.folder import read_folder
from tlkit.errors import OptionError, RunError, TlkitError
from tlkit.runs.run import RUN_FILES, UNFINISHED, Run, delete_run, is_done
from tlkit.runs.unfinished import has_progress
from tlkit.settings.commands import CompareSettings
from tlkit.settings.training import AnySettings, ClassicSettings, FinetuneSettings, TrainSettings
from tlkit.training.classic import train_classic
from tlkit.training.diagnosis import FEW_IMAGES, few_images
from tlkit.training.finetune import finetune
from tlkit.training.from_scratch import train
from tlkit.training.resume import resume
from tlkit.utils.files import claim_cache, other_paths
from tlkit.utils.progress import Advance, Progress, Silent
from tlkit.utils.text import parse_duration


@dataclass(frozen=True)
class TimeSlot:
    """Of a time limit, in seconds; infinite where there is none.

    seconds  that a rung should take
    left     until all must be over
    least    that it is begun with
    """

    seconds: float
    left: float
    least: float


REPORT_SECONDS = 5.0  # seconds for tables and the plot at the end
Tell = Callable[[str], None]


@dataclass
class ComparisonState:
    """A comparison under way.

    run        its folder
    root       of the images
    images     their fingerprint
    tell       is given a line before each rung and after it
    end        when all should be done, on the monotonic clock
    judged     the validation images, once a rung was judged on them
    standings  of the rungs climbed
    blind      what answers without looking, asked for or not
    notes      what a person should know
    readings   seconds that reading the images took rungs of this ladder
    failure    why the last rung that was left out was
    """

    run: Run
    root: Path
    images: str
    progress: Progress
    tell: Tell
    end: float
    judged: ValidationSet | None = None
    standings: list[CandidateResult] = field(default_factory=list)
    blind: list[CandidateResult] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    readings: dict[FeatureSource, float] = field(default_factory=dict)
    failure: TlkitError | None = None


def run_candidates(run: Run, progress: Progress | None = None, tell: Tell | None = None) -> ComparisonState:
    """Train what is not there yet, and measure all of it.

    run: begun, perhaps stopped
    tell: is given a line before each rung, and one after it; an interrupt it raises ends the climb
    raises: DataError, RunError; OptionError where the cache folder is not tlkit's;
        where nothing could be trained, what the last rung failed for
    """
    started = time.monotonic()
    data, settings = requested(run)
    with suppress(OSError):  # where the cache cannot be written, nothing is kept
        claim_cache()  # at once, for a rung that is refused is left out
    folder = read_folder(data)
    progress, tell = progress or Silent(), tell or (lambda line: None)
    images = fingerprint(folder, progress)
    key = run_key(images, settings)
    check_unchanged(run, key)
    ladder = build_candidates(settings)
    accept(run, key, [rung.name for rung in ladder])
    state = ComparisonState(
        run, folder.root, images, progress, tell, started + _limit(settings), notes=missing_requirements()
    )
    _run_all(state, ladder)
    if state.judged is None:
        assert state.failure
        raise type(state.failure)(f"nothing could be trained: {state.notes[-1]}")
    state.blind = [baseline(rung, state.judged) for rung in baselines()]
    order = [rung.name for rung in ladder]
    asked = [standing for standing in state.blind if standing.name in order]
    state.standings = sorted([*asked, *state.standings], key=lambda standing: order.index(standing.name))
    if len(state.judged.paths) < FEW_IMAGES:
        state.notes.append(f"{few_images(len(state.judged.paths))}; more photos tell more than more rungs.")
    return state


def _limit(settings: CompareSettings) -> float:
    """Seconds for the rungs."""
    return parse_duration(settings.time_limit) - REPORT_SECONDS if settings.time_limit else math.inf


def _run_all(state: ComparisonState, ladder: list[Candidate]) -> None:
    """The quick ones first, so that there are many where time is short; frozen networks so precede upper blocks."""
    rungs = sorted((rung for rung in ladder if rung.choose), key=lambda rung: rung.least)
    for place, rung in enumerate(rungs):
        state.tell(f"{place + 1} of {len(rungs)}: {rung.title}")
        _run_candidate(state, rung, rungs[place:])


def _run_candidate(state: ComparisonState, rung: Candidate, ahead: list[Candidate]) -> None:
    """Climb one rung, or note why not.

    ahead: the rungs there are still to climb, this one first
    """
    assert rung.choose
    settings = rung.choose({standing.name: standing.accuracy for standing in state.standings})
    run = Run(state.run.path / rung.name)
    try:
        key, share = run_key(state.images, settings), _time_slot(state.end - time.monotonic(), ahead)
        obtain_run(state.root, run.path, settings, key, share, state.progress)
    except Exception as error:  # whatever it was, other rungs may do
        _leave_out(state, rung, _in_a_sentence(error))
        return
    state.judged = state.judged or validation_set_of(run)
    state.notes += notes_of(rung, run)
    standing = read_result(rung, run, state.judged, command_of(settings, state.root), state.readings)
    state.standings.append(standing)
    state.tell(f"{standing.title}: {standing.accuracy:.3f}")


def _time_slot(left: float, ahead: list[Candidate]) -> TimeSlot:
    """What the first of the rungs ahead gets of the seconds left."""
    least = ahead[0].least
    return TimeSlot(max(least, left * least / sum(rung.least for rung in ahead)), left, least)


def _leave_out(state: ComparisonState, rung: Candidate, failure: TlkitError) -> None:
    state.failure = failure
    state.notes.append(f"{rung.name} was left out: {failure}")
    state.tell(state.notes[-1])  # before anything is removed: it may have been an interrupt that C code made an error
    delete_run(Run(state.run.path / rung.name))


def _in_a_sentence(error: Exception) -> TlkitError:
    """The same without its traceback, which holds on to memory."""
    if isinstance(error, TlkitError):
        return type(error)(str(error))
    lines = str(error).splitlines() or ["no reason given"]
    return TlkitError(f"something unexpected happened ({type(error).__name__}: {lines[0]}).")


OVERRUN_FACTOR = 2.0  # times its share: what takes longer than that is ended
MIN_SECONDS = 40.0  # seconds; nothing is ended earlier, for so long it may take to start Keras and convert a network
TRAININGS: Mapping[type, Callable[..., Any]] = {
    FinetuneSettings: finetune,
    TrainSettings: train,
    ClassicSettings: train_classic,
}


def obtain_run(root: Path, target: Path, settings: AnySettings, key: str, share: TimeSlot, progress: Progress) -> None:
    """See that a rung's run is there, finished and measured.

    root: of the images
    target: its run folder
    key: what it depends on where nothing limits its time
    raises: OutOfTimeError, RunError where something else is in its folder, and whatever a training raises
    """
    if is_done(target) and has_speed(target):
        return
    if not is_done(target) and not _is_resumable(target):
        delete_run(Run(target))  # of a copy or a training that was stopped early
        if os.path.lexists(target):
            raise RunError(f"'{target}' holds what tlkit did not write; move it elsewhere and compare anew.")
        if load_cached_run(key, target):
            return
    if not is_done(target):
        _train(root, target, settings, share, progress)
    run = Run(target)
    _require_strategy(run, settings)
    measure_speed(run, root)
    if training_seconds(run) is not None and not run.read_json("settings.json").get("time_limit"):
        cache_run(key, target)  # what had all the time it wanted, and is known to have taken


def _is_resumable(target: Path) -> bool:
    """Whether there is a training to go on with; without progress only where somebody put something beside it."""
    if not (target / UNFINISHED).exists():
        return False
    return has_progress(Run(target)) or ((target / "settings.json").exists() and bool(other_paths(target, RUN_FILES)))


def _train(root: Path, target: Path, settings: AnySettings, share: TimeSlot, progress: Progress) -> None:
    if share.left < share.least:
        raise OutOfTimeError(NO_TIME)
    progress = Deadline(progress, min(max(OVERRUN_FACTOR * share.seconds, MIN_SECONDS), share.left))
    if _is_resumable(target):
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


NO_TIME = "--time-limit leaves no time for it; give it more."


class OutOfTimeError(OptionError):
    """Work would take longer than it may."""


class Deadline:
    """A `Progress` that ends what takes too long, between two steps of it, and keeps notes to itself."""

    def __init__(self, inner: Progress, seconds: float) -> None:
        self._inner, self._end = inner, time.monotonic() + seconds

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Advance]:
        """See `Progress.stage`.

        raises: OutOfTimeError, before the first step, too
        """
        self._check()
        with self._inner.stage(name, total, unit) as advance:

            def step(done: int) -> None:
                advance(done)
                self._check()

            yield step

    def note(self, text: str) -> None:
        """Not shown: a ladder has many rungs, and each keeps its notes in its own run."""

    def epoch(self, row: Mapping[str, Any]) -> None:
        """See `Progress.epoch`.

        raises: OutOfTimeError
        """
        self._inner.epoch(row)
        self._check()

    def _check(self) -> None:
        if time.monotonic() > self._end:
            raise OutOfTimeError(NO_TIME)
