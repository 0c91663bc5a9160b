"""Training of the candidates within the time limit; what cannot be trained is left out."""

import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tlkit.cache.folder import claim_cache
from tlkit.comparison.cache import (
    cache_run,
    check_unchanged,
    fingerprint,
    has_speed,
    load_cached_run,
    prepare_folders,
    read_request,
    run_key,
)
from tlkit.comparison.candidates import BASELINES, PAGES, Candidate, build_candidates, missing_requirements
from tlkit.comparison.limits import attack_of, measure_epsilon, measure_retrieval
from tlkit.comparison.results import (
    CandidateResult,
    FeatureSource,
    ValidationSet,
    baseline_result,
    measure_speed,
    notes_of,
    read_result,
    training_seconds,
    validation_set_of,
)
from tlkit.data.reader import DataOptions, images_root, read_data
from tlkit.errors import OptionError, RunError, TlkitError
from tlkit.models.backbones import cached_backbones
from tlkit.runs.manifest import RUN_FILES
from tlkit.runs.run import UNFINISHED, Run, delete_run, is_done
from tlkit.runs.unfinished import has_progress
from tlkit.settings.base import command_line
from tlkit.training.diagnosis import FEW_IMAGES, few_images
from tlkit.training.recipe import Recipe
from tlkit.training.resume import resume
from tlkit.training.session import run_training
from tlkit.utils.files import other_paths
from tlkit.utils.progress import Advance, Progress, Silent
from tlkit.utils.storage import Location
from tlkit.utils.text import parse_duration

REPORT_SECONDS = 5.0  # for tables and the plot at the end


@dataclass
class ComparisonState:
    """A comparison under way.

    Attributes:
        run: its folder
        data: the images, as the user gave them
        images: their fingerprint
        end: when all should be done, on the monotonic clock
        validation_set: the validation images, once a candidate was measured on them
        results: of the candidates that are done
        baselines: results of what needs no training, asked for or not
        notes: what a person should know
        extraction_seconds: of the candidates of this comparison, for reading the images
        failure: the error of the last candidate that was left out
    """

    run: Run
    data: Location
    images: str
    progress: Progress
    end: float = math.inf
    validation_set: ValidationSet | None = None
    results: list[CandidateResult] = field(default_factory=list)
    baselines: list[CandidateResult] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    extraction_seconds: dict[FeatureSource, float] = field(default_factory=dict)
    failure: TlkitError | None = None


def run_candidates(run: Run, progress: Progress | None = None) -> ComparisonState:
    """Train the candidates that are missing, and measure all of them.

    Args:
        run: of a comparison that was started, perhaps stopped
        progress: gets a transient note before each candidate, and one after it; an interrupt it raises ends the
            comparison

    Raises:
        DataError
        RunError
        OptionError: if the cache folder is not tlkit's; if nothing could be trained, what the last candidate failed for
    """
    started, progress = time.monotonic(), progress or Silent()
    progress.run_started(run.path)
    data, settings = read_request(run)
    with suppress(OSError):  # where the cache cannot be written, nothing is kept
        claim_cache()  # at once, for a candidate that is refused is left out
    folder = read_data(data, DataOptions(**settings.data_options))
    images = fingerprint(folder, progress)
    key = run_key(images, "compare", settings, cached_backbones())
    check_unchanged(run, key)
    candidates = build_candidates(settings)
    order = [candidate.name for candidate in candidates]
    prepare_folders(run, key, order)
    limit = parse_duration(settings.time_limit) - REPORT_SECONDS if settings.time_limit else math.inf
    notes = [*folder.notes, *missing_requirements()]
    state = ComparisonState(run, data, images, progress, started + limit, notes=notes)
    _run_all(state, candidates)
    if state.validation_set is None:
        assert state.failure
        raise type(state.failure)(f"no model could be trained: {state.notes[-1]}")
    state.baselines = [baseline_result(candidate, state.validation_set) for candidate in BASELINES]
    asked = [result for result in state.baselines if result.name in order]
    state.results = sorted([*asked, *state.results], key=lambda result: order.index(result.name))
    if len(state.validation_set.paths) < FEW_IMAGES:
        state.notes.append(f"{few_images(len(state.validation_set.paths))}; add images.")
    return state


def _run_all(state: ComparisonState, candidates: list[Candidate]) -> None:
    """Run the quick ones first: a short time is then enough for many, and frozen networks precede upper blocks."""
    trained = [candidate for candidate in candidates if candidate.make_settings]
    trained.sort(key=lambda candidate: candidate.min_seconds)
    for position, candidate in enumerate(trained):
        state.progress.note(f"{position + 1} of {len(trained)}: {candidate.title}", transient=True)
        _run_candidate(state, candidate, trained[position + 1 :])


def _run_candidate(state: ComparisonState, candidate: Candidate, later: Sequence[Candidate]) -> None:
    """Add the candidate's result, or note why there is none.

    Args:
        later: the candidates that follow
    """
    assert candidate.make_settings
    assert candidate.make_recipe
    settings = candidate.make_settings({result.name: result.accuracy for result in state.results})
    try:
        recipe = candidate.make_recipe(settings)
        run = obtain_run(state, candidate, recipe, _time_slot(state.end - time.monotonic(), candidate, later))
    except Exception as error:  # other candidates may succeed all the same
        state.failure = _without_traceback(error)
        state.notes.append(f"{candidate.name} was skipped: {state.failure}")
        # before anything is removed, for it may raise: the error may have been an interrupt that C code swallowed
        state.progress.note(state.notes[-1], transient=True)
        delete_run(Run(state.run.path / candidate.name))
        return
    state.validation_set = state.validation_set or validation_set_of(run)
    state.notes += notes_of(candidate, run)
    command = command_line(recipe.command, replace(settings, **dict.fromkeys(PAGES, True)), state.data)
    result = read_result(candidate, run, state.validation_set, command, state.extraction_seconds)
    state.results.append(_measure_limits(state, result, run))
    state.progress.note(f"{result.title}: accuracy {100 * result.accuracy:.1f} %", transient=True)


def _measure_limits(state: ComparisonState, result: CandidateResult, run: Run) -> CandidateResult:
    """Add what --retrieval and --adversarial ask for, while there is time; note why a figure is missing."""
    data, settings = read_request(state.run)
    root, limits = images_root(data, settings.images), dict[str, Any]()
    for is_wanted, name, measure in (
        (settings.retrieval, "precision_at_5", measure_retrieval),
        (settings.adversarial, "adversarial_epsilon", measure_epsilon),
    ):
        if not is_wanted:
            continue
        words = name.replace("_", " ")
        state.progress.note(f"{result.title}: {words}", transient=True)
        try:
            if time.monotonic() > state.end:
                raise OutOfTimeError(NO_TIME)
            limits[name] = measure(run, root)
        except TlkitError as error:
            state.notes.append(f"{result.name} has no {words}: {error}")
    if "adversarial_epsilon" in limits:
        limits["adversarial_attack"] = attack_of(run)
    return replace(result, **limits)


def _without_traceback(error: Exception) -> TlkitError:
    """Make the same error, in a sentence; a traceback holds on to memory."""
    if isinstance(error, TlkitError):
        return type(error)(str(error))
    lines = str(error).splitlines() or ["no reason given"]
    return TlkitError(f"unexpected {type(error).__name__}: {lines[0]}.")


@dataclass(frozen=True)
class TimeSlot:
    """A candidate's part of the time limit, in seconds; infinite where there is none.

    Attributes:
        seconds: that it should take
        left: until all must be over
        min_seconds: the candidate is started only if this much time is left
    """

    seconds: float
    left: float
    min_seconds: float


def _time_slot(left: float, candidate: Candidate, later: Sequence[Candidate]) -> TimeSlot:
    """Divide the seconds left among this candidate and later ones."""
    total = sum(other.min_seconds for other in (candidate, *later))
    return TimeSlot(max(candidate.min_seconds, left * candidate.min_seconds / total), left, candidate.min_seconds)


def obtain_run(state: ComparisonState, candidate: Candidate, recipe: Recipe[Any], slot: TimeSlot) -> Run:
    """Get a candidate's finished and measured run: from its folder, from the cache, or by training it.

    Raises:
        OutOfTimeError
        RunError: if something else is in its folder, and all errors of a training
    """
    run = Run(state.run.path / candidate.name)
    if is_done(run.path) and has_speed(run.path):
        return run
    backbones = [recipe.settings.backbone] if candidate.needs_weights else []
    key = run_key(state.images, recipe.command, recipe.settings, backbones)
    if not is_done(run.path) and not _is_resumable(run.path):
        delete_run(run)  # of a copy or a training that was stopped early
        if os.path.lexists(run.path):
            raise RunError(
                f"'{run.path}' has files that tlkit did not write; move them elsewhere and start a new comparison."
            )
        if load_cached_run(key, run.path):
            return run
    if not is_done(run.path):
        _train(state, recipe, run.path, slot)
    if candidate.required_freeze not in ("", run.read_json("model.json").get("freeze")):
        raise OutOfTimeError(NO_TIME)
    measure_speed(run)
    if training_seconds(run) is not None and not run.read_json("settings.json").get("time_limit"):
        cache_run(key, run.path)  # no time limit changed it, and its training time is known
    return run


def _is_resumable(target: Path) -> bool:
    """Tell whether a training can be continued; one without progress only if its folder has other files."""
    if not (target / UNFINISHED).exists():
        return False
    return has_progress(Run(target)) or ((target / "settings.json").exists() and bool(other_paths(target, RUN_FILES)))


OVERRUN_FACTOR = 2.0  # a training that takes longer than this many times its slot is ended
MIN_SECONDS = 40.0  # nothing is ended earlier: starting Keras and converting a network may take that long


def _train(state: ComparisonState, recipe: Recipe[Any], target: Path, slot: TimeSlot) -> None:
    if slot.left < slot.min_seconds:
        raise OutOfTimeError(NO_TIME)
    deadline = Deadline(state.progress, min(max(OVERRUN_FACTOR * slot.seconds, MIN_SECONDS), slot.left))
    if _is_resumable(target):
        resume(target, deadline)
    else:
        run_training(recipe.with_time_limit(slot.seconds), state.data, target, deadline)


NO_TIME = "--time-limit is too short for it; use a longer one."


class OutOfTimeError(OptionError):
    """Work would take longer than it may."""


class Deadline:
    """A `Progress` that ends what takes too long, between two steps of it.

    It drops lasting notes: a comparison has many candidates, and each keeps its notes in its own run.
    """

    def __init__(self, inner: Progress, seconds: float) -> None:
        self._inner, self._end = inner, time.monotonic() + seconds

    def run_started(self, path: Path) -> None:
        """Drop the folder of a candidate: the comparison is what can be continued."""

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Advance]:
        """Start a stage of the inner progress, and check the time at every step.

        Raises:
            OutOfTimeError: before the first step, too
        """
        self._check()
        with self._inner.stage(name, total, unit) as advance:

            def step(done: int) -> None:
                """Advance, and check the time."""
                advance(done)
                self._check()

            yield step

    def waiting(self, text: str) -> None:
        """Pass the text on."""
        self._inner.waiting(text)

    def note(self, text: str, transient: bool = False) -> None:
        """Pass transient notes on, and drop lasting ones."""
        if transient:
            self._inner.note(text, transient=True)

    def on_epoch_end(self, row: Mapping[str, Any]) -> None:
        """Pass the epoch on, and check the time.

        Raises:
            OutOfTimeError
        """
        self._inner.on_epoch_end(row)
        self._check()

    def _check(self) -> None:
        if time.monotonic() > self._end:
            raise OutOfTimeError(NO_TIME)
