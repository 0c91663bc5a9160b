"""Writes what a training leaves: the joined model, what `predict` runs, tables, figures, pictures."""

import numpy as np

from tlkit.data.folder import ImageFolder
from tlkit.data.split import Split
from tlkit.engines.convert import to_litert
from tlkit.engines.engine import Engine, run_rows
from tlkit.engines.keras import KerasEngine, save_network
from tlkit.engines.open import open_engine
from tlkit.evaluation.plots import draw_curves
from tlkit.evaluation.report import Report
from tlkit.extraction import Extracted
from tlkit.facts import Stage
from tlkit.files import write_atomically
from tlkit.runs import MODEL, Run
from tlkit.settings import TrainingSettings
from tlkit.training.fit import HISTORY_COLUMNS
from tlkit.training.tables import write_left_out, write_report
from tlkit.training.upper import Trained

REPORT_ROWS = 256  # read from the disk at a time


def record_run(
    run: Run, trained: Trained, extracted: Extracted, split: Split, settings: TrainingSettings
) -> tuple[Report, Report | None, tuple[Stage, ...]]:
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


def _write_engine(run: Run, trained: Trained, settings: TrainingSettings) -> tuple[Stage, ...]:
    if settings.engine == "keras":
        return (Stage(MODEL, "float32"),)
    folder = run.path / "engine"
    folder.mkdir(exist_ok=True)
    if trained.lower is None:
        write_atomically(folder / "classifier.tflite", to_litert(trained.classifier, pixels=True))
        return (Stage("engine/classifier.tflite", settings.precision),)
    write_atomically(folder / "lower.tflite", trained.lower.read_bytes())
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
