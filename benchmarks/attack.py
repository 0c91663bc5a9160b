"""Attacks on a run of trashnet: accuracy of predict on the adversarial files, targets, time.

    TLKIT_TEST_DATA=... KERAS_HOME=... python benchmarks/attack.py RUN RESULTS.jsonl [IMAGES]

RUN is a run of trashnet (`tlkit finetune trashnet --freeze all --backbone mobilenet_v2`) that this machine made. IMAGES
validation images are attacked, 200 by default, spread over the classes. Each part writes a line when it ends; started
again, the script continues with the parts that are missing.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tlkit
from tlkit.data.image import decode_square
from tlkit.data.sources.files import read_file
from tlkit.inference.predictor import Predictor
from tlkit.robustness.attack import AttackResult, adversarial_name, attack
from tlkit.robustness.attacks import AttackOptions, pgd
from tlkit.robustness.gradient import LossGradient
from tlkit.runs.run import Run, load_run
from tlkit.runs.trust import load_run_network

DATA = Path(os.environ["TLKIT_TEST_DATA"]) / "images" / "trashnet"
EPOCHS = 20


def files_of_attack(run: Run, count: int, **options: Any) -> dict[str, Any]:
    """Write adversarial files, and let a new `Predictor` read them."""
    with tempfile.TemporaryDirectory() as folder:
        files = list[Path]()

        def save(path: str, content: bytes) -> Path:
            """Write one file."""
            file = Path(folder) / adversarial_name(path)
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(content)
            files.append(file)
            return file

        started = time.perf_counter()
        result = attack(run, max_images=count, save=save, **options)
        seconds = time.perf_counter() - started
        answers = list(Predictor(run).predict(files))
    return figures(result, answers, seconds)


def figures(result: AttackResult, answers: list[tlkit.Prediction], seconds: float) -> dict[str, Any]:
    """Collect the figures of an attack from the answers to its files."""
    classes = [result.class_names[image.label] for image in result.images]
    correct = sum(answer.label == name for answer, name in zip(answers, classes, strict=True))
    fooled = [answer.confidence for answer, name in zip(answers, classes, strict=True) if answer.label != name]
    return {
        "images": len(answers),
        "clean": result.clean.num_correct,
        "adversarial": correct,
        "ratio": correct / result.clean.num_correct,
        "median_confidence": float(np.median([answer.confidence for answer in answers])),
        "median_confidence_fooled": float(np.median(fooled)) if fooled else None,
        "unknown_before": sum(image.before.status == "unknown" for image in result.images),
        "unknown_after": sum(answer.status == "unknown" for answer in answers),
        "seconds": seconds,
    }


def random_targets(run: Run, count: int) -> dict[str, Any]:
    """Attack towards a random other class; predict judges the PNG-sized squares."""
    predictor, names = Predictor(run), run.manifest.class_names
    rows = [row for row in run.read_rows("split.csv") if row["split"] == "validation"]
    rows = [rows[k * len(rows) // count] for k in range(count)]
    pixels = np.stack([decode_square(read_file(DATA / row["path"]), run.manifest.image) for row in rows])
    labels = np.array([names.index(row["class"]) for row in rows])
    targets = (labels + np.random.default_rng(0).integers(1, len(names), count)) % len(names)
    changed = pgd(LossGradient(load_run_network(run)), pixels, targets, 8, 20, AttackOptions(targeted=True))
    assert np.abs(changed.astype(int) - pixels).max() <= 8
    reached = [said.label == names[target] for said, target in zip(predictor.predict(changed), targets, strict=True)]
    return {"images": count, "reached": int(sum(reached))}


def times(run: Run, count: int) -> dict[str, Any]:
    """Time PGD of 20 steps on images, and epochs of `--freeze none` on as many."""
    rows = [row for row in run.read_rows("split.csv") if row["split"] == "validation"]
    rows = [rows[k * len(rows) // count] for k in range(count)]
    pixels = np.stack([decode_square(read_file(DATA / row["path"]), run.manifest.image) for row in rows])
    labels = np.array([run.manifest.class_names.index(row["class"]) for row in rows])
    gradient = LossGradient(load_run_network(run))
    started = time.perf_counter()
    pgd(gradient, pixels, labels, 2)
    attacked = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as folder:
        for row in rows:
            link = Path(folder) / "data" / "train" / row["path"]
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(DATA / row["path"])
        for name in run.manifest.class_names:  # two validation images of each class
            for row in [row for row in run.read_rows("split.csv") if row["class"] == name and row["split"] == "train"][
                :2
            ]:
                link = Path(folder) / "data" / "val" / row["path"]
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(DATA / row["path"])
        settings = tlkit.FinetuneSettings(
            backbone="mobilenet_v2", freeze="none", epochs=EPOCHS, patience=EPOCHS, batch_size=32, report=False
        )
        tlkit.finetune(Path(folder) / "data", Path(folder) / "run", settings)
        epochs = load_run(Path(folder) / "run").read_rows("history.csv")
        trained = sum(float(row["seconds"]) for row in epochs)
    return {"images": count, "pgd_seconds": attacked, "epochs": len(epochs), "epochs_seconds": trained,
            "ratio": attacked / trained}  # fmt: skip


def main() -> None:
    """Run the parts that are missing."""
    run, results = load_run(sys.argv[1]), Path(sys.argv[2])
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 200
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "fgsm 2": lambda: files_of_attack(run, count, method="fgsm"),
        "pgd 2": lambda: files_of_attack(run, count, method="pgd"),
        "random targets 8": lambda: random_targets(run, count),
        "times": lambda: times(run, count),
        "square 8": lambda: files_of_attack(run, count // 4, method="square", epsilon="8"),
        "pgd l2 300": lambda: files_of_attack(run, count // 4, norm="l2", epsilon="300"),
    }
    done = [json.loads(line)["part"] for line in results.read_text().splitlines()] if results.exists() else []
    for name, measure in parts.items():
        if name not in done:
            with results.open("a") as file:
                file.write(json.dumps({"part": name, **measure()}) + "\n")
            print(results.read_text().splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
