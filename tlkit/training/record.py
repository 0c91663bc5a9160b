"""Writes what a training leaves: the joined model, what `predict` runs, tables, figures, pictures."""

import os
import secrets
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.data.folder import ImageFolder
from tlkit.data.listing import Found, count_reasons
from tlkit.data.split import Split
from tlkit.engines.convert import to_litert
from tlkit.engines.engine import Engine, run_rows
from tlkit.engines.keras import KerasEngine
from tlkit.engines.open import open_engine
from tlkit.evaluation.plots import draw_confusion, draw_curves
from tlkit.evaluation.report import Report
from tlkit.extraction import Extracted
from tlkit.files import write_atomically
from tlkit.runs import Run, Stage
from tlkit.settings import TrainingSettings
from tlkit.training.fit import HISTORY_COLUMNS
from tlkit.training.upper import Trained

MODEL = "model.keras"
REPORT_ROWS = 256  # read from the disk at a time


def record_run(
    run: Run, trained: Trained, extracted: Extracted, split: Split, settings: TrainingSettings
) -> tuple[Report, Report | None, tuple[Stage, ...]]:
    """Write every file of a run but `split.csv`, `metrics.json`, `model.json` and `DONE`.

    returns: the reports on the validation and the test images, and what the run's engine runs
    """
    run.write_rows("history.csv", HISTORY_COLUMNS, [[row[name] for name in HISTORY_COLUMNS] for row in trained.history])
    save_model(trained.classifier, run.path / MODEL)
    stages = _write_engine(run, trained, settings)
    engine = _upper_engine(run, trained, settings, stages)
    report = _report(engine, trained.features, split.validation)
    test = _report(engine, trained.features, split.test) if len(split.test) else None
    _write_left_out(run, [*extracted.folder.left_out, *split.train.left_out])
    _write_report(run, report, split.validation)
    draw_curves(trained.history, trained.best, run.path / "plots" / "curves.png")
    return report, test, stages


def save_model(model: Any, file: Path) -> None:
    """Save as `.keras`, so that a crash leaves no part of it under its name (Keras writes in place)."""
    temporary = file.with_name(f".{secrets.token_hex(6)}.{file.name}")
    try:
        model.save(temporary)
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def measure(
    report: Report, test: Report | None, trained: Trained, split: Split, extracted: Extracted
) -> dict[str, Any]:
    """What `metrics.json` holds but for the seconds."""
    commonest = int(np.argmax(split.train.counts))
    left_out = [*extracted.folder.left_out, *split.train.left_out]
    figures = report.as_json()
    figures.pop("num_images")
    return figures | {
        "selected_on_validation": True,
        "baseline_accuracy": report.share_of(commonest),
        "baseline_class": report.class_names[commonest],
        "num_train": len(split.train),
        "num_validation": len(split.validation),
        "num_test": len(split.test),
        "test": test.as_json() if test else None,
        "epochs": len(trained.history),
        "best_epoch": trained.best,
        "features_reused": extracted.reused,
        "left_out": count_reasons(left_out),
    }


def _write_engine(run: Run, trained: Trained, settings: TrainingSettings) -> tuple[Stage, ...]:
    if settings.engine == "keras":
        return (Stage(MODEL, "float32"),)
    folder = run.path / "engine"
    folder.mkdir(exist_ok=True)
    if trained.lower is None:
        write_atomically(folder / "classifier.tflite", to_litert(trained.classifier, pixels=True))
        return (Stage("engine/classifier.tflite", settings.precision),)
    shutil.copyfile(trained.lower, folder / "lower.tflite")
    write_atomically(folder / "upper.tflite", to_litert(trained.upper, pixels=False))
    return Stage("engine/lower.tflite", settings.precision), Stage("engine/upper.tflite", "float32")


def _upper_engine(run: Run, trained: Trained, settings: TrainingSettings, stages: tuple[Stage, ...]) -> Engine:
    """What turns kept features into probabilities, exactly as `predict` will."""
    if settings.engine == "keras":
        return KerasEngine(trained.upper)
    return open_engine(settings.engine, run.path / stages[-1].file, stages[-1].precision)


def _report(engine: Engine, extracted: Extracted, part: ImageFolder) -> Report:
    rows, session = extracted.rows(part), engine.session()
    starts = range(0, len(part), REPORT_ROWS)
    shares = [run_rows(engine, session, rows[start : start + REPORT_ROWS]) for start in starts]
    return Report(part.class_names, part.labels, np.concatenate(shares))


def _write_left_out(run: Run, left_out: list[Found]) -> None:
    if left_out:
        run.write_rows("left_out.csv", ("path", "reason"), [(found.path, found.problem) for found in left_out])


def _write_report(run: Run, report: Report, part: ImageFolder) -> None:
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
