"""What a finished rung shows: which images it got right, how fast it predicts and how much disk it needs."""

import shlex
import time
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from tlkit.comparison.rungs import Rung
from tlkit.comparison.standing import Standing
from tlkit.errors import RunError
from tlkit.evaluation.metrics import wilson_interval
from tlkit.prediction import Predictor
from tlkit.runs import Run, read_facts
from tlkit.settings import AnySettings, FinetuneSettings, option_name

SPEED = "speed.json"  # in a rung's run folder, beside what its training wrote
TIMED, WARM = 256, 16  # images that are predicted to see how fast that goes, and before that
LONGEST = 1.5  # seconds of it


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


def look_at(rung: Rung, run: Run, judged: Judged, command: str) -> Standing:
    """What a finished rung shows.

    raises: RunError where it was judged on other images
    """
    rows = run.read_rows("predictions_val.csv")
    if tuple(row["path"] for row in rows) != judged.paths:
        raise RunError(f"'{run.path}' was judged on other images than the rungs below it; compare anew.")
    right = np.array([row["label"] == row["class"] for row in rows])
    metrics = run.read_json("metrics.json")
    speed = run.read_json(SPEED)
    return Standing(
        *(rung.name, _title(rung, run), rung.kind, float(right.mean()), _interval(right), right),
        selected=metrics["selected_on_validation"],
        seconds=speed["training_seconds"],
        rate=speed["images_per_second"],
        size=sum((run.path / stage.file).stat().st_size for stage in read_facts(run).stages),
        command=command,
    )


def _title(rung: Rung, run: Run) -> str:
    facts = run.read_json("model.json")
    return f"{facts['backbone']}, {rung.title}" if facts.get("freeze") == "lower" else rung.title


def measure_speed(run: Run, root: Path, training_seconds: float | None) -> None:
    """Write `speed.json`: how many of its validation images a second `predict` classifies, reading included."""
    predictor = Predictor(run)
    files = [root / row["path"] for row in run.read_rows("predictions_val.csv")[:TIMED]]
    list(predictor.predict(files[:WARM]))
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < LONGEST:
        for _ in predictor.predict(files):
            done += 1
            if time.perf_counter() - started >= LONGEST:
                break
    rate = done / (time.perf_counter() - started)
    run.write_json(SPEED, {"images_per_second": round(rate, 1), "training_seconds": training_seconds})


def what_was_chosen(rung: Rung, run: Run) -> list[str]:
    """What a rung that chose for itself has chosen, in a sentence."""
    advice = run.read_json("metrics.json")["advice"]
    return [f"{rung.title}: {advice['reason']}."] if advice else []


def has_speed(run: Path) -> bool:
    """Whether it was measured, and can be read."""
    try:
        return set(Run(run).read_json(SPEED)) == {"images_per_second", "training_seconds"}
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
