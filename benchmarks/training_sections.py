"""Comparisons of whole trainings: with the guide's script, logistic regression, the other strategies."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

from measure import Finished, interleave, ratios, say, spread, table
from workplace import DATASETS, PHOTOS, Workplace

CUT = "block_6_project_BN"  # where `--cut auto` cuts MobileNetV2


def whole_run(place: Workplace) -> str:
    """Compare `tlkit finetune`, cold and warm, with the guide's first epoch."""
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
    """Compare the head with logistic regression on the same features and split."""
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
        "Gap: tlkit minus logistic regression in points, at the worst seed; the goal is never below −1."
    )


def _accuracy_of(run: Path) -> float:
    return float(json.loads((run / "metrics.json").read_text())["accuracy"])


def _logistic(place: Workplace, dataset: str) -> dict[str, list[float]]:
    seeds = [str(seed) for seed in place.seeds]
    facts: dict[str, list[float]] = place.script("logistic.py", place.data[dataset], "--seeds", *seeds).facts
    return facts


def _points(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return [100 * (one - other) for one, other in zip(ours, theirs, strict=True)]


def upper_blocks(place: Workplace) -> str:
    """Compare `--freeze lower`, cold, with the guide's script fine-tuning the same layers for three epochs."""
    arms = {
        "lower": lambda: place.finetune(PHOTOS, "--freeze", "lower", cache=place.fresh("cold-cache")),
        "guide": lambda: (place.script("keras_guide.py", place.data[PHOTOS], "--epochs", "3", "--above", CUT), Path()),
    }
    done = interleave(arms, place.rounds)
    walls = [finished.seconds for finished, _ in done["lower"]]
    guide = [finished.facts for finished, _ in done["guide"]]
    epochs = [facts["seconds"] for facts in guide]
    rows = [
        [f"Keras guide, layers above {CUT} trained, to the end of its third epoch", spread(epochs, 1), "1", ""],
        ["`tlkit finetune --freeze lower`, empty cache", spread(walls, 1), spread(ratios(walls, epochs)), "≤ 1"],
    ]
    figures = json.loads((done["lower"][-1][1] / "metrics.json").read_text())
    return (
        f"{table(['whole process', 'seconds', 'ratio', 'goal'], rows)}\n\n"
        f"Validation accuracy: {figures['accuracy']:.3f} against {guide[-1]['accuracy']:.3f} (each on its own split). "
        f"Parts of the last run: {_seconds(figures['seconds'])}."
    )


def strategies(place: Workplace) -> str:
    """Compare the choice of `--freeze auto` with each strategy, each with a cache of its own."""
    rows = []
    for dataset in DATASETS:
        done = {name: _one_strategy(place, dataset, name) for name in ("all", "lower", "auto")}
        best = max(("all", "lower"), key=lambda name: done[name][0])
        auto = json.loads((done["auto"][2] / "metrics.json").read_text())["advice"]["strategy"]
        rows.append(
            [
                dataset,
                *(f"{done[name][0]:.3f} in {done[name][1]:.0f} s" for name in done),
                auto,
                f"{100 * (done['auto'][0] - done[best][0]):+.1f}",
                f"{done['auto'][1] / done[best][1]:.2f}",
            ]
        )
    header = ["images", "all", "lower", "auto", "auto chose", "points to the best", "its time to the best's"]
    return f"{table(header, rows)}\n\nGoals: at most a point below the best, at most 1.3 times its time. Seed 0."


def _one_strategy(place: Workplace, dataset: str, name: str) -> tuple[float, float, Path]:
    say(f"  finetune {dataset} --freeze {name}")
    finished, run = place.finetune(dataset, "--freeze", name, cache=place.fresh("cold-cache"))
    return _accuracy_of(run), finished.seconds, run
