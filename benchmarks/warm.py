"""A training whose features are cached, on many small files: which images are read again, and where the seconds go.

    python benchmarks/warm.py --files 200000 --folder FOLDER

FOLDER gets the images (from one pixel to 4 kB, PNG and JPEG, in ten classes), a cache and the runs. `tlkit finetune
--freeze all` runs twice; the first run computes the features. Opened images are counted by an audit hook of Python.
Seconds are processor seconds of the process, beside those that the run itself wrote down. Memory is VmHWM.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

MAX_SIDE = 36  # pixels; a file then has at most 4 kB
CLASSES = 10
SETTLING_SECONDS = 3  # after which a new file is remembered
PROGRAM = """
import os, sys
root, opened, report = sys.argv.pop(1), set(), sys.argv.pop(1)
def note(event, arguments):
    if event == "open" and str(arguments[0]).startswith(root) and not os.path.isdir(arguments[0]):
        opened.add(str(arguments[0]))
sys.addaudithook(note)
def write():
    times, status = os.times(), open("/proc/self/status").read()
    memory = int(status.split("VmHWM:")[1].split()[0]) // 1000
    with open(report, "w") as file:
        print(len(opened), times.user + times.system, memory, file=file)
from tlkit.cli import main
try:
    main(sys.argv[1:], standalone_mode=False)
finally:
    write()
"""


def main() -> None:
    """Make the images and train twice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--blank", action="store_true", help="one gray value an image, so that no two are compared")
    options, words = parser.parse_known_args()
    images = options.folder.resolve() / "images"
    if not images.exists():
        make_images(images, options.files, options.blank)
        time.sleep(SETTLING_SECONDS)
    os.environ["TLKIT_CACHE"] = str(options.folder / "cache")
    for name in ("cold", "warm"):
        train(images, options.folder / f"run-{name}-{time.time_ns()}", name, words)


def make_images(root: Path, count: int, is_blank: bool) -> None:
    """Write images of noise, or of one color."""
    random = np.random.default_rng(0)
    for label in range(CLASSES):
        (root / f"class{label}").mkdir(parents=True)
    for number in range(count):
        side = 1 + int(MAX_SIDE * random.random() ** 2)
        pixels = random.integers(0, 256, (1, 1, 3) if is_blank else (side, side, 3)).astype(np.uint8)
        file = BytesIO()
        Image.fromarray(np.broadcast_to(pixels, (side, side, 3))).save(file, "JPEG" if number % 2 else "PNG")
        suffix = "jpg" if number % 2 else "png"
        (root / f"class{number % CLASSES}" / f"{number}.{suffix}").write_bytes(file.getvalue())


def train(images: Path, run: Path, name: str, words: list[str]) -> None:
    """Train, and print what it took."""
    report = run.with_suffix(".txt")
    options = ("--backbone", "mobilenet_025", "--weights", "none", "--image-size", "32", "--freeze", "all")
    small = ("--epochs", "1", "--no-report", "--no-golden", "--quiet")
    command = (sys.executable, "-c", PROGRAM, str(images), str(report), "finetune", str(images))
    started = time.perf_counter()
    subprocess.run([*command, *options, *small, "-o", str(run), *words], check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    num_opened, cpu, memory = report.read_text().split()
    parts = json.loads((run / "metrics.json").read_text())["seconds"]
    print(f"{name}: {num_opened} images opened, {seconds:.1f} s, {float(cpu):.1f} CPU s, {memory} MB; {parts}")


if __name__ == "__main__":
    main()
