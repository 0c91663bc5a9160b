"""The fixed order of steps of every training, from a folder of images to a finished run."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from tlkit.cache.folder import claim_cache
from tlkit.data.folder import ImageFolder
from tlkit.data.image import ImageSpec
from tlkit.data.reader import DataOptions, absolute_request, read_data
from tlkit.errors import TlkitError
from tlkit.features.projection import write_map
from tlkit.inference.golden import record_golden
from tlkit.quality.check import quick_check
from tlkit.report.card import write_card
from tlkit.report.page import write_run_page
from tlkit.runs.manifest import MODEL_CARD, REPORT_PAGE
from tlkit.runs.run import Run, create_run, delete_run, finish_run, write_manifest
from tlkit.runs.unfinished import delete_checkpoints, has_progress, save_or_check_split, save_versions
from tlkit.settings.base import to_json
from tlkit.training.artifacts import Measured, draw_plots, skipped_files, training_metrics, write_tables
from tlkit.training.confidence import Answers, HeldOut, fit_confidence, reference_images
from tlkit.training.loop.time_limit import ReadingWatch
from tlkit.training.recipe import Dataset, DatasetT, FittedModel, Recipe, TrainingMetrics, TrainingResult
from tlkit.training.tracking import tracked
from tlkit.utils.parallel import single_threaded_blas, worker_beside
from tlkit.utils.plotting import import_matplotlib
from tlkit.utils.progress import Progress, Silent, Stopwatch
from tlkit.utils.storage import Location, refuse_inside


def run_training(
    recipe: Recipe[DatasetT], data: str | Location, output: str | Path | None, progress: Progress | None
) -> TrainingResult:
    """Train from the start, and leave a run folder.

    Args:
        data: a folder with one subfolder per class, or with train/, val/ and test/ above them
        output: the run folder to make; the next free `runs/<command>-NNN` where it is None

    Raises:
        DataError
        ModelError
        RunError
        OptionError

    After an error, a run folder in which nothing was trained yet is removed.
    """
    stopwatch = Stopwatch()
    folder = read_data(data, DataOptions(**recipe.settings.data_options)).surveyed()
    recipe = recipe.adapted_to(folder)
    refuse_inside(data, output or "runs")
    with suppress(OSError):  # where the cache cannot be written, nothing is cached
        claim_cache()
    stopwatch.lap("scan")
    paths = absolute_request(data, recipe.settings.images)
    run = create_run(Path(output) if output else None, recipe.command)
    return train_images(run, recipe, folder, paths, progress or Silent(), stopwatch)


def train_images(
    run: Run,
    recipe: Recipe[DatasetT],
    folder: ImageFolder,
    paths: Mapping[str, str],
    progress: Progress,
    stopwatch: Stopwatch,
) -> TrainingResult:
    """Train on images that are listed already.

    Args:
        run: just created
        recipe: adapted to the folder
        paths: "data" and "images" of settings.json

    Raises:
        DataError
        ModelError
        RunError
        OptionError

    After an error, a run folder in which nothing was trained yet is removed.
    """
    request = {"command": recipe.command, **to_json(recipe.settings), **paths}
    try:
        save_versions(run, recipe.settings.engine, "classifier" in request)
        run.write_json("settings.json", request)
        return complete_run(run, recipe, folder, progress, stopwatch)
    except (TlkitError, KeyboardInterrupt):
        if not has_progress(run):
            delete_run(run)
        raise


def complete_run(
    run: Run, recipe: Recipe[DatasetT], folder: ImageFolder, progress: Progress, stopwatch: Stopwatch
) -> TrainingResult:
    """Take every step between a run folder that was started and one that is finished.

    Raises:
        DataError
        ModelError
        RunError
        OptionError
    """
    progress.run_started(run.path)
    settings = to_json(recipe.settings)
    with tracked(progress, run.path, settings.get("log_to", ()), settings) as watch:
        result = _take_steps(run, recipe, folder, (progress, watch), stopwatch)
        watch.log_result(run.path, result.metrics)
    return result


def _take_steps(
    run: Run,
    recipe: Recipe[DatasetT],
    folder: ImageFolder,
    progresses: tuple[Progress, Progress],
    stopwatch: Stopwatch,
) -> TrainingResult:
    """Take every step.

    Args:
        progresses: for everything; and for the fit, whose epochs are tracked
    """
    progress, watch = progresses
    time_limit = getattr(recipe.settings, "time_limit", "")
    with single_threaded_blas():
        dataset = recipe.load(folder, ReadingWatch(progress, time_limit, stopwatch.total()))
    save_or_check_split(run, dataset.split)
    stopwatch.lap("features")
    with worker_beside() as beside:
        data_notes = beside.submit(quick_check, dataset.folder)
        if recipe.settings.plots:
            beside.submit(import_matplotlib)
        model = recipe.fit(dataset, run, watch, stopwatch)
        stopwatch.lap("fit")
        return _measure(run, recipe, (dataset, model, data_notes.result()), (beside, progress), stopwatch)


def _measure(
    run: Run,
    recipe: Recipe[DatasetT],
    trained: tuple[DatasetT, FittedModel, list[str]],
    workers: tuple[Executor, Progress],
    stopwatch: Stopwatch,
) -> TrainingResult:
    """Save a trained model, measure it, and finish its run.

    Args:
        trained: the dataset, the model, and notes on the images
        workers: draws plots while the rest is written; and shows what is trained again
    """
    dataset, model, data_notes = trained
    beside, progress = workers
    stages, details, settings = model.save(run), model.details, recipe.settings
    held_out = _held_out(model, dataset)  # before the model is trained again in folds
    repeats = model.repeat(progress)
    with single_threaded_blas():
        image = ImageSpec.from_json(details.manifest)
        confidence = fit_confidence(run, replace(held_out, folds=repeats.folds), stages, image, settings.coverage)
        report, tested = confidence.report(held_out.validation), held_out.test
        test, folds = confidence.report(tested) if tested else None, confidence.calibrated_folds(repeats.folds)
        measured = Measured(report, test, replace(repeats, folds=folds), confidence, data_notes)
        write_tables(run, dataset, details, measured)
        drawn = []
        if settings.plots:
            write_map(run, held_out.validation.images, held_out.validation.features)
            drawn = [beside.submit(draw_plots, run, dataset, details, measured)]
        metrics = training_metrics(measured, dataset, details, stopwatch.laps | {"total": stopwatch.total()})
        names = {"class_names": list(report.class_names), "stages": [to_json(stage) for stage in stages]}
        entries = names | dict(details.manifest) | confidence.manifest
        metrics = _finish(run, recipe, entries, (metrics, drawn), dataset.split.validation)
    history, skipped = details.history, tuple(skipped_files(dataset, confidence))
    return TrainingResult(run, dataset.split, report, test, metrics, history, skipped, folds)


def _finish(
    run: Run,
    recipe: Recipe[DatasetT],
    entries: Mapping[str, Any],
    measured: tuple[TrainingMetrics, Sequence[Future[None]]],
    validation: ImageFolder,
) -> TrainingMetrics:
    """Write metrics and card, and golden samples and the page if they are asked for; finish the run, give its metrics.

    Args:
        measured: the metrics, and plots that are still being drawn

    A page or card that cannot be written is a note: the training is worth more.
    """
    is_own, settings, (metrics, drawn) = not recipe.starts_from_stranger, recipe.settings, measured
    run.write_json("metrics.json", metrics.as_json())
    write_manifest(run, entries, is_own)  # with which the run can predict, and be read
    if settings.golden:
        record_golden(run, validation, trust_model=not is_own)
    pages: dict[str, Callable[[], object]] = {MODEL_CARD: lambda: write_card(run)}
    if settings.report:
        pages[REPORT_PAGE] = lambda: write_run_page(run, images=validation.root)
    for name, write in pages.items():
        try:
            write()
        except Exception as error:  # of the disk, of an image, or of this program
            reason = str(error).rstrip(".") or type(error).__name__
            note = f"{name} was not written ({reason}); `tlkit report {run.path}` tries again."
            metrics = replace(metrics, notes=[*metrics.notes, note])
            run.write_json("metrics.json", metrics.as_json())
            write_manifest(run, entries, is_own)
    for plot in drawn:
        plot.result()
    delete_checkpoints(run)  # only now: what is interrupted before this is resumed from them
    finish_run(run, entries, is_own)
    return metrics


def _held_out(model: FittedModel, dataset: Dataset) -> HeldOut:
    """Classify the held-out images, and compute the features that distances are measured to."""
    validation = Answers.of(model, dataset.split.validation)
    test = Answers.of(model, dataset.split.test) if len(dataset.split.test) else None
    return HeldOut(model.extract(reference_images(dataset, validation.features)), validation, test)
