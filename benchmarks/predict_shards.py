"""Predictions of many tiny images into a folder of shards, killed twice and continued, against one file.

    python benchmarks/predict_shards.py [--images 100000] [--kills 2] [--seed 0] [--run RUN] [--work FOLDER]

Makes distinct images of 1 to 4 kB, trains a network of 32 pixels on some of them unless RUN is given, and starts the
command three times: into one file, into a folder, and into a folder with SIGKILL at random moments. The last line is
JSON: rows, different paths, temporary files, whether all three have the same rows, processor seconds of each, peak of
memory (RssAnon); Linux only. FOLDER keeps the images for a second call.
"""

import argparse
import json
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measure import say
from PIL import Image

COLORS = {"blue": (40, 60, 200), "green": (50, 180, 60), "red": (210, 50, 40)}
FOLDER = 1000  # images in one folder
SMALL = ("--backbone", "mobilenet_025", "--weights", "none", "--image-size", "32", "--freeze", "all", "--epochs", "5")


def main() -> None:
    """Make images and a run, start the commands, compare their rows."""
    parser = argparse.ArgumentParser(description="Kill and continue a long prediction.")
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--run", help="a finished run; without it one is trained")
    parser.add_argument("--work", type=Path, help="folder for images, run and outputs; outputs must not be there yet")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        make_images(work / "images", options.images)
        run = options.run or train(work)
        command = [sys.executable, "-m", "tlkit", "predict", run, str(work / "images"), "--quiet", "-o"]
        facts = {"images": options.images}
        facts["file"] = measured([*command, f"{work}/all.parquet"])
        facts["folder"] = measured([*command, f"{work}/whole/"])
        facts["killed"] = killed([*command, f"{work}/killed/"], options.kills, facts["folder"]["seconds"], options.seed)
        print(json.dumps(facts | compare(work)))


def make_images(folder: Path, wanted: int) -> None:
    """Write noisy squares of one color, half of them JPEG and half PNG; no two are equal."""
    generator = np.random.default_rng(0)
    for number in range(wanted):
        color = list(COLORS)[number % len(COLORS)]
        parent = folder / color / f"{number // FOLDER:05}"
        parent.mkdir(parents=True, exist_ok=True)
        file = parent / f"{number:08}.{'jpg' if number % 2 else 'png'}"
        if not file.exists():
            side = 48 if number % 2 else 24
            pixels = np.clip(generator.normal(COLORS[color], 20, (side, side, 3)), 0, 255).astype(np.uint8)
            pixels[0, 0] = (number & 255, number >> 8 & 255, number >> 16)
            Image.fromarray(pixels).save(file, quality=85)


def train(work: Path) -> str:
    """Train a small network on the first images of each class."""
    data = work / "some"
    for file in sorted((work / "images").rglob("00000[0-2]*.*")):
        target = data / file.relative_to(work / "images").parts[0] / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    run = work / "run"
    if not run.exists():
        measured([sys.executable, "-m", "tlkit", "finetune", str(data), *SMALL, "--quiet", "-o", str(run)])
    return str(run)


def measured(command: list[str], kill_after: float | None = None) -> dict[str, Any]:
    """Run a process to its end, or kill it; give wall and processor seconds, and the peak of its memory."""
    say(f"  {' '.join(command[3:])}")
    before, started, peak = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter(), 0.0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while process.poll() is None:
        found = re.search(r"RssAnon:\s+([0-9]+)", Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8"))
        peak = max(peak, int(found[1]) / 1e3 if found else 0.0)
        if kill_after is not None and time.perf_counter() - started > kill_after:
            process.kill()
            break
        time.sleep(0.05)
    words = process.communicate()[1].decode()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    seconds = time.perf_counter() - started
    if process.returncode not in (0, -signal.SIGKILL):
        raise SystemExit(f"the command ended with {process.returncode}: {words}")
    return {"seconds": round(seconds, 1), "cpu": round(cpu, 1), "megabytes": round(peak), "end": process.returncode}


def killed(command: list[str], kills: int, seconds: float, seed: int) -> dict[str, Any]:
    """Start the command until it ends, killed at random moments before; give what all processes took together."""
    draw, output, parts, there = random.Random(seed), Path(command[-1]), [], []
    for _ in range(kills):
        parts.append(measured(command, draw.uniform(0.1, 0.9) * seconds / kills))
        there.append(len(list(output.glob("*.parquet"))))
    parts.append(measured(command))
    ends = [part["end"] for part in parts]
    return {"cpu": round(sum(part["cpu"] for part in parts), 1), "ends": ends, "shards_after_kills": there}


def compare(work: Path) -> dict[str, Any]:
    """Read the rows of the file and of both folders."""
    from pyarrow import compute, dataset

    rows, whole, continued = (
        dataset.dataset(work / name, format="parquet").to_table().replace_schema_metadata()
        for name in ("all.parquet", "whole", "killed")
    )
    shards = {
        name: [file.read_bytes() for file in sorted((work / name).glob("*.parquet"))] for name in ("whole", "killed")
    }
    return {
        "rows": continued.num_rows,
        "different_paths": compute.count_distinct(continued.column("path")).as_py(),
        "errors": compute.sum(compute.equal(continued.column("status"), "error")).as_py(),
        "shards": len(shards["killed"]),
        "same_rows": rows.equals(whole) and rows.equals(continued),
        "same_bytes": shards["whole"] == shards["killed"],
        "temporary_files": len([path for path in (work / "killed").iterdir() if path.name.startswith(".")]),
    }


if __name__ == "__main__":
    main()
