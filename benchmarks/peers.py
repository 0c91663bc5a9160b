"""tlkit and its peers: accuracy against seconds, on one test split that nobody chose on.

    python benchmarks/peers.py DATA --results FOLDER [--peers-python PYTHON] [--only ARM ...] [--write]

A fifth of each class, by the hash of its files, is the test split; tlkit and the peers get the other images only. Each
arm is a process of its own, with an empty cache. Seconds go from the start of the process to its end (tlkit), or to the
moment that the model is trained (peers). The arms take turns, seed after seed. A process that has finished is kept in
FOLDER/points.csv and is not started again, so the command may be stopped and repeated.

`--peers-python` is a Python with `pip install torch torchvision timm fastai`; without it, timm and fastai are left out.
They get Keras's weights (peer_weights.py), so that all networks start equal. `--write` puts the table at the top of
docs/results.md, and the plot beside it. About half an hour for trashnet on two cores that do nothing else.
"""

import argparse
import csv
import hashlib
import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from measure import FailedError, execute, replace_between, say, table
from peers_plot import draw
from points import images_of
from workplace import HERE, command_line

from tlkit.evaluation.metrics import mcnemar

RESULTS = HERE.parent / "docs" / "results.md"
PLOT = HERE.parent / "docs" / "pictures" / "peers.png"
TEST_FRACTION = 5  # one image in five is for the test
LIMIT = 600  # seconds that are compared
COLUMNS = ("arm", "seed", "name", "seconds", "accuracy", "correct")


PREAMBLE = (
    "Made by `python benchmarks/peers.py`: {data}, {num_test} test images that nobody chose on. Every row is a process "
    "of its own from an empty cache, all on one machine in turn. {verdict} is better than tlkit beyond the paired "
    "interval, between tlkit's first finished run and {minutes} minutes."
)


@dataclass(frozen=True)
class Arm:
    """One way to a classifier.

    tool      as the table names it
    words     options of `tlkit finetune`, or a script of this folder and its options
    seeds     it is quick enough to be trained with
    is_torch  whether it needs PyTorch
    """

    name: str
    tool: str
    words: tuple[str, ...]
    seeds: tuple[int, ...] = (0,)
    is_torch: bool = False


ARMS = (
    Arm("all", "tlkit", ("--freeze", "all"), (0, 1, 2)),
    Arm("sklearn", "scikit-learn on Keras features", ("peer_sklearn.py",)),
    Arm("auto", "tlkit", (), (0, 1, 2)),
    Arm("keras-frozen", "Keras guide", ("peer_keras.py", "--frozen", "1", "2", "5")),
    Arm("timm-frozen", "timm", ("peer_timm.py", "--frozen", "1", "2", "5"), is_torch=True),
    Arm("fastai-1", "fastai", ("peer_fastai.py", "--epochs", "1"), is_torch=True),
    Arm("lower", "tlkit", ("--freeze", "lower", "--views", "5")),
    Arm("keras-whole", "Keras guide", ("peer_keras.py", "--frozen", "2", "--whole", "1")),
    Arm("timm-whole", "timm", ("peer_timm.py", "--frozen", "2", "--whole", "1"), is_torch=True),
    Arm("fastai-2", "fastai", ("peer_fastai.py", "--epochs", "2"), is_torch=True),
)


@dataclass(frozen=True)
class Point:
    """A trained model: how long it took, and which test images it classifies correctly (bool, one per image)."""

    arm: str
    seed: int
    name: str
    seconds: float
    correct: np.ndarray

    @property
    def accuracy(self) -> float:
        """The fraction of the test images that is classified correctly."""
        return float(self.correct.mean())


def main() -> int:
    """Run what is missing, then print the table; 1 where an arm failed."""
    options = parse()
    place = Place(options.results.resolve(), options.peers_python)
    arms = [arm for arm in ARMS if arm.name in options.only and (place.python or not arm.is_torch)]
    place.split(options.data.resolve())
    failed = run_missing(place, arms, options.seeds)
    points = place.read()
    if not points:
        return 1
    text = report(options.data.name, points, place.num_test)
    print(text)
    title = f"{options.data.name}, {place.num_test} test images: tlkit and its peers"
    draw(by_model(points), title, LIMIT, options.results / "peers.png")
    if options.write:
        RESULTS.write_text(replace_between(RESULTS.read_text(encoding="utf-8"), text, "peers"), encoding="utf-8")
        shutil.copyfile(options.results / "peers.png", PLOT)
    return 1 if failed else 0


def parse() -> argparse.Namespace:
    """Read the options."""
    names = [arm.name for arm in ARMS]
    parser = argparse.ArgumentParser(description="Accuracy against seconds: tlkit and its peers on DATA.")
    parser.add_argument("data", type=Path, help="a folder with one subfolder of images per class")
    parser.add_argument("--results", type=Path, required=True, help="a folder for the split, the runs and the points")
    parser.add_argument("--peers-python", type=Path, help="a Python with torch, timm and fastai")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="arms to run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the quick arms [0 1 2]")
    parser.add_argument("--write", action="store_true", help="write the table and the plot into docs")
    return parser.parse_args()


class Place:
    """The folder of the results: train/, test/, runs/ and points.csv."""

    def __init__(self, folder: Path, python: Path | None) -> None:
        self.folder, self.python = folder, python.absolute() if python else None
        self.train, self.test, self.file = folder / "train", folder / "test", folder / "points.csv"

    @property
    def num_test(self) -> int:
        """Test images."""
        return len(images_of(self.test))

    def split(self, data: Path) -> None:
        """Copy the images, unless that was done: of each class a fifth, by the hash of the files, for the test.

        raises: SystemExit for a folder without images, and for other images than those that were split
        """
        mark = self.folder / "SPLIT"
        if mark.exists():
            if mark.read_text(encoding="utf-8") != str(data):
                raise SystemExit(f"'{self.folder}' holds results of other images; name another folder after --results.")
            return
        by_class: dict[str, list[Path]] = {}
        for file in sorted(data.rglob("*")):
            if file.suffix.lower() in {".jpg", ".jpeg", ".png"}:
                by_class.setdefault(file.parent.name, []).append(file)
        if not by_class:
            raise SystemExit(f"'{data}' holds no images in folders of classes.")
        for name, files in by_class.items():
            files.sort(key=lambda file: hashlib.sha256(file.read_bytes()).hexdigest())
            for place, file in enumerate(files):
                target = (self.test if place % TEST_FRACTION == 0 else self.train) / name / file.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
        mark.write_text(str(data), encoding="utf-8")

    def read(self) -> list[Point]:
        """Read the points of finished processes."""
        if not self.file.exists():
            return []
        with self.file.open(encoding="utf-8", newline="") as file:
            return [
                Point(
                    *(row["arm"], int(row["seed"]), row["name"], float(row["seconds"])),
                    np.array([mark == "1" for mark in row["correct"]]),
                )
                for row in csv.DictReader(file)
            ]

    def add(self, points: Sequence[Point]) -> None:
        """Append the points of a process."""
        is_new = not self.file.exists()
        with self.file.open("a", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerows([COLUMNS] if is_new else [])
            for point in points:
                marks = "".join("01"[int(correct)] for correct in point.correct)
                writer.writerow([point.arm, point.seed, point.name, f"{point.seconds:.2f}", point.accuracy, marks])


def run_missing(place: Place, arms: Sequence[Arm], seeds: Sequence[int]) -> bool:
    """Run the arms that have no points yet, in turn; True where one failed."""
    done = {(point.arm, point.seed) for point in place.read()}
    todo = [(arm, seed) for seed in seeds for arm in arms if seed in arm.seeds and (arm.name, seed) not in done]
    failed = False
    if todo:
        warm_up(place, any(arm.is_torch for arm, _ in todo))
    for arm, seed in todo:
        say(f"{arm.name}, seed {seed}")
        try:
            place.add((run_tlkit if arm.tool == "tlkit" else run_peer)(place, arm, seed))
        except FailedError as error:
            say(f"  {error}")
            failed = True
    return failed


def warm_up(place: Place, with_torch: bool) -> None:
    """Let the system read programs, images and weights once, so that the first arm does not pay for all."""
    execute([sys.executable, "-c", "import keras, tensorflow, sklearn.linear_model, tlkit"], os.environ, HERE)
    for file in place.folder.glob("t*/*/*"):
        file.read_bytes()
    if with_torch and place.python:
        execute([place.python, "-c", "import timm, fastai.vision.all"], os.environ, HERE)
        if not (place.folder / "weights.npz").exists():
            execute([sys.executable, HERE / "peer_weights.py", place.folder / "weights.npz"], os.environ, HERE)


def run_tlkit(place: Place, arm: Arm, seed: int) -> list[Point]:
    """Train with tlkit from an empty cache, then classify the test images."""
    run, cache = place.folder / "runs" / f"{arm.name}-{seed}", place.folder / "cache"
    for left in (run, cache):
        shutil.rmtree(left, ignore_errors=True)
    env = os.environ | {"TLKIT_CACHE": str(cache)}
    words = ["finetune", place.train, "-o", run, "--seed", str(seed), *arm.words]
    finished = execute([*command_line(), *words], env, place.folder)
    rows = run.with_suffix(".csv")
    rows.unlink(missing_ok=True)
    execute([*command_line(), "predict", run, place.test, "-o", rows], env, place.folder)
    with rows.open(encoding="utf-8", newline="") as file:
        labels = {Path(row["path"]).relative_to(place.test).as_posix(): row["label"] for row in csv.DictReader(file)}
    chosen = json.loads((run / "model.json").read_text(encoding="utf-8"))["freeze"]
    name = f"auto, which chose {chosen}" if arm.name == "auto" else " ".join(arm.words)
    return [Point(arm.name, seed, name, finished.seconds, marked(place, labels))]


def run_peer(place: Place, arm: Arm, seed: int) -> list[Point]:
    """Train a peer, and read its points."""
    script, *words = arm.words
    python = place.python if arm.is_torch and place.python else Path(sys.executable)
    words += ["--weights", str(place.folder / "weights.npz")] if arm.is_torch else []
    env = os.environ | {"PEER_STARTED": str(time.time())}
    command = [python, HERE / script, place.train, place.test, "--seed", str(seed), *words]
    lines = execute(command, env, HERE).output.splitlines()
    found = [json.loads(line) for line in lines if line.startswith('{"name"')]
    return [Point(arm.name, seed, row["name"], row["seconds"], marked(place, row["predicted"])) for row in found]


def marked(place: Place, labels: dict[str, str]) -> np.ndarray:
    """Compare the classes of all test images, in order, with the folders that these are in.

    raises: FailedError where one is missing
    """
    images = images_of(place.test)
    if missing := [image for image in images if image not in labels]:
        raise FailedError(f"{len(missing)} test images were not classified")
    return np.array([labels[image] == image.split("/")[0] for image in images])


def report(data: str, points: Sequence[Point], num_test: int) -> str:
    """Write the table and what it shows, as Markdown."""
    rows, higher = [], []
    for tool, name, of_model in by_model(points):
        seconds = statistics.median(point.seconds for point in of_model)
        accuracies = " ".join(f"{100 * point.accuracy:.1f}" for point in of_model)
        cells = [tool, name, f"{seconds:.0f}", f"{accuracies} %"]
        if tool == "tlkit" or not (then := tlkit_by_then(points, of_model)):
            rows.append([*cells, ""])
            continue
        paired = mcnemar(*(np.concatenate([point.correct for point in side]) for side in (of_model, then)))
        low, high = (100 * bound for bound in paired.interval)
        rows.append([*cells, f"{100 * paired.difference:+.1f} ({low:+.1f} to {high:+.1f})"])
        if low > 0 and seconds <= LIMIT:
            higher.append(f"{tool} ({name})")
    header = ("tool", "what is trained", "seconds", "test accuracy, by seed", "points above tlkit at that time (95 %)")
    verdict = "No peer" if not higher else " and ".join(higher)
    return f"""{PREAMBLE.format(data=data, num_test=num_test, minutes=LIMIT // 60, verdict=verdict)}

![Test accuracy against seconds](pictures/peers.png)

{table(header, rows)}

A peer is compared, on the same images and seeds, with the run of tlkit that had finished last at that time."""


def by_model(points: Sequence[Point]) -> list[tuple[str, str, list[Point]]]:
    """Group the points of all seeds: tool, name and points, by their seconds."""
    tools = {arm.name: arm.tool for arm in ARMS}
    groups: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        groups.setdefault((point.arm, "" if point.arm == "auto" else point.name), []).append(point)
    named = [(tools[arm], name or found[0].name, found) for (arm, name), found in groups.items()]
    return sorted(named, key=lambda model: statistics.median(point.seconds for point in model[2]))


def tlkit_by_then(points: Sequence[Point], peer: Sequence[Point]) -> list[Point]:
    """Find, for each point of a peer, the run of tlkit with its seed that had finished last; [] if one has none."""
    own = {arm.name for arm in ARMS if arm.tool == "tlkit"}
    found = []
    for point in peer:
        runs = [run for run in points if run.arm in own and run.seed == point.seed and run.seconds <= point.seconds]
        found += sorted(runs, key=lambda run: run.seconds)[-1:]
    return found if len(found) == len(peer) else []


if __name__ == "__main__":
    sys.exit(main())
