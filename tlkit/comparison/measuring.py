"""What a finished rung shows: which images it got right, how fast it predicts and how much disk it needs."""

import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.comparison.rungs import Rung
from tlkit.comparison.standing import Standing
from tlkit.errors import RunError
from tlkit.evaluation.metrics import wilson_interval
from tlkit.prediction import Predictor
from tlkit.runs import Run, read_facts
from tlkit.settings import AnySettings, FinetuneSettings, option_name
from tlkit.training.resume import was_resumed

SPEED = "speed.json"  # in a rung's run folder, beside what its training wrote
MEASURED = {"images_per_second", "training_seconds", "features_reused"}  # what it holds
TIMED, WARM = 256, 16  # images that are predicted to see how fast that goes, and before that
LONGEST = 1.5  # seconds of it
Reading = tuple[int, str]  # the size of pictures and what reads them: rungs that read alike share what is kept of it


@dataclass(frozen=True)
class Judged:
    """The validation images of a ladder.

    paths, classes    in the order of `predictions_val.csv`
    commonest         class among the training images
    num_classes       that there are
    """

    paths: tuple[str, ...]
    classes: tuple[str, ...]
    commonest: str
    num_classes: int


def judged_by(run: Run) -> Judged:
    """The validation images of a finished run."""
    rows = run.read_rows("predictions_val.csv")
    commonest = run.read_json("metrics.json")["baseline_class"]
    pairs = [(row["path"], row["class"]) for row in rows]
    paths, classes = zip(*pairs, strict=True)
    return Judged(paths, classes, commonest, len(read_facts(run).class_names))


def baseline(rung: Rung, judged: Judged) -> Standing:
    """What answers without looking get right."""
    if rung.name == "chance":
        return Standing(rung.name, rung.title, rung.kind, 1 / judged.num_classes)
    right = np.array([name == judged.commonest for name in judged.classes])
    return Standing(rung.name, rung.title, rung.kind, float(right.mean()), _interval(right), right)


def look_at(rung: Rung, run: Run, judged: Judged, command: str, readings: dict[Reading, float]) -> Standing:
    """What a finished rung shows.

    readings: seconds that each reading took a rung of this ladder; this rung's is added, where it did one
    raises: RunError where it was judged on other images
    """
    rows = run.read_rows("predictions_val.csv")
    if tuple(row["path"] for row in rows) != judged.paths:
        raise RunError(f"'{run.path}' was judged on other images than the rungs before it; compare anew.")
    right = np.array([row["label"] == row["class"] for row in rows])
    seconds, reused = _whole_training(run, readings)
    return Standing(
        *(rung.name, _title(rung, run), rung.kind, float(right.mean()), _interval(right), right),
        selected=run.read_json("metrics.json")["selected_on_validation"],
        seconds=seconds,
        reused=reused,
        rate=run.read_json(SPEED)["images_per_second"],
        size=sum((run.path / stage.file).stat().st_size for stage in read_facts(run).stages),
        command=command,
    )


def _whole_training(run: Run, readings: dict[Reading, float]) -> tuple[float | None, bool]:
    """Seconds a training takes from nothing, as far as they are known, and whether reading is missing in them.

    What a rung did not read, for another rung of this ladder had, is added: it is known what that took.
    """
    speed, reading = run.read_json(SPEED), _reading_of(run.read_json("model.json"))
    seconds: float | None = speed["training_seconds"]
    if not speed["features_reused"]:
        readings.setdefault(reading, run.read_json("metrics.json")["seconds"]["features"])
        return seconds, False
    if seconds is None or reading not in readings:
        return seconds, True
    return seconds + readings[reading], False


def _title(rung: Rung, run: Run) -> str:
    facts = run.read_json("model.json")
    return f"{facts['backbone']}, {rung.title}" if facts.get("freeze") == "lower" else rung.title


def _reading_of(facts: dict[str, Any]) -> Reading:
    by = "pixels" if facts.get("freeze") == "none" else facts.get("backbone") or facts["descriptor"]
    return facts["image_size"], by


def measure_speed(run: Run, root: Path) -> None:
    """Write `speed.json`: how many of its validation images a second `predict` classifies, reading included.

    Takes `LONGEST`, or what `WARM` images take, where that is longer.
    """
    predictor = Predictor(run)
    files = [root / row["path"] for row in run.read_rows("predictions_val.csv")[:TIMED]]
    done, seconds = _timed(predictor, islice(cycle(files), WARM))
    if seconds < LONGEST:
        done, seconds = _timed(predictor, cycle(files))
    found = {"images_per_second": round(done / seconds, 1), "training_seconds": training_seconds(run)}
    run.write_json(SPEED, found | {"features_reused": run.read_json("metrics.json")["features_reused"]})


def _timed(predictor: Predictor, files: Iterator[Path]) -> tuple[int, float]:
    """How many were predicted, and in how many seconds; ended as soon as these are `LONGEST`."""
    started, done, seconds = time.perf_counter(), 0, 0.0
    for _ in predictor.predict(files):
        done, seconds = done + 1, time.perf_counter() - started
        if seconds >= LONGEST:
            break
    return done, seconds


def training_seconds(run: Run) -> float | None:
    """What a finished run took to train; None where it was stopped in between."""
    seconds: float | None = None if was_resumed(run) else run.read_json("metrics.json")["seconds"]["total"]
    return seconds


def notes_of(rung: Rung, run: Run) -> list[str]:
    """What a rung that chose for itself has chosen, and what a time limit has cut short, in sentences."""
    metrics = run.read_json("metrics.json")
    notes = [f"{metrics['advice']['reason']}."] if metrics["advice"] else []
    notes += [note for note in metrics["notes"] if note.startswith("--time-limit")]
    return [f"{rung.title}: {note}" for note in notes]


def has_speed(run: Path) -> bool:
    """Whether it was measured, and can be read."""
    try:
        return set(Run(run).read_json(SPEED)) == MEASURED
    except (RunError, TypeError):
        return False


def command_of(settings: AnySettings, data: Path) -> str:
    """What to type for one training by itself, here."""
    here = Path.cwd()
    place = data.relative_to(here) if data.is_relative_to(here) else data
    words = ["tlkit", "finetune" if isinstance(settings, FinetuneSettings) else "train", str(place)]
    for item in fields(settings):
        value = getattr(settings, item.name)
        if value != item.default:
            words += [option_name(item.name), str(value)]
    return shlex.join(words)


def _interval(right: np.ndarray) -> tuple[float, float]:
    return wilson_interval(int(right.sum()), len(right))
