"""Writes what a training leaves: the model, what `predict` runs, tables, figures, plots."""

from typing import Any

import numpy as np

from tlkit.data.folder import ImageFolder
from tlkit.data.listing import FileEntry, count_reasons
from tlkit.data.split import Split
from tlkit.engines.base import Engine, run_in_batches
from tlkit.engines.factory import open_engine
from tlkit.engines.keras import KerasEngine, save_network, to_litert
from tlkit.evaluation.plots import draw_confusion, draw_curves
from tlkit.evaluation.report import Report
from tlkit.features.extract import Features
from tlkit.runs.run import MODEL, InferenceStage, Run
from tlkit.settings.training import TrainingSettings
from tlkit.training.loop.fit import HISTORY_COLUMNS
from tlkit.training.phases import FittedNetwork
from tlkit.utils.files import atomic_write

EVAL_BATCH = 256  # read from the disk at a time


def write_artifacts(
    run: Run, trained: FittedNetwork, extracted: Features, split: Split, settings: TrainingSettings
) -> tuple[Report, Report | None, tuple[InferenceStage, ...]]:
    """Write every file of a run but `split.csv`, `metrics.json`, `model.json` and `DONE`.

    returns: the reports on the validation and the test images, and what the run's engine runs
    """
    run.write_rows("history.csv", HISTORY_COLUMNS, [[row[name] for name in HISTORY_COLUMNS] for row in trained.history])
    save_network(trained.classifier, run.path / MODEL)
    stages = _write_engine(run, trained, settings)
    engine = _upper_engine(run, trained, settings, stages)
    report = _report(engine, trained.features, split.validation)
    test = _report(engine, trained.features, split.test) if len(split.test) else None
    write_left_out(run, [*extracted.folder.left_out, *split.train.left_out])
    write_report(run, report, split.validation)
    draw_curves(trained.history, trained.best, run.path / "plots" / "curves.png")
    return report, test, stages


def _write_engine(run: Run, trained: FittedNetwork, settings: TrainingSettings) -> tuple[InferenceStage, ...]:
    if settings.engine == "keras":
        return (InferenceStage(MODEL, "float32"),)
    folder = run.path / "engine"
    folder.mkdir(exist_ok=True)
    if trained.lower is None:
        atomic_write(folder / "classifier.tflite", to_litert(trained.classifier, pixels=True))
        return (InferenceStage("engine/classifier.tflite", settings.precision),)
    atomic_write(folder / "lower.tflite", trained.lower.read_bytes())
    atomic_write(folder / "upper.tflite", to_litert(trained.upper, pixels=False))
    return InferenceStage("engine/lower.tflite", settings.precision), InferenceStage("engine/upper.tflite", "float32")


def _upper_engine(
    run: Run, trained: FittedNetwork, settings: TrainingSettings, stages: tuple[InferenceStage, ...]
) -> Engine:
    """What turns kept features into probabilities, exactly as `predict` will."""
    if settings.engine == "keras":
        return KerasEngine(trained.upper)
    return open_engine(settings.engine, run.path / stages[-1].file, stages[-1].precision)


def _report(engine: Engine, extracted: Features, part: ImageFolder) -> Report:
    rows, session = extracted.rows(part), engine.session()
    starts = range(0, len(part), EVAL_BATCH)
    shares = [run_in_batches(engine, session, rows[start : start + EVAL_BATCH]) for start in starts]
    return Report(part.class_names, part.labels, np.concatenate(shares))


def base_metrics(report: Report, test: Report | None, split: Split, extracted: Features) -> dict[str, Any]:
    """What `metrics.json` says of every training."""
    commonest = int(np.argmax(split.train.counts))
    left_out = [*extracted.folder.left_out, *split.train.left_out]
    figures = report.as_json()
    figures.pop("num_images")
    return figures | {
        "baseline_accuracy": report.share_of(commonest),
        "baseline_class": report.class_names[commonest],
        "num_train": len(split.train),
        "num_validation": len(split.validation),
        "num_test": len(split.test),
        "test": test.as_json() if test else None,
        "features_reused": extracted.reused,
        "left_out": count_reasons(left_out),
    }


def write_left_out(run: Run, left_out: list[FileEntry]) -> None:
    """`left_out.csv`, where anything was."""
    if left_out:
        run.write_rows("left_out.csv", ("path", "reason"), [(found.path, found.problem) for found in left_out])


def write_report(run: Run, report: Report, part: ImageFolder) -> None:
    """The tables of a report on the validation images, and their confusion matrix drawn."""
    names = report.class_names
    scores = [(score.name, score.precision, score.recall, score.f1, score.support) for score in report.scores]
    run.write_rows("per_class.csv", ("class", "precision", "recall", "f1", "support"), scores)
    rows = [[name, *counts] for name, counts in zip(names, report.confusion.tolist(), strict=True)]
    run.write_rows("confusion_matrix.csv", ("class", *names), rows)
    run.write_rows("predictions_val.csv", prediction_columns(names), _prediction_rows(report, part))
    draw_confusion(report, run.path / "plots" / "confusion.png")


def prediction_columns(names: tuple[str, ...]) -> list[str]:
    """The header of `predictions_val.csv`."""
    return ["path", "class", "label", "confidence", *(f"p_{name}" for name in names)]


def _prediction_rows(report: Report, part: ImageFolder) -> list[list[Any]]:
    names = report.class_names
    return [
        [path, names[true], names[label], row[label], *row]
        for path, true, label, row in zip(
            part.paths, report.labels, report.predicted, report.probabilities, strict=True
        )
    ]
