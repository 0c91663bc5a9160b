"""What is compared with what: one function per question, each a Markdown table of ratios."""

import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from measure import FailedError, Finished, interleave, ratios, say, spread, table
from workplace import DATASETS, Workplace

Section = Callable[[Workplace], str]
PHOTOS = "trashnet"
HEAVY = ("tensorflow", "keras", "numpy", "ai_edge_litert", "openvino", "PIL", "sklearn", "matplotlib")
IMPORTED_BY_HELP = f"""
import sys
from tlkit.cli import main
main(["--help"], standalone_mode=False)
print("[" + ", ".join('"' + name + '"' for name in {HEAVY} if name in sys.modules) + "]")
"""


def whole_run(place: Workplace) -> str:
    """`tlkit finetune`, cold and warm, against the guide's first epoch."""
    caches: list[Path] = []

    def cold() -> tuple[Finished, Path]:
        caches.append(place.fresh("cold-cache"))
        return place.finetune(PHOTOS, cache=caches[-1])

    arms = {
        "cold": cold,
        "warm": lambda: place.finetune(PHOTOS, cache=caches[-1]),
        "guide": lambda: (place.script("keras_guide.py", place.data[PHOTOS]), Path()),
    }
    done = interleave(arms, place.rounds)
    guide = [finished.facts for finished, _ in done["guide"]]
    epoch = [facts["seconds"] for facts in guide]
    walls = {name: [finished.seconds for finished, _ in done[name]] for name in ("cold", "warm")}
    rows = [["Keras guide, to the end of its first epoch", spread(epoch, 1), "1", ""]]
    rows += [
        [f"`tlkit finetune`, {words}", spread(walls[name], 1), spread(ratios(walls[name], epoch)), goal]
        for name, words, goal in (("cold", "empty cache", "≤ 0.55"), ("warm", "the same again", "≤ 0.3"))
    ]
    figures = json.loads((done["cold"][-1][1] / "metrics.json").read_text())
    return (
        f"{table(['whole process', 'seconds', 'ratio', 'goal'], rows)}\n\n"
        f"Validation accuracy: {figures['accuracy']:.3f} against {guide[-1]['accuracy']:.3f} (each on its own split). "
        f"Parts of the last cold run: {_seconds(figures['seconds'])}."
    )


def _seconds(parts: dict[str, float]) -> str:
    return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in parts.items())


def accuracy(place: Workplace) -> str:
    """The head against logistic regression on the same features and split."""
    goals = {"trashnet": "≥ 0.85", "hymenoptera": "≥ 0.92"}
    rows, names = [], list[str]()
    for dataset in DATASETS:
        ours = [_accuracy_of(place.run_of(dataset, "--seed", str(seed))) for seed in place.seeds]
        say(f"  logistic regression on {dataset}")
        theirs = _logistic(place, dataset)
        names = list(theirs)
        gaps = [f"{min(_points(ours, values)):+.1f}" for values in theirs.values()]
        medians = [f"{statistics.median(values):.3f}" for values in theirs.values()]
        each = " ".join(f"{value:.3f}" for value in ours)
        rows.append([dataset, each, f"{statistics.median(ours):.3f}", goals.get(dataset, ""), *medians, *gaps])
    seeds = ", ".join(map(str, place.seeds))
    header = ["images", f"tlkit, seeds {seeds}", "median", "goal", *names, *(f"gap to {name}" for name in names)]
    return (
        f"{table(header, rows)}\n\n"
        "Validation accuracy; for logistic regression the median of the same seeds. "
        "Gap: tlkit less logistic regression in points, at the worst seed; the goal is never below −1."
    )


def _accuracy_of(run: Path) -> float:
    return float(json.loads((run / "metrics.json").read_text())["accuracy"])


def _logistic(place: Workplace, dataset: str) -> dict[str, list[float]]:
    seeds = [str(seed) for seed in place.seeds]
    facts: dict[str, list[float]] = place.script("logistic.py", place.data[dataset], "--seeds", *seeds).facts
    return facts


def _points(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return [100 * (one - other) for one, other in zip(ours, theirs, strict=True)]


def overlap(place: Workplace) -> str:
    """The feature stage against decode and engine, each alone."""
    place.run_of(PHOTOS, "--seed", "0")  # leaves the converted network in the cache
    figures = place.script("feature_stage.py", place.data[PHOTOS], "--repeats", str(place.rounds)).facts
    words = {"decode": "decode alone", "engine": "engine alone", "stage": "feature stage"}
    rows = [[words[name], spread(figures[name]), ""] for name in words]
    rows.append(["**stage / (decode + engine)**", spread(figures["ratio"]), "≤ 1.1"])
    return table(["", "seconds, or ratio", "goal"], rows)


def help_page(place: Workplace) -> str:
    """How soon `tlkit --help` answers, and what it imports."""
    walls = [place.tlkit("--help").seconds for _ in range(10)]
    imported = place.python(IMPORTED_BY_HELP).facts
    rows = [
        ["`tlkit --help`, seconds, 10 times", spread(walls, 3), "≤ 0.2"],
        [f"imported of {', '.join(HEAVY)}", ", ".join(imported) or "none", "none"],
    ]
    return table(["", "found", "goal"], rows)


def one_image(place: Workplace) -> str:
    """`tlkit predict` of one photo, whole process, against importing TensorFlow."""
    run = place.run_of(PHOTOS, "--seed", "0")
    photo = min(place.data[PHOTOS].rglob("*.jpg"))
    arms = {
        "`tlkit predict RUN one.jpg`": lambda: place.tlkit("predict", run, photo).seconds,
        '`python -c "import tensorflow"`': lambda: place.python("import tensorflow").seconds,
    }
    seconds = interleave(arms, 1 if place.quick else 5)
    rows: list[list[Any]] = [[name, spread(values), ""] for name, values in seconds.items()]
    rows.append(["**ratio**", spread(ratios(*seconds.values())), "≤ 0.3"])
    return table(["whole process", "seconds, or ratio", "goal"], rows)


def many_images(place: Workplace) -> str:
    """Photos per second after start-up against `model.predict` on the Keras loader."""
    data, run = place.data[PHOTOS], place.run_of(PHOTOS, "--seed", "0")
    arms = {
        "litert float32": lambda: place.script("tlkit_predict.py", run, data, "--engine", "litert").facts,
        "openvino bfloat16": lambda: place.script("tlkit_predict.py", reduced, data).facts,
        "Keras": lambda: place.script("keras_predict.py", run / "model.keras", data).facts,
    }
    note = ""
    try:
        reduced = place.run_of(PHOTOS, "--seed", "0", "--precision", "bfloat16")
    except FailedError as error:
        del arms["openvino bfloat16"]
        say(f"  {error}")
        note = "\n\nOpenVINO in bfloat16 was not measured: no run could be made with it here."
    facts = interleave(arms, place.rounds)
    rates = {name: [one["images_per_second"] for one in found] for name, found in facts.items()}
    goals = {"litert float32": "≥ 2.2", "openvino bfloat16": "≥ 3"}
    rows = [
        [name, spread(values, 0), spread(ratios(values, rates["Keras"])) if name in goals else "1", goals.get(name, "")]
        for name, values in rates.items()
    ]
    return table([f"{facts['Keras'][0]['images']} photos", "images/s", "× Keras", "goal"], rows) + note


SECTIONS: dict[str, tuple[str, Section]] = {
    "whole-run": ("From a folder to a classifier: whole processes", whole_run),
    "accuracy": ("Accuracy", accuracy),
    "overlap": ("Decoding and inference overlap", overlap),
    "help": ("The help page", help_page),
    "one-image": ("One photo", one_image),
    "many-images": ("Many photos", many_images),
}
