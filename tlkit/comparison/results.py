"""Results of a finished candidate: accuracy, speed, size."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

import numpy as np

from tlkit.comparison.cache import SPEED_FILE
from tlkit.comparison.candidates import Candidate
from tlkit.data.reader import images_root
from tlkit.distributed.workers import use_workers
from tlkit.errors import RunError
from tlkit.evaluation.metrics import PairedComparison, mcnemar, wilson_interval
from tlkit.inference.predictor import Predictor
from tlkit.runs.run import Run
from tlkit.runs.unfinished import was_resumed
from tlkit.training.recipe import TrainingMetrics
from tlkit.utils.storage import Location
from tlkit.utils.text import format_duration, format_rate

MINIMUM_SIGN = "≥ "  # before seconds that leave something out


@dataclass(frozen=True)
class CandidateResult:
    """Accuracy, speed and size of a candidate.

    Attributes:
        name, title, kind: of the candidate
        accuracy: on the validation images
        interval: of it, 95 %; None where it is known exactly
        correct: bool (images,): whether each is classified correctly; None of "chance"
        selected_on_validation: whether epochs or layers were chosen on these images
        seconds: that training takes from nothing, when it was trained; None if unknown
        features_cached: whether they leave out reading, because features were cached before the comparison
        images_per_second: that `predict` classifies, reading included, when it was trained
        num_bytes: of the files that `predict` needs
        command: that trains it
        precision_at_5: of its features, 0 to 1; None unless it was asked for
        adversarial_epsilon: gray levels that change half of its correct answers; None if none that was tried do
        adversarial_attack: that was tried: "pgd" or "square"; None unless it was asked for
    """

    name: str
    title: str
    kind: str
    accuracy: float
    interval: tuple[float, float] | None = None
    correct: np.ndarray | None = field(default=None, repr=False, compare=False)
    selected_on_validation: bool = False
    seconds: float | None = None
    features_cached: bool = False
    images_per_second: float | None = None
    num_bytes: int | None = None
    command: str = field(default="", repr=False)
    precision_at_5: float | None = None
    adversarial_epsilon: float | None = None
    adversarial_attack: str | None = None

    def compared_to(self, best: "CandidateResult") -> PairedComparison | None:
        """Compare it with the best, image by image; None for the best itself and for "chance".

        Args:
            best: the candidate of the highest accuracy

        Returns:
            McNemar's test on the same images; None for the best itself and for "chance"
        """
        if self.correct is None or best.correct is None or self is best:
            return None
        return mcnemar(self.correct, best.correct)


def find_best(results: Sequence[CandidateResult]) -> CandidateResult:
    """Find the candidate with the highest accuracy; of equal ones the simplest."""
    return max(results, key=lambda result: result.accuracy)


def format_training_time(result: CandidateResult) -> str:
    """Write the training time; "" if it is unknown."""
    if not result.seconds:
        return ""
    return (MINIMUM_SIGN if result.features_cached else "") + format_duration(result.seconds)


def format_speed(result: CandidateResult) -> str:
    """Write how many images per second it classifies; "" if that is unknown."""
    return format_rate(result.images_per_second) if result.images_per_second else ""


@dataclass(frozen=True)
class ValidationSet:
    """The validation images of a comparison.

    Attributes:
        paths, classes: in the order of `predictions_val.csv`
        commonest: class among these images
        num_classes: of the folder
    """

    paths: tuple[str, ...]
    classes: tuple[str, ...]
    commonest: str
    num_classes: int


def validation_set_of(run: Run) -> ValidationSet:
    """Read the validation images of a finished run."""
    rows = run.read_rows("predictions_val.csv")
    paths, classes = tuple(row["path"] for row in rows), tuple(row["class"] for row in rows)
    return ValidationSet(paths, classes, _metrics(run).baseline_class, len(run.manifest.class_names))


def baseline_result(candidate: Candidate, images: ValidationSet) -> CandidateResult:
    """Give the result of a candidate that needs no training."""
    named = (candidate.name, candidate.title, candidate.kind)
    if candidate.name == "chance":
        return CandidateResult(*named, 1 / images.num_classes)
    correct = np.array([name == images.commonest for name in images.classes])
    return CandidateResult(*named, float(correct.mean()), _accuracy_interval(correct), correct)


FeatureSource = tuple[int, str]  # image size and what computes features: candidates with the same share cached ones


def feature_source(image_size: int, settings: Mapping[str, Any]) -> FeatureSource:
    """Tell what computes the features of a candidate, from its settings or its model.json."""
    is_scratch = settings.get("freeze") == "none" or "model" in settings
    return image_size, "pixels" if is_scratch else settings.get("backbone") or settings["descriptor"]


@dataclass(frozen=True)
class Reading:
    """A pass over the images before a training.

    Attributes:
        seconds: that it took
        num_cached: images whose features were cached before it
    """

    seconds: float
    num_cached: int


def read_result(
    candidate: Candidate,
    run: Run,
    images: ValidationSet,
    command: str,
    extraction_seconds: dict[FeatureSource, float],
) -> CandidateResult:
    """Read the accuracy, speed and size of a finished candidate.

    Args:
        extraction_seconds: by candidates of this comparison; those of this one are added, where it computed features

    Raises:
        RunError: if it was measured on other images
    """
    rows = run.read_rows("predictions_val.csv")
    if tuple(row["path"] for row in rows) != images.paths:
        raise RunError(f"'{run.path}' was measured on other images than the models before it; start a new comparison.")
    correct = np.array([row["label"] == row["class"] for row in rows])
    seconds, features_cached = _seconds_from_nothing(run, extraction_seconds)
    content = run.read_json("model.json")
    named = f"{content['backbone']}, {candidate.title}" if content.get("freeze") == "lower" else candidate.title
    return CandidateResult(
        *(candidate.name, named, candidate.kind, float(correct.mean()), _accuracy_interval(correct), correct),
        selected_on_validation=_metrics(run).selected_on_validation,
        seconds=seconds,
        features_cached=features_cached,
        images_per_second=run.read_json(SPEED_FILE)["images_per_second"],
        num_bytes=sum((run.path / stage.file).stat().st_size for stage in run.manifest.stages),
        command=command,
    )


def _seconds_from_nothing(run: Run, extraction_seconds: dict[FeatureSource, float]) -> tuple[float | None, bool]:
    """Give the seconds of a training from nothing, as far as they are known, and whether reading is missing in them.

    Where another candidate of this comparison had computed the features, it is known what that took, and added.
    """
    speed, content = run.read_json(SPEED_FILE), run.read_json("model.json")
    source, seconds = feature_source(content["image_size"], content), speed["training_seconds"]
    if not speed["features_reused"]:
        extraction_seconds.setdefault(source, speed["reading_seconds"])
        return seconds, False
    if seconds is None or source not in extraction_seconds:
        return seconds, True
    return seconds + extraction_seconds[source], False


def _accuracy_interval(correct: np.ndarray) -> tuple[float, float]:
    return wilson_interval(int(correct.sum()), len(correct))


MAX_TIMED_IMAGES, NUM_WARMUP_IMAGES = 256, 16
MAX_TIMED_SECONDS = 0.5


def measure_speed(run: Run, reading: Reading | None = None) -> None:
    """Write `speed.json`: how many of its validation images `predict` classifies per second here, reading included.

    It takes `MAX_TIMED_SECONDS`, or what the images of the warm-up take, where that is longer.

    Args:
        reading: of its images, where that was not a part of its training
    """
    predictor, request = Predictor(run), run.read_settings()
    root = images_root(request["data"], request["images"])
    files = [root / row["path"] for row in run.read_rows("predictions_val.csv")[:MAX_TIMED_IMAGES]]
    with use_workers("here"):
        num_images, seconds = _time_predictions(predictor, islice(cycle(files), NUM_WARMUP_IMAGES))
        if seconds < MAX_TIMED_SECONDS:
            num_images, seconds = _time_predictions(predictor, cycle(files))
    metrics, trained = _metrics(run), training_seconds(run)
    before = reading or Reading(metrics.seconds["features"], metrics.features_reused)
    speed = {
        "images_per_second": float(f"{num_images / seconds:.4g}"),
        "training_seconds": round(trained + reading.seconds, 3) if trained is not None and reading else trained,
        "reading_seconds": before.seconds,
        "features_reused": before.num_cached,
    }
    run.write_json(SPEED_FILE, speed)


def _time_predictions(predictor: Predictor, files: Iterator[Location]) -> tuple[int, float]:
    """Predict until `MAX_TIMED_SECONDS` are over or no file is left: how many, and in how many seconds."""
    started, num_images, seconds = time.perf_counter(), 0, 0.0
    for _ in predictor.predict(files):
        num_images, seconds = num_images + 1, time.perf_counter() - started
        if seconds >= MAX_TIMED_SECONDS:
            break
    return num_images, seconds


def training_seconds(run: Run) -> float | None:
    """Read the training time of a finished run; None if it was stopped and continued."""
    return None if was_resumed(run) else _metrics(run).seconds["total"]


def notes_of(candidate: Candidate, run: Run) -> list[str]:
    """Give the notes on what was chosen automatically, and on what a time limit cut short."""
    metrics = _metrics(run)
    notes = [metrics.advice["reason"]] if metrics.advice else []
    notes += [note for note in metrics.notes if "--time-limit" in note]
    return [f"{candidate.title}: {note}" for note in notes]


def _metrics(run: Run) -> TrainingMetrics:
    """Read the metrics; RunError if there are none."""
    try:
        return TrainingMetrics.from_json(run.read_json("metrics.json"))
    except (KeyError, TypeError):
        file = run.path / "metrics.json"
        raise RunError(f"'{file}' is damaged; restore it, or start a new comparison.") from None
