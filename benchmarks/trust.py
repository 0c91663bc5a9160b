"""Calibrated confidence and the answer "unknown": how good, and what they cost.

    TLKIT_TEST_DATA=... KERAS_HOME=... python benchmarks/trust.py [far|coverage|near|calibration|time]

Far: a run of ants and bees is shown photos of waste and of hand signs. Coverage: ten splits of trashnet, the fraction
of test images called unknown. Near: runs of eight of ten hand signs are shown the other two; the rule of tlkit beside
k nearest neighbors, ViM (Wang et al. 2022, 64 principal components) and the highest probability. Calibration: logits
times 3 with simulated labels, and real validation images. Time: predict with and without the rule, alternately.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np

import tlkit
from tlkit.data.image import decode_square
from tlkit.evaluation.calibration import calibrate
from tlkit.evaluation.rejection import auroc
from tlkit.inference.network import open_detector, open_network
from tlkit.inference.predictor import Predictor
from tlkit.runs.run import Run

IMAGES = Path(os.environ["TLKIT_TEST_DATA"]) / "images"
PAIRS = [("0", "1"), ("2", "3"), ("4", "5"), ("6", "7"), ("8", "9")]
SCORES = ("tlkit", "k-NN", "ViM", "max softmax")


def percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"


def measure_far(root: Path) -> None:
    """Show a run of ants and bees photos of other things."""
    run = tlkit.finetune(IMAGES / "hymenoptera", root / "hymenoptera", freeze="all").run
    for name in ("trashnet", "sign_digits"):
        evaluation = tlkit.evaluate(run, unknown_data=str(IMAGES / name))
        unknown, scores = evaluation.unknown, scores_of(run, sorted((IMAGES / name).glob("*/*")))
        known = scores_of(run, validation_files(run, IMAGES / "hymenoptera"))
        at_5 = np.mean(scores["tlkit"] > np.quantile(known["tlkit"], 0.95))
        refused = percent(unknown.num_refused / unknown.num_images)
        print(
            f"hymenoptera -> {name}: AUROC {unknown.auroc:.3f}, refused at 5 % false alarms {percent(at_5)}", end="; "
        )
        print(
            f"at the run's threshold {refused}, known images called unknown {percent(1 - evaluation.answered.mean())}"
        )


def measure_coverage(root: Path) -> None:
    """Count the test images of trashnet that are called unknown, over ten splits."""
    rates = []
    for seed in range(10):
        result = tlkit.finetune(IMAGES / "trashnet", root / f"trashnet-{seed}", freeze="all", seed=seed, test_split=0.2)
        counts = result.metrics.unknown["test"]
        rates.append(1 - counts["num_answered"] / counts["num_images"])
        print(f"seed {seed}: {percent(rates[-1])} of {counts['num_images']} test images unknown", flush=True)
    print(f"coverage 0.95: known images called unknown {percent(mean(rates))} in the mean of ten splits")


def measure_near(root: Path) -> None:
    """Show runs of eight hand signs the other two."""
    rows: dict[str, list[float]] = {name: [] for name in SCORES}
    for pair in PAIRS:
        data = root / f"without-{''.join(pair)}"
        for folder in sorted((IMAGES / "sign_digits").iterdir()):
            if folder.name not in pair:
                shutil.copytree(folder, data / folder.name)
        run = tlkit.finetune(data, root / f"run-{''.join(pair)}", freeze="all").run
        known = scores_of(run, validation_files(run, data), vim=True)
        others = [file for name in pair for file in sorted((IMAGES / "sign_digits" / name).iterdir())]
        unknown = scores_of(run, others, vim=True)
        for name in SCORES:
            rows[name].append(auroc(known[name], unknown[name]))
        print("".join(pair), {name: round(values[-1], 3) for name, values in rows.items()}, flush=True)
    print("mean", {name: round(mean(values), 3) for name, values in rows.items()})


def validation_files(run: Run, data: Path) -> list[Path]:
    return [data / row["path"] for row in run.read_rows("split.csv") if row["split"] == "validation"]


def scores_of(run: Run, files: list[Path], vim: bool = False) -> dict[str, np.ndarray]:
    """Compute every score of some images, the higher the more unknown."""
    network, detector, image = open_network(run), open_detector(run), run.manifest.image
    features = np.concatenate([network.extract(decode_square(file.read_bytes(), image)[None]) for file in files])
    predictor = Predictor(run)
    predictions = list(predictor.predict(files))
    scores = {
        "tlkit": np.array([prediction.unknown_score for prediction in predictions]),
        "k-NN": detector.distances(features),
        "max softmax": -np.array([prediction.confidence for prediction in predictions]),
    }
    if vim:
        data = Path(run.read_settings()["data"])
        train = [data / row["path"] for row in run.read_rows("split.csv") if row["split"] == "train"]
        values = np.concatenate([network.extract(decode_square(file.read_bytes(), image)[None]) for file in train])
        center = values.mean(axis=0)
        components = np.linalg.svd(values - center, full_matrices=False)[2][:64]
        shifted = features - center
        scores["ViM"] = np.linalg.norm(shifted - shifted @ components.T @ components, axis=1)
    return scores


def measure_calibration(root: Path) -> None:
    """Recover a planted temperature, and calibrate real validation images."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        logits = rng.normal(0, 2, (5000, 6))
        chances = softmax(logits)
        labels = (rng.random((5000, 1)) > chances.cumsum(axis=1)).sum(axis=1)
        calibration = calibrate(softmax(3 * logits).astype(np.float32), labels)
        print(f"logits x 3, seed {seed}: temperature {calibration.temperature:.3f}, ECE {calibration.ece:.4f}")
    for name in ("sign_digits", "trashnet"):
        for freeze in ("all", "lower"):
            result = tlkit.finetune(IMAGES / name, root / f"{name}-{freeze}", freeze=freeze, test_split=0.2)
            entry: dict[str, Any] = result.metrics.calibration
            low, high = entry["ece_ci95"]
            print(
                f"{name}, freeze {freeze}: temperature {entry['temperature']:.2f}, ECE {entry['ece_before']:.3f} -> "
                f"{entry['ece']:.3f} ({low:.3f} to {high:.3f}) on {entry['num_images']} images",
                flush=True,
            )


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: np.ndarray = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities


def measure_time(root: Path) -> None:
    """Time predictions with the rule and without it, alternately."""
    run = tlkit.finetune(IMAGES / "trashnet", root / "timed", freeze="all").run
    files = sorted((IMAGES / "trashnet").glob("*/*"))[:600]
    ratios = []
    for _ in range(7):
        with_rule, without = (seconds(lambda rule=rule: classify(run, files, rule)) for rule in (True, False))
        ratios.append(with_rule / without)
    print(
        f"time per image with the rule: {median(ratios):.3f} of that without ({min(ratios):.3f} to {max(ratios):.3f})"
    )


def classify(run: Run, files: list[Path], rule: bool) -> None:
    predictor = Predictor(run)
    if not rule:
        zeros, texts = (lambda *values: np.zeros(len(values[0]), np.float32)), (lambda *values: [""] * len(values[0]))
        predictor._detector = type("NoRule", (), {"distances": zeros, "scores": zeros, "reasons": texts})  # type: ignore[assignment]
    for _ in predictor.predict(files):
        pass


def seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


MEASUREMENTS = {
    "far": measure_far,
    "coverage": measure_coverage,
    "near": measure_near,
    "calibration": measure_calibration,
    "time": measure_time,
}


def main() -> None:
    """Take the measurements that are named, or all."""
    for name in sys.argv[1:] or MEASUREMENTS:
        with tempfile.TemporaryDirectory() as root:
            MEASUREMENTS[name](Path(root))


if __name__ == "__main__":
    main()
