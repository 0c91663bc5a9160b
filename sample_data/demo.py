"""Transfer learning from end to end, with nothing downloaded and nothing pretrained elsewhere.

usage: demo.py FOLDER [--seeds 0 1 2]     FOLDER is replaced; runs, images and cache go there

A small residual network is trained on the handwritten digits 0 to 4. Its lower layers are then frozen, and it is
trained on 5 to 9 with 15 images per digit. The same network is trained from scratch on the same images. Then the
scenes of this folder are classified. With several seeds, only the digits are.
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
NUM_IMAGES = 15  # per new digit for training, and as many to choose the best epoch; the rest is for the test
EPOCHS = 30  # for both networks; the transferred one trains its new last layer in half of them
NETWORK = ["--model", "resnet20", "--width", "0.5", "--image-size", "16"]
FIRST = ["--epochs", "10", "--augment", "medium", "--mixup", "0.2"]
SCRATCH = ["--epochs", EPOCHS]
ADAPT = ["--freeze", "lower", "--cut", "0.2", "--batch-norms", "trained", "--views", "10", "--augment", "medium"]
RATES = ["--upper-learning-rate", "0.004", "--upper-batch-size", "16"]
HALVES = ["--epochs", EPOCHS // 2, "--upper-epochs", EPOCHS // 2]
SMALL = ["--model", "lenet5_relu", "--validation-split", "0.3"]


def main() -> int:
    """Run the demo; the exit code is 0 where transfer beats scratch and the scenes beat the baseline."""
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
        print(f"lead in points: {' '.join(f'{gain:.1f}' for gain in gains)}; median {statistics.median(gains):.1f}")
        return 0 if min(gains) > 0 else 1
    beats_chance = learn_scenes(folder)
    return 0 if gains[0] > 0 and beats_chance else 1


def learn_digits(folder: Path, seed: int) -> float:
    """Train both networks, and give the lead of the transferred one on the test images in percentage points."""
    low, high = sort_digits(folder, seed)
    first, adapted, scratch = (folder / f"{name}-{seed}" for name in ("first", "adapted", "scratch"))
    print("1. A small residual network is trained on the digits 0 to 4.\n")
    tlkit("train", low, "-o", first, *NETWORK, *FIRST, "--seed", seed)
    print(f"2. Its lower layers are frozen, and it is trained on 5 to 9 with {NUM_IMAGES} images each.\n")
    tlkit("finetune", high, "-o", adapted, "--from", first, *ADAPT, *RATES, *HALVES, "--seed", seed)
    print("3. The same network is trained from scratch on the same images, with the same number of epochs.\n")
    tlkit("train", high, "-o", scratch, *NETWORK, *SCRATCH, "--seed", seed)
    ours, theirs = (json.loads((run / "metrics.json").read_text())["test"] for run in (adapted, scratch))
    print(f"accuracy on {ours['num_images']} test images of 5 to 9, with 95 % interval")
    for name, figures in (("transferred", ours), ("from scratch", theirs)):
        low_end, high_end = figures["accuracy_ci95"]
        accuracy = f"{100 * figures['accuracy']:.1f} %  {100 * low_end:.1f} to {100 * high_end:.1f} %"
        print(f"  {name:<12} {accuracy}  {bar(figures['accuracy'])}")
    print(flush=True)
    return 100 * (ours["accuracy"] - theirs["accuracy"])


def learn_scenes(folder: Path) -> bool:
    """Classify the scenes, and tell whether the whole interval of the accuracy is above the baseline."""
    run = folder / "scenes"
    print("4. Beach or desert, from drawn scenes.\n")
    tlkit("train", SCENES, "-o", run, *SMALL)
    tlkit("predict", run, *held_out_images(run)[:6], "--format", "table")
    metrics = json.loads((run / "metrics.json").read_text())
    low, baseline = metrics["accuracy_ci95"][0], metrics["baseline_accuracy"]
    good = bool(low > baseline)
    verb = "is above" if good else "is not above"
    print(f"The lower bound {100 * low:.1f} % {verb} the baseline {100 * baseline:.1f} %.")
    return good


def sort_digits(folder: Path, seed: int) -> tuple[Path, Path]:
    """Copy the digits 0 to 4 to one folder, and 5 to 9 to another, sorted into train/, val/ and test/."""
    low, high, shuffle = folder / f"low-{seed}", folder / f"high-{seed}", random.Random(seed).shuffle
    for digit in range(10):
        files = sorted((folder / "digits" / str(digit)).iterdir())
        shuffle(files)
        subsets = {
            "train": files[:NUM_IMAGES],
            "val": files[NUM_IMAGES : 2 * NUM_IMAGES],
            "test": files[2 * NUM_IMAGES :],
        }
        for subset, chosen in subsets.items() if digit >= 5 else [("", files)]:
            target = (high / subset if subset else low) / str(digit)
            target.mkdir(parents=True)
            for file in chosen:
                shutil.copy(file, target)
    return low, high


def tlkit(*arguments: object) -> None:
    """Show a command as it is typed, and run it in this process, so that TensorFlow starts once."""
    print("$ tlkit", *(os.path.relpath(item) if isinstance(item, Path) else item for item in arguments), flush=True)
    code = tlkit_command.main([str(item) for item in arguments], prog_name="tlkit", standalone_mode=False)
    if code:
        sys.exit(code)
    print(flush=True)


def held_out_images(run: Path) -> list[Path]:
    """List validation images, taken from all classes in turn."""
    with (run / "split.csv").open() as lines:
        rows = [row for row in csv.DictReader(lines) if row["split"] == "validation"]
    return [SCENES / row["path"] for row in rows[:: max(1, len(rows) // 6)]]


def bar(fraction: float) -> str:
    """Draw a fraction as a bar of up to 40 blocks."""
    return "█" * round(40 * fraction)


if __name__ == "__main__":
    sys.exit(main())
