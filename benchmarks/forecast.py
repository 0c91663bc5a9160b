"""Forecasts against the truth: what tlkit expects of a run, and how long the process takes.

    python benchmarks/forecast.py [--only hymenoptera sign_digits] [--keep FILE]
    python benchmarks/forecast.py --limits 20s 30s 45s --only hymenoptera

Every run is a whole process with an empty cache. "dry run" is what `finetune --dry-run` expects, in a process
and a cache of its own; "in the run" is what the run expects once the images are read (`forecast` in metrics.json).
With --limits, the default strategy runs within each --time-limit instead.

Results are kept in FILE as they come; what is there already does not run again.
"""

import argparse
import json
import platform
import shutil
import tempfile
from pathlib import Path
from typing import Any

from measure import say, table
from workplace import DATASETS, Workplace, make_workplace

from tlkit.utils.processor import read_processor

STRATEGIES = ("all", "lower")
WITHIN, OF_LIMIT = 0.25, 0.1
DRY_RUN = """
import json
from tlkit.utils.progress import Stopwatch
stopwatch = Stopwatch()
from tlkit import FinetuneSettings
from tlkit.models.keras_setup import start_keras
from tlkit.training.finetune import finetune_recipe
start_keras()
from tlkit.training.estimate import estimate_costs
costs = estimate_costs({data!r}, finetune_recipe(FinetuneSettings()), stopwatch)
print(json.dumps({{name: cost.seconds for name, cost in costs.items()}}))
"""


def dry_run(place: Workplace, name: str) -> dict[str, float]:
    """Give the seconds that a dry run expects of each strategy."""
    shutil.rmtree(place.cache, ignore_errors=True)
    seconds: dict[str, float] = place.python(DRY_RUN.format(data=str(place.data[name]))).facts
    return seconds


def cold_run(place: Workplace, name: str, *options: str) -> dict[str, Any]:
    """Run once from nothing, and give its seconds, its forecast, its accuracy and its notes on time."""
    cache = place.fresh("cache")
    done, run = place.finetune(name, *options, cache=cache)
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    shutil.rmtree(cache)
    notes = [note for note in metrics["notes"] if "--time-limit" in note]
    forecast = (metrics["forecast"] or {}).get("seconds")
    return {"seconds": done.seconds, "forecast": forecast, "accuracy": metrics["accuracy"], "notes": notes}


def measure(place: Workplace, names: list[str], limits: list[str], kept: dict[str, Any], file: Path) -> None:
    """Measure what is not in `kept` yet, and keep it."""
    jobs: dict[str, Any] = {}
    for name in names:
        if limits:
            for limit in limits:
                options = ("--freeze", "auto", "--time-limit", limit)
                jobs[f"{name} {limit}"] = lambda name=name, options=options: cold_run(place, name, *options)
            continue
        jobs[f"{name} dry"] = lambda name=name: dry_run(place, name)
        for freeze in STRATEGIES:
            jobs[f"{name} {freeze}"] = lambda name=name, freeze=freeze: cold_run(place, name, "--freeze", freeze)
    for key, job in jobs.items():
        if key not in kept:
            say(f"  {key}")
            kept[key] = job()
            file.write_text(json.dumps(kept, indent=1), encoding="utf-8")


def forecast_rows(kept: dict[str, Any], names: list[str]) -> list[list[object]]:
    """Make the rows: seconds expected and taken, and how far apart they are."""
    rows: list[list[object]] = []
    for name in names:
        for freeze in STRATEGIES:
            truth = kept[f"{name} {freeze}"]
            cells = []
            for expected in (kept[f"{name} dry"][freeze], truth["forecast"]):
                error = expected / truth["seconds"] - 1
                cells.append(f"{expected:.0f} s ({error:+.0%}{'' if abs(error) <= WITHIN else ' !'})")
            rows.append([name, freeze, f"{truth['seconds']:.0f} s", *cells])
    return rows


def limit_rows(kept: dict[str, Any], names: list[str], limits: list[str]) -> list[list[object]]:
    """Make the rows: the limit, the time the process took, its accuracy, and what it says where they differ."""
    rows: list[list[object]] = []
    for name in names:
        for limit in limits:
            found = kept[f"{name} {limit}"]
            asked = float(limit.removesuffix("s"))
            is_within = abs(found["seconds"] / asked - 1) <= OF_LIMIT
            said = " ".join(found["notes"]) or ("" if is_within else "nothing is said !")
            rows.append([name, limit, f"{found['seconds']:.1f} s", f"{found['accuracy']:.3f}", said])
    return rows


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description="Forecasts and time limits against the truth.")
    parser.add_argument("--only", nargs="+", choices=DATASETS, default=list(DATASETS))
    parser.add_argument("--limits", nargs="+", default=[], help="time limits in seconds, e.g. 20s 40s")
    parser.add_argument("--keep", type=Path, default=Path("forecast.json"), help="file of results")
    options = parser.parse_args()
    kept = json.loads(options.keep.read_text(encoding="utf-8")) if options.keep.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        place = make_workplace(Path(folder), 1, quick=False)
        place.warm_up()
        measure(place, options.only, options.limits, kept, options.keep)
    print(f"{read_processor()[0]}, {platform.system()}\n")
    if options.limits:
        header = ["folder", "--time-limit", "took", "accuracy", "said"]
        print(table(header, limit_rows(kept, options.only, options.limits)))
    else:
        print(table(["folder", "--freeze", "took", "dry run", "in the run"], forecast_rows(kept, options.only)))


if __name__ == "__main__":
    main()
