"""Peak memory of `tlkit finetune --freeze lower` on many images, made from a folder by jittering its photos.

    python benchmarks/memory.py DATA [--images 20000] [--options "--views 2 --upper-epochs 1"]

Counted is anonymous memory (RssAnon), what cannot be given back to the disk; Linux only. Takes ten minutes.
The last line is JSON: images, gigabytes at the peak, seconds.
"""

import argparse
import json
import re
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from workplace import command_line

SIZE = (256, 192)
ENDINGS = (".jpg", ".jpeg", ".png")


def jitter(data: Path, target: Path, wanted: int) -> int:
    """Write photos that are cropped and made noisy at random, as many as wanted; one subfolder per class."""
    files = sorted(file for file in data.rglob("*") if file.suffix.lower() in ENDINGS)
    random = np.random.default_rng(0)
    for number in range(wanted):
        file = files[number % len(files)]
        folder = target / file.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        jittered(file, random).save(folder / f"{number}.jpg", quality=85)
    return wanted


def jittered(file: Path, random: np.random.Generator) -> Image.Image:
    """At least 90 % of a photo, with a few gray values of noise."""
    photo = Image.open(file).convert("RGB")
    width, height = photo.size
    share = random.uniform(0.9, 1)
    left, top = random.uniform(0, width * (1 - share)), random.uniform(0, height * (1 - share))
    part = photo.resize(SIZE, box=(left, top, left + width * share, top + height * share))
    noise = random.integers(-3, 4, (SIZE[1], SIZE[0], 1))
    return Image.fromarray(np.clip(np.asarray(part).astype(np.int16) + noise, 0, 255).astype(np.uint8))


def peak_of(command: list[str]) -> float:
    """Measure the peak of a process's anonymous memory in gigabytes, four times a second."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0.0
    while process.poll() is None:
        found = re.search(r"RssAnon:\s+([0-9]+)", Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8"))
        peak = max(peak, int(found[1]) / 1e6 if found else 0.0)
        time.sleep(0.25)
    if process.returncode:
        raise SystemExit(f"the command ended with {process.returncode}")
    return peak


def main() -> None:
    """Make the images, run, and say what it took."""
    parser = argparse.ArgumentParser(description="Peak memory of freeze lower.")
    parser.add_argument("data", type=Path, help="a folder with one subfolder of images per class")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--options", default="--views 2 --upper-epochs 1", help="further options of tlkit finetune")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tlkit-memory-") as folder:
        count = jitter(options.data, Path(folder) / "images", options.images)
        started = time.perf_counter()
        words = ["finetune", f"{folder}/images", "-o", f"{folder}/run", "--freeze", "lower", *options.options.split()]
        peak = peak_of([*command_line(), *words])
        print(json.dumps({"images": count, "gigabytes": round(peak, 2), "seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main()
