"""Files of a training: the model, what `predict` runs, metrics, tables, plots."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.data.decode import open_upright, to_rgb
from tlkit.data.duplicates import conflict_notes, conflict_rows
from tlkit.data.folder import ImageFolder
from tlkit.data.image import ImageSpec
from tlkit.data.listing import FileEntry, count_reasons
from tlkit.data.sources.files import read_file
from tlkit.engines.base import Engine, EngineSpec, ThreadedRunner, is_installed, run_in_batches
from tlkit.engines.factory import open_engine
from tlkit.engines.keras import KerasEngine, save_network, to_litert
from tlkit.engines.litert_head import head_to_litert
from tlkit.errors import ImageError
from tlkit.evaluation.plots import Mistake, draw_confusion, draw_curves, draw_mistakes, draw_reliability
from tlkit.evaluation.report import Report
from tlkit.evaluation.tables import report_tables
from tlkit.features.extract import Features
from tlkit.features.extractor import FrozenExtractor
from tlkit.models.head import head_arrays, split_head
from tlkit.runs.manifest import HEAD_ARRAYS, MODEL, InferenceStage
from tlkit.runs.run import Run
from tlkit.training.confidence import Confidence
from tlkit.training.diagnosis import Advice, check_baseline
from tlkit.training.loop.history import EpochRecord, best_epoch
from tlkit.training.loop.time_limit import check_time_limit
from tlkit.training.recipe import CrossValidation, Dataset, FitDetails, Repeats, TrainingMetrics
from tlkit.utils.files import atomic_open, atomic_write, make_folder
from tlkit.utils.parallel import count_workers, ordered_map

CONFLICTS = "conflicts.csv"  # identical images with different labels
READ_BATCH = 64  # images whose features are read from the disk at a time
MAX_DRAWN, THUMBNAIL = 24, 240  # mistakes in one plot; pixels of their shorter side


Stages = tuple[InferenceStage, ...]


@dataclass(frozen=True)
class SavedTop:
    """The trained part of a saved network, as `predict` runs it.

    Attributes:
        body: what is cached to the features; None where the features are cached
        head: features to probabilities
    """

    body: Engine | None
    head: Engine


def save_network_files(
    run: Run, classifier: Any, top: Any, extractor_file: Path | None, engine: EngineSpec
) -> tuple[Stages, SavedTop]:
    """Write a network as Keras opens it and as the engine runs it.

    Args:
        classifier: the whole, pixels to probabilities
        top: its trained part, from the cut to probabilities
        extractor_file: its frozen part, converted; None where nothing is frozen

    Returns:
        What `predict` runs, in order, the head last; and the engines of the trained part
    """
    save_network(classifier, run.path / MODEL)
    body, head = split_head(top)
    arrays = head_arrays(classifier)
    save_head_arrays(run, arrays)
    if engine.name == "keras":
        return (InferenceStage(MODEL, "keras"),), SavedTop(KerasEngine(body) if body else None, KerasEngine(head))
    blocks = to_litert(body, pixels=not extractor_file) if body else None
    content = head_to_litert(arrays) if is_installed("litert") else to_litert(head, pixels=False)
    return save_stages(run, extractor_file, blocks, content, engine)


def save_head_arrays(run: Run, arrays: Mapping[str, np.ndarray]) -> None:
    """Write the weights of the head, from which its gradient is computed; see `models.head.head_arrays`."""
    make_folder(run.path / "engine")
    with atomic_open(run.path / HEAD_ARRAYS, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def save_stages(
    run: Run, extractor_file: Path | None, blocks: bytes | None, head: bytes, engine: EngineSpec
) -> tuple[Stages, SavedTop]:
    """Write what the engine runs: the frozen part and what is trained above it, each where there is one, and the head.

    Returns:
        What `predict` runs, in order; and the engines of the trained part
    """
    folder, stages = run.path / "engine", list[InferenceStage]()
    if extractor_file:
        atomic_write(folder / "lower.tflite", extractor_file.read_bytes())
        stages.append(InferenceStage("engine/lower.tflite", engine.name, engine.precision))
    if blocks:
        atomic_write(folder / "upper.tflite", blocks)
        stages.append(InferenceStage("engine/upper.tflite", engine.name, "float32" if stages else engine.precision))
    atomic_write(folder / "head.tflite", head)
    stages.append(InferenceStage("engine/head.tflite", engine.name))
    opened = [open_engine(EngineSpec(stage.engine, stage.precision), run.path / stage.file) for stage in stages]
    return tuple(stages), SavedTop(opened[-2] if blocks else None, opened[-1])


def run_rows(engine: Engine, rows: np.ndarray) -> np.ndarray:
    """Run any number of rows in one session."""
    return run_in_batches(engine, engine.session(), rows)


@dataclass(frozen=True, kw_only=True)
class Fitted(ABC):
    """A trained classifier.

    Attributes:
        features: at the cut, of the held-out images and of the training images
        extractor: the network below the cut
        history: one record per epoch, phase after phase
        advice: options to try next, of the last phase
        cut: the name of the cut point, where it lies inside the backbone
        notes: what a person should know
        hardening_seconds: of the last phase; None where they are not known apart from those of its epochs
    """

    features: tuple[Features, Features]
    extractor: FrozenExtractor
    history: tuple[EpochRecord, ...]
    advice: Advice
    cut: str | None = None
    notes: tuple[str, ...] = ()
    hardening_seconds: float | None = None

    @abstractmethod
    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Give probabilities, float32 (images, classes), of what is cached at the cut."""

    @abstractmethod
    def save(self, run: Run, engine: EngineSpec) -> tuple[Stages, SavedTop]:
        """Write the classifier as Keras opens it and as the engine runs it; see `artifacts.save_network_files`."""

    @property
    def last_phase(self) -> list[EpochRecord]:
        """The epochs of the phase that ended the training."""
        return [record for record in self.history if record.phase == self.history[-1].phase]

    @property
    def best(self) -> EpochRecord:
        """The epoch of the last phase whose weights were kept."""
        epoch = best_epoch(self.last_phase)
        return next(record for record in self.last_phase if record.epoch == epoch)

    def load(self, images: ImageFolder, top: SavedTop) -> np.ndarray:
        """Give the input of the head for images, from what is cached of them, exactly as `predict` will."""
        held_out, train = self.features
        features, starts = held_out if held_out.has(images) else train, range(0, len(images), READ_BATCH)
        batches = (images.subset(range(start, min(start + READ_BATCH, len(images)))) for start in starts)
        cached = (_at_cut(features, batch) for batch in batches)
        if top.body is None:
            return np.concatenate(list(cached))
        with ThreadPoolExecutor(count_workers()) as pool:
            return np.concatenate(list(ordered_map(pool, ThreadedRunner(top.body), cached)))


def _at_cut(features: Features, images: ImageFolder) -> np.ndarray:
    """Load what is cached at the cut, of the view that is not augmented: float32, or uint8 pixels."""
    rows = features.load_plain(images)
    return rows.astype(np.float32) if rows.dtype == np.float16 else rows


@dataclass(frozen=True)
class Measured:
    """The figures of a training.

    Attributes:
        report: on the validation images
        test: on the test images; None without any
        data_notes: of the quick check of the images
    """

    report: Report
    test: Report | None
    repeats: Repeats
    confidence: Confidence
    data_notes: list[str]


def training_metrics(
    measured: Measured, dataset: Dataset, details: FitDetails, seconds: dict[str, float]
) -> TrainingMetrics:
    """Put together the content of metrics.json."""
    report, test, folds = measured.report, measured.test, measured.repeats.folds
    split, headline = dataset.split, folds.report if folds else test or report
    figures, request = report.as_json(), details.request
    diagnosis = [{"words": found.finding, "next": request.command_with(found.changes)} for found in details.diagnosis]
    if words := check_baseline(headline):
        diagnosis.insert(0, {"words": words, "next": request.comparison()})
    names = ("accuracy", "macro_f1", "baseline_accuracy", "baseline_class", "beats_baseline")
    return TrainingMetrics(
        **{name: figures[name] for name in names},
        accuracy_ci95=tuple(figures["accuracy_ci95"]),
        headline="folds" if folds else "test" if test else "validation",
        num_train=len(split.train),
        num_validation=len(split.validation),
        num_test=len(split.test),
        selected_on_validation=details.selected_on_validation,
        features_reused=dataset.num_cached,
        left_out=count_reasons(skipped_files(dataset, measured.confidence)),
        test=test.as_json() if test else None,
        advice=dict(details.advice) if details.advice else None,
        forecast=dict(details.forecast) if details.forecast else None,
        diagnosis=diagnosis,
        notes=[
            *dataset.folder.notes,
            *details.notes,
            *check_time_limit(request.options, seconds),
            *conflict_notes(dataset.folder, CONFLICTS),
            *measured.data_notes,
            *measured.confidence.notes,
        ],
        figures=dict(details.figures),
        folds=folds.as_json() if folds else None,
        seeds=measured.repeats.seeds,
        calibration=measured.confidence.calibration.as_json(),
        unknown=dict(measured.confidence.unknown),
        seconds=seconds,
    )


def skipped_files(dataset: Dataset, confidence: Confidence) -> list[FileEntry]:
    """List every file that was left out, with its reason."""
    return [*dataset.folder.skipped, *dataset.split.train.skipped, *confidence.skipped]


def write_tables(run: Run, dataset: Dataset, details: FitDetails, measured: Measured) -> None:
    """Write the history, lists of skipped and of conflicting files, and tables of the held-out images."""
    report, confidence = measured.report, measured.confidence
    if history := details.history:
        run.write_rows("history.csv", list(history[0]), [list(row.values()) for row in history])
    if skipped := skipped_files(dataset, confidence):
        run.write_rows("left_out.csv", ("path", "reason"), [(entry.path, entry.reason) for entry in skipped])
    if conflicts := conflict_rows(dataset.folder):
        run.write_rows(CONFLICTS, ("path", "class", "group"), conflicts)
    for name, rows in report_tables(report, dataset.split.validation.paths, "predictions_val.csv").items():
        run.write_rows(name, *rows)
    if folds := measured.repeats.folds:
        _write_folds(run, folds)


def draw_plots(run: Run, dataset: Dataset, details: FitDetails, measured: Measured) -> None:
    """Draw the curves of the training, the calibration, and confusion and mistakes of the validation images."""
    report, folder = measured.report, run.path / "plots"
    if details.history:
        assert details.best_epoch is not None
        draw_curves(details.history, details.best_epoch, folder / "curves.png")
    if measured.confidence.calibration.bins:
        draw_reliability(measured.confidence.calibration, folder / "calibration.png")
    draw_confusion(report, dataset.folder.root.resolve().name, folder / "confusion.png")
    if mistakes := list(
        islice(_mistakes(report, dataset.split.validation, ImageSpec.from_json(details.manifest)), MAX_DRAWN)
    ):
        draw_mistakes(mistakes, report, folder / "wrong.png")


def _write_folds(run: Run, folds: CrossValidation) -> None:
    """Write folds/: the tables of cross-validation, with the fold that each image was held out in."""
    make_folder(run.path / "folds")
    tables = report_tables(folds.report, folds.paths)
    columns, rows = tables["predictions.csv"]
    with_fold: list[Sequence[Any]] = [[*row[:2], fold, *row[2:]] for row, fold in zip(rows, folds.folds, strict=True)]
    tables["predictions.csv"] = (*columns[:2], "fold", *columns[2:]), with_fold
    for name, table in tables.items():
        run.write_rows(f"folds/{name}", *table)


def _mistakes(report: Report, images: ImageFolder, spec: ImageSpec) -> Iterator[Mistake]:
    """List the misclassified images, the most confident first; files that no longer exist are left out."""
    for index in report.mistakes:
        label = int(report.predicted[index])
        try:
            upright = open_upright(read_file(images.files[index]), THUMBNAIL, spec.max_megapixels)
        except ImageError:
            continue
        image = to_rgb(upright, spec.gray_range)
        image.thumbnail((2 * THUMBNAIL, THUMBNAIL))
        confidence = float(report.probabilities[index, label])
        yield Mistake(np.asarray(image), images.paths[index], int(report.labels[index]), label, confidence)
