"""Training of the candidates within the time limit; what cannot be trained is left out."""

import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
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
    Reading,
    ValidationSet,
    baseline_result,
    feature_source,
    measure_speed,
    notes_of,
    read_result,
    training_seconds,
    validation_set_of,
)
from tlkit.comparison.slots import (
    NO_TIME,
    Deadline,
    OutOfTimeError,
    TimeSlot,
    is_resumable,
    time_slot,
    train_in_slot,
)
from tlkit.comparison.tasks import CandidateTask, Trained, make_spec, train_on_workers, without_traceback
from tlkit.data.folder import ImageFolder
from tlkit.data.reader import DataOptions, images_root, read_data
from tlkit.distributed.workers import Workers, current_workers
from tlkit.errors import RunError, TlkitError
from tlkit.models.backbones import cached_backbones
from tlkit.runs.run import Run, delete_run, is_done
from tlkit.settings.base import command_line
from tlkit.training.classic import AUTO
from tlkit.training.diagnosis import FEW_IMAGES, few_images
from tlkit.training.recipe import Recipe, TrainingResult
from tlkit.training.session import run_training
from tlkit.utils.progress import Progress, Silent
from tlkit.utils.storage import Location
from tlkit.utils.text import parse_duration

REPORT_SECONDS = 5.0  # for tables and the plot at the end
SPEED_SECONDS = 1.0  # for measuring a candidate, after workers have trained it
MIN_READ_BY_ALL = 3000  # images that all workers read for a candidate, because one alone would take minutes
SIDE_BY_SIDE = "--on ray: workers trained models, {} at a time; training times are those of a worker."


@dataclass
class ComparisonState:
    """A comparison under way.

    Attributes:
        run: its folder
        data: the images, as the user gave them
        folder: the images, listed
        images: their fingerprint
        end: when all should be done, on the monotonic clock
        validation_set: the validation images, once a candidate was measured on them
        results: of the candidates that are done
        baselines: results of what needs no training, asked for or not
        notes: what a person should know
        extraction_seconds: of the candidates of this comparison, for reading the images
        readings: passes over the images before the trainings, by candidate, where all workers read first
        trained: what became of the candidates that workers trained, by name
        failure: the error of the last candidate that was left out
    """

    run: Run
    data: Location
    folder: ImageFolder
    images: str
    progress: Progress
    end: float = math.inf
    validation_set: ValidationSet | None = None
    results: list[CandidateResult] = field(default_factory=list)
    baselines: list[CandidateResult] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    extraction_seconds: dict[FeatureSource, float] = field(default_factory=dict)
    readings: dict[str, Reading] = field(default_factory=dict)
    trained: dict[str, Trained] = field(default_factory=dict)
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
    state = ComparisonState(run, data, folder, images, progress, started + limit, notes=notes)
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
    if workers := current_workers():
        _train_side_by_side(state, trained, workers)
    for position, candidate in enumerate(trained):
        if candidate.name not in state.trained:
            state.progress.note(f"{position + 1} of {len(trained)}: {candidate.title}", transient=True)
        _run_candidate(state, candidate, trained[position + 1 :])


def _train_side_by_side(state: ComparisonState, candidates: Sequence[Candidate], workers: Workers) -> None:
    """Let workers train what depends on no other candidate; it is measured later, when they have nothing to do.

    Where images are many, all workers read them first; else each reads those of its candidate. Candidates with the
    same features are then for one worker, so that these are computed once.
    """
    folder = state.folder.surveyed()
    recipes = dict(_missing_recipes(state, candidates, folder))
    are_many = len(folder) >= MIN_READ_BY_ALL
    if are_many:
        recipes = {candidate: recipe for candidate, recipe in recipes.items() if not _reads_in_steps(recipe)}
    if not recipes:
        return
    num_workers = workers.count  # they start, before anything is timed
    if are_many:
        _read_images(state, recipes, folder)
    blocks = dict[object, list[Candidate]]()
    for candidate, recipe in recipes.items():
        source = candidate.name if candidate.name in state.readings else _source_of(recipe)
        blocks.setdefault(source, []).append(candidate)
    at_once = min(num_workers, len(blocks))
    slots = {
        candidate.name: time_slot(candidate, candidates[position + 1 :], at_once)
        for position, candidate in enumerate(candidates)
    }
    tasks = [
        [CandidateTask(one.name, one.title, recipes[one], slots[one.name]) for one in block]
        for block in blocks.values()
    ]
    end = time.time() + state.end - time.monotonic() - SPEED_SECONDS * len(recipes)
    state.trained = train_on_workers(workers, make_spec(state.run, folder, end), tasks, state.progress)
    state.notes.append(SIDE_BY_SIDE.format(at_once))
    state.progress.note("measuring the speed of each model", transient=True)


def _missing_recipes(
    state: ComparisonState, candidates: Sequence[Candidate], folder: ImageFolder
) -> Iterator[tuple[Candidate, Recipe[Any]]]:
    """Give the recipes of what depends on no other candidate and is neither finished nor cached."""
    for candidate in candidates:
        if candidate.depends_on_others:
            continue
        assert candidate.make_settings
        assert candidate.make_recipe
        with suppress(Exception):  # raised again at its turn
            recipe = candidate.make_recipe(candidate.make_settings({}))
            if not has_run(state, candidate, recipe):
                yield candidate, recipe.adapted_to(folder)


def _read_images(state: ComparisonState, recipes: Mapping[Candidate, Recipe[Any]], folder: ImageFolder) -> None:
    """Compute the features of each candidate by all workers, once for those that share them."""
    readings = dict[FeatureSource, Reading]()
    for candidate, recipe in recipes.items():
        source = _source_of(recipe)
        if source not in readings:
            state.progress.note(f"reading images: {candidate.title}", transient=True)
            started = time.monotonic()
            with suppress(Exception):  # raised again by its training
                dataset = recipe.load(folder, Deadline(state.progress, state.end - started))
                readings[source] = Reading(round(time.monotonic() - started, 3), dataset.num_cached)
        if source in readings:
            state.readings[candidate.name] = readings[source]


def _source_of(recipe: Recipe[Any]) -> FeatureSource:
    return feature_source(recipe.settings.image_size, vars(recipe.settings))


def _reads_in_steps(recipe: Recipe[Any]) -> bool:
    """Tell whether what it reads next depends on what it has read; it stays here, and workers read for it."""
    return getattr(recipe.settings, "descriptor", "") == AUTO


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
        if (trained := state.trained.get(candidate.name)) and trained.error:
            raise trained.error
        run = obtain_run(state, candidate, recipe, time_slot(candidate, later))
    except Exception as error:  # other candidates may succeed all the same
        state.failure = without_traceback(error)
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
    if candidate.name not in state.trained:
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


def obtain_run(state: ComparisonState, candidate: Candidate, recipe: Recipe[Any], slot: TimeSlot) -> Run:
    """Get a candidate's finished and measured run: from its folder, from the cache, or by training it.

    Raises:
        OutOfTimeError
        RunError: if something else is in its folder, and all errors of a training
    """
    run = Run(state.run.path / candidate.name)
    if not has_run(state, candidate, recipe):

        def start(limited: Recipe[Any], progress: Progress) -> TrainingResult:
            """Train from nothing."""
            return run_training(limited, state.data, run.path, progress)

        train_in_slot(recipe, run.path, (state.end - time.monotonic(), slot), start, state.progress)
    if has_speed(run.path):
        return run
    if candidate.required_freeze not in ("", run.read_json("model.json").get("freeze")):
        raise OutOfTimeError(NO_TIME)
    measure_speed(run, state.readings.get(candidate.name))
    if training_seconds(run) is not None and not run.read_json("settings.json").get("time_limit"):
        # no time limit changed it, and its training time is known
        cache_run(_key_of(state, candidate, recipe), run.path)
    return run


def has_run(state: ComparisonState, candidate: Candidate, recipe: Recipe[Any]) -> bool:
    """Tell whether a candidate's finished run is in its folder, perhaps copied there from the cache.

    Raises:
        RunError: if something else is in its folder
    """
    run = Run(state.run.path / candidate.name)
    if is_done(run.path):
        return True
    if is_resumable(run.path):
        return False
    delete_run(run)  # of a copy or a training that was stopped early
    if os.path.lexists(run.path):
        raise RunError(
            f"'{run.path}' has files that tlkit did not write; move them elsewhere and start a new comparison."
        )
    return load_cached_run(_key_of(state, candidate, recipe), run.path)


def _key_of(state: ComparisonState, candidate: Candidate, recipe: Recipe[Any]) -> str:
    backbones = [recipe.settings.backbone] if candidate.needs_weights else []
    return run_key(state.images, recipe.command, recipe.settings, backbones)
