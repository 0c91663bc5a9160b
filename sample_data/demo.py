"""Transfer learning from end to end, with nothing downloaded and nothing pretrained elsewhere.

usage: demo.py FOLDER [--seeds 0 1 2]     FOLDER is made anew; runs, pictures and cache go there

A small residual network learns the handwritten digits 0 to 4. What it has learnt, its lower layers
frozen, helps to learn 5 to 9 from 15 pictures each; the same network from scratch, on the same
pictures, stands beside it. Then the scenes beside this file. With several seeds, the digits only.
"""

import argparse
import csv
import json
import os
import random
import shutil
import statistics
import sys
from pathlib import Path

from tlkit.cli import main as tlkit_command

SCENES = Path(__file__).resolve().parent / "beach_desert"
PICTURES = 15  # of each new digit, to learn from; as many to choose the best epoch; the rest to test
PASSES = 30  # over those pictures, for both: a transferred network takes half of them for its new last layer
NETWORK = ["--model", "resnet20", "--width", "0.5", "--image-size", "16"]
FIRST = ["--epochs", "10", "--augment", "medium", "--mixup", "0.2"]
SCRATCH = ["--epochs", PASSES]
ADAPT = ["--freeze", "lower", "--cut", "0.2", "--batch-norms", "trained", "--views", "10", "--augment", "medium"]
RATES = ["--upper-learning-rate", "0.004", "--upper-batch-size", "16"]
HALVES = ["--epochs", PASSES // 2, "--upper-epochs", PASSES // 2]
SMALL = ["--model", "lenet5_relu", "--validation-split", "0.3"]


def main() -> int:
    """Exit code 0 where transfer beats scratch and the scenes are told apart better than by chance."""
    parser = argparse.ArgumentParser(description="Transfer learning, from end to end, without a download.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    folder = options.folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ["TLKIT_CACHE"] = str(folder / "cache")
    tlkit("sample", "digits", folder / "digits")
    gains = [learn_digits(folder, seed) for seed in options.seeds]
    if len(gains) > 1:
        print(f"ahead by {' '.join(f'{gain:.1f}' for gain in gains)} points, median {statistics.median(gains):.1f}")
        return 0 if min(gains) > 0 else 1
    told_apart = learn_scenes(folder)
    return 0 if gains[0] > 0 and told_apart else 1


def learn_digits(folder: Path, seed: int) -> float:
    """Points by which the transferred network is ahead of the one from scratch, on pictures neither has seen."""
    low, high = sort_digits(folder, seed)
    first, adapted, scratch = (folder / f"{name}-{seed}" for name in ("first", "adapted", "scratch"))
    print("1. A small residual network learns the digits 0 to 4.\n")
    tlkit("train", low, "-o", first, *NETWORK, *FIRST, "--seed", seed)
    print(f"2. With its lower layers frozen it learns 5 to 9, from {PICTURES} pictures each.\n")
    tlkit("finetune", high, "-o", adapted, "--from", first, *ADAPT, *RATES, *HALVES, "--seed", seed)
    print("3. The same network from scratch, on the same pictures, as often.\n")
    tlkit("train", high, "-o", scratch, *NETWORK, *SCRATCH, "--seed", seed)
    ours, theirs = (json.loads((run / "metrics.json").read_text())["test"] for run in (adapted, scratch))
    print(f"accuracy on {ours['num_images']} pictures of 5 to 9 that neither has seen, with 95 % interval")
    for name, figures in (("transferred", ours), ("from scratch", theirs)):
        low_end, high_end = figures["accuracy_ci95"]
        print(f"  {name:<12} {figures['accuracy']:.3f}  {low_end:.3f} to {high_end:.3f}  {bar(figures['accuracy'])}")
    print(flush=True)
    return 100 * (ours["accuracy"] - theirs["accuracy"])


def learn_scenes(folder: Path) -> bool:
    """Whether chance cannot explain the accuracy on scenes: its interval lies above the baseline."""
    run = folder / "scenes"
    print("4. Beach or desert, from drawn scenes.\n")
    tlkit("train", SCENES, "-o", run, *SMALL)
    tlkit("predict", run, *held_out_images(run)[:6], "--format", "table")
    metrics = json.loads((run / "metrics.json").read_text())
    low, baseline = metrics["accuracy_ci95"][0], metrics["baseline_accuracy"]
    good = bool(low > baseline)
    print(f"lower bound {low:.3f} {'beats' if good else 'does not beat'} the baseline {baseline:.3f}")
    return good


def sort_digits(folder: Path, seed: int) -> tuple[Path, Path]:
    """The digits 0 to 4 in one folder; 5 to 9 in another, sorted into train/, val/ and test/."""
    low, high, shuffle = folder / f"low-{seed}", folder / f"high-{seed}", random.Random(seed).shuffle
    for digit in range(10):
        files = sorted((folder / "digits" / str(digit)).iterdir())
        shuffle(files)
        subsets = {"train": files[:PICTURES], "val": files[PICTURES : 2 * PICTURES], "test": files[2 * PICTURES :]}
        for subset, chosen in subsets.items() if digit >= 5 else [("", files)]:
            target = (high / subset if subset else low) / str(digit)
            target.mkdir(parents=True)
            for file in chosen:
                shutil.copy(file, target)
    return low, high


def tlkit(*arguments: object) -> None:
    """Show a command as one types it, and run it here, where TensorFlow is started once."""
    print("$ tlkit", *(os.path.relpath(item) if isinstance(item, Path) else item for item in arguments), flush=True)
    code = tlkit_command.main([str(item) for item in arguments], prog_name="tlkit", standalone_mode=False)
    if code:
        sys.exit(code)
    print(flush=True)


def held_out_images(run: Path) -> list[Path]:
    """Images the run was not trained on, taken from all classes."""
    with (run / "split.csv").open() as lines:
        rows = [row for row in csv.DictReader(lines) if row["split"] == "validation"]
    return [SCENES / row["path"] for row in rows[:: max(1, len(rows) // 6)]]


def bar(fraction: float) -> str:
    """A fraction as a bar of up to 40 blocks."""
    return "█" * round(40 * fraction)


if __name__ == "__main__":
    sys.exit(main())
