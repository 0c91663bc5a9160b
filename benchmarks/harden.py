"""Hardening: what it brings and what it costs (docs/results.md).

    TLKIT_TEST_DATA=... KERAS_HOME=... python benchmarks/harden.py [none|noise|adversarial|both ...]

Trains trashnet with `--freeze lower`, once as usual and once per kind, on the same split. Then measures the validation
images, with severities 1, 3 and 5 of every corruption on 250 of them, and PGD-20 at 1/255 on 120 of them. A run that
exists in benchmarks/runs is taken as it is. Ends with a line of JSON.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import tlkit
from tlkit.data.degradation import TRAINED_KINDS
from tlkit.data.image import decode_square
from tlkit.robustness.attacks import AttackOptions, pgd
from tlkit.robustness.gradient import LossGradient
from tlkit.robustness.measure import measure_robustness
from tlkit.runs.run import Run, load_run
from tlkit.runs.trust import load_run_network

IMAGES = Path(os.environ["TLKIT_TEST_DATA"]) / "images" / "trashnet"
RUNS = Path(os.environ.get("TLKIT_BENCHMARK_RUNS", "benchmarks/runs"))
KINDS = ("none", "noise", "adversarial", "both")
DAMAGED, ATTACKED = 250, 120


def trained(kind: str) -> Run:
    """Train the run of a kind, or open it."""
    path = RUNS / kind
    if (path / "DONE").exists():
        return load_run(path)
    return tlkit.finetune(IMAGES, path, freeze="lower", harden=kind, report=False, plots=False).run


def under_attack(run: Run) -> tuple[float, float]:
    """Measure the accuracy on some validation images before and after PGD."""
    names = run.manifest.class_names
    rows = [row for row in run.read_rows("split.csv") if row["split"] == "validation"]
    rows = [rows[index] for index in np.random.default_rng(0).permutation(len(rows))[:ATTACKED]]
    pixels = np.stack([decode_square((IMAGES / row["path"]).read_bytes(), run.manifest.image) for row in rows])
    labels = np.array([names.index(row["class"]) for row in rows])
    network = load_run_network(run)
    changed = pgd(LossGradient(network), pixels, labels, 1, 20, AttackOptions())
    predicted = [network.predict_on_batch(part.astype(np.float32)).argmax(axis=1) for part in (pixels, changed)]
    before, after = (float(np.mean(answers == labels)) for answers in predicted)
    return before, after


def measure(kind: str) -> dict[str, Any]:
    """Train and measure one kind."""
    run = trained(kind)
    metrics = run.read_json("metrics.json")
    robustness = measure_robustness(run, max_images=DAMAGED, severities="1,3,5")
    others = [mean for name, mean in robustness.means.items() if name not in TRAINED_KINDS]
    before, after = under_attack(run)
    return {
        "accuracy": metrics["accuracy"],
        "corruption_mean": robustness.corruption_mean,
        "other_kinds": float(np.mean(others)),
        "means": robustness.means,
        "before_pgd": before,
        "after_pgd": after,
        "fit_seconds": metrics["seconds"]["fit"],
        "hardening_seconds": metrics.get("hardening", {}).get("seconds"),
        "epochs": metrics["epochs"],
    }


def main() -> None:
    """Measure the kinds that are named, or all."""
    started, found = time.perf_counter(), {}
    for kind in sys.argv[1:] or KINDS:
        found[kind] = measure(kind)
        row = found[kind]
        print(
            f"{kind:12} accuracy {row['accuracy']:.3f}, damaged {row['corruption_mean']:.3f}, other kinds "
            f"{row['other_kinds']:.3f}, PGD-20 at 1/255 {row['after_pgd']:.3f} (before {row['before_pgd']:.3f}), "
            f"training {row['fit_seconds']:.0f} s",
            flush=True,
        )
    print(json.dumps(found | {"seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main()
