"""What a finished candidate shows: accuracy, speed, size."""

import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.comparison.ladder import Candidate
from tlkit.errors import RunError
from tlkit.evaluation.metrics import PairedComparison, mcnemar, wilson_interval
from tlkit.inference.predictor import Predictor
from tlkit.runs.run import Run, read_manifest
from tlkit.runs.unfinished import was_resumed
from tlkit.settings.base import option_name
from tlkit.settings.training import AnySettings, FinetuneSettings
from tlkit.utils.text import format_duration

AT_LEAST = "≥ "  # before seconds that leave something out


@dataclass(frozen=True)
class CandidateResult:
    """A rung, climbed.

    name, title, kind  of the rung
    accuracy           on the validation images
    interval           of it, 95 %; None where it is known exactly
    right              bool (images,): which of them it got right; None of "chance"
    selected           whether epochs or layers were chosen on these images
    seconds            that training it takes from nothing, when it was trained
    reused             whether they leave out what reading takes, for features were kept from before the ladder
    rate               images a second that `predict` classifies, reading included, when it was trained
    size               bytes of the files that `predict` needs
    command            that trains it
    """

    name: str
    title: str
    kind: str
    accuracy: float
    interval: tuple[float, float] | None = None
    right: np.ndarray | None = None
    selected: bool = False
    seconds: float | None = None
    reused: bool = False
    rate: float | None = None
    size: int | None = None
    command: str = ""

    def against(self, best: "CandidateResult") -> PairedComparison | None:
        """How it stands to the best, image by image; None where nothing can be said."""
        if self.right is None or best.right is None or self is best:
            return None
        return mcnemar(self.right, best.right)


def find_best(standings: Sequence[CandidateResult]) -> CandidateResult:
    """The one that is right most often; of equals the lowest on the ladder."""
    return max(standings, key=lambda standing: standing.accuracy)


def format_training_time(standing: CandidateResult) -> str:
    """What training it takes, in words; "" where nobody knows."""
    return (AT_LEAST if standing.reused else "") + format_duration(standing.seconds) if standing.seconds else ""


SPEED_FILE = "speed.json"  # in a rung's run folder, beside what its training wrote
MEASURED = {"images_per_second", "training_seconds", "features_reused"}  # what it holds
TIMED, WARM = 256, 16  # images that are predicted to see how fast that goes, and before that
MAX_TIMED_SECONDS = 1.5  # seconds of it
FeatureSource = tuple[
    int, str
]  # the size of pictures and what reads them: rungs that read alike share what is kept of it


@dataclass(frozen=True)
class ValidationSet:
    """The validation images of a ladder.

    paths, classes    in the order of `predictions_val.csv`
    commonest         class among the training images
    num_classes       that there are
    """

    paths: tuple[str, ...]
    classes: tuple[str, ...]
    commonest: str
    num_classes: int


def validation_set_of(run: Run) -> ValidationSet:
    """The validation images of a finished run."""
    rows = run.read_rows("predictions_val.csv")
    commonest = run.read_json("metrics.json")["baseline_class"]
    pairs = [(row["path"], row["class"]) for row in rows]
    paths, classes = zip(*pairs, strict=True)
    return ValidationSet(paths, classes, commonest, len(read_manifest(run).class_names))


def baseline(rung: Candidate, judged: ValidationSet) -> CandidateResult:
    """What answers without looking get right."""
    if rung.name == "chance":
        return CandidateResult(rung.name, rung.title, rung.kind, 1 / judged.num_classes)
    right = np.array([name == judged.commonest for name in judged.classes])
    return CandidateResult(rung.name, rung.title, rung.kind, float(right.mean()), _accuracy_interval(right), right)


def read_result(
    rung: Candidate, run: Run, judged: ValidationSet, command: str, readings: dict[FeatureSource, float]
) -> CandidateResult:
    """What a finished rung shows.

    readings: seconds that each reading took a rung of this ladder; this rung's is added, where it did one
    raises: RunError where it was judged on other images
    """
    rows = run.read_rows("predictions_val.csv")
    if tuple(row["path"] for row in rows) != judged.paths:
        raise RunError(f"'{run.path}' was judged on other images than the rungs before it; compare anew.")
    right = np.array([row["label"] == row["class"] for row in rows])
    seconds, reused = _whole_training(run, readings)
    return CandidateResult(
        *(rung.name, _title(rung, run), rung.kind, float(right.mean()), _accuracy_interval(right), right),
        selected=run.read_json("metrics.json")["selected_on_validation"],
        seconds=seconds,
        reused=reused,
        rate=run.read_json(SPEED_FILE)["images_per_second"],
        size=sum((run.path / stage.file).stat().st_size for stage in read_manifest(run).stages),
        command=command,
    )


def _whole_training(run: Run, readings: dict[FeatureSource, float]) -> tuple[float | None, bool]:
    """Seconds a training takes from nothing, as far as they are known, and whether reading is missing in them.

    What a rung did not read, for another rung of this ladder had, is added: it is known what that took.
    """
    speed, reading = run.read_json(SPEED_FILE), _feature_source(run.read_json("model.json"))
    seconds: float | None = speed["training_seconds"]
    if not speed["features_reused"]:
        readings.setdefault(reading, run.read_json("metrics.json")["seconds"]["features"])
        return seconds, False
    if seconds is None or reading not in readings:
        return seconds, True
    return seconds + readings[reading], False


def _title(rung: Candidate, run: Run) -> str:
    facts = run.read_json("model.json")
    return f"{facts['backbone']}, {rung.title}" if facts.get("freeze") == "lower" else rung.title


def _feature_source(facts: dict[str, Any]) -> FeatureSource:
    by = "pixels" if facts.get("freeze") == "none" else facts.get("backbone") or facts["descriptor"]
    return facts["image_size"], by


def measure_speed(run: Run, root: Path) -> None:
    """Write `speed.json`: how many of its validation images a second `predict` classifies, reading included.

    Takes `LONGEST`, or what `WARM` images take, where that is longer.
    """
    predictor = Predictor(run)
    files = [root / row["path"] for row in run.read_rows("predictions_val.csv")[:TIMED]]
    done, seconds = _timed(predictor, islice(cycle(files), WARM))
    if seconds < MAX_TIMED_SECONDS:
        done, seconds = _timed(predictor, cycle(files))
    found = {"images_per_second": round(done / seconds, 1), "training_seconds": training_seconds(run)}
    run.write_json(SPEED_FILE, found | {"features_reused": run.read_json("metrics.json")["features_reused"]})


def _timed(predictor: Predictor, files: Iterator[Path]) -> tuple[int, float]:
    """How many were predicted, and in how many seconds; ended as soon as these are `LONGEST`."""
    started, done, seconds = time.perf_counter(), 0, 0.0
    for _ in predictor.predict(files):
        done, seconds = done + 1, time.perf_counter() - started
        if seconds >= MAX_TIMED_SECONDS:
            break
    return done, seconds


def training_seconds(run: Run) -> float | None:
    """What a finished run took to train; None where it was stopped in between."""
    seconds: float | None = None if was_resumed(run) else run.read_json("metrics.json")["seconds"]["total"]
    return seconds


def notes_of(rung: Candidate, run: Run) -> list[str]:
    """What a rung that chose for itself has chosen, and what a time limit has cut short, in sentences."""
    metrics = run.read_json("metrics.json")
    notes = [f"{metrics['advice']['reason']}."] if metrics["advice"] else []
    notes += [note for note in metrics["notes"] if note.startswith("--time-limit")]
    return [f"{rung.title}: {note}" for note in notes]


def has_speed(run: Path) -> bool:
    """Whether it was measured, and can be read."""
    try:
        return set(Run(run).read_json(SPEED_FILE)) == MEASURED
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


def _accuracy_interval(right: np.ndarray) -> tuple[float, float]:
    return wilson_interval(int(right.sum()), len(right))
