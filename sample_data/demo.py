"""The main job from end to end on sample_data, without downloaded weights: learn, predict, prove.

usage: demo.py FOLDER      FOLDER is made anew; the run and the cache go there
"""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

SCENES = Path(__file__).resolve().parent / "beach_desert"
TLKIT = [sys.executable, "-m", "tlkit"]
NETWORK = [
    "--backbone",
    "vgg16",
    "--weights",
    "none",
    "--freeze",
    "none",
    "--image-size",
    "32",
    "--validation-split",
    "0.3",
    "--epochs",
    "20",
    "--patience",
    "20",
    "--batch-size",
    "16",
    "--learning-rate",
    "1e-4",
]


def main() -> int:
    """Run the three commands, and say whether the result beats the baseline clearly."""
    folder = Path(sys.argv[1])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ["TLKIT_CACHE"] = str(folder / "cache")
    run = folder / "run"
    print("A small network learns beach from desert from 80 drawn scenes, from random weights: about a minute.\n")
    tlkit("finetune", SCENES, "-o", run, *NETWORK)
    tlkit("predict", run, *left_out(run)[:6], "--format", "table")
    tlkit("evaluate", run)
    return judge(json.loads((run / "metrics.json").read_text()))


def tlkit(*arguments: object) -> None:
    """Show a command as one types it, and run it."""
    print("$ tlkit", *(os.path.relpath(item) if isinstance(item, Path) else item for item in arguments), flush=True)
    subprocess.run([*TLKIT, *map(str, arguments)], check=True)
    print(flush=True)


def left_out(run: Path) -> list[Path]:
    """Images the run was not trained on, taken from all classes."""
    with (run / "split.csv").open() as lines:
        rows = [row for row in csv.DictReader(lines) if row["split"] == "validation"]
    return [SCENES / row["path"] for row in rows[:: max(1, len(rows) // 6)]]


def judge(metrics: dict[str, float]) -> int:
    """Exit code 0 where chance cannot explain the accuracy: its interval lies above the baseline."""
    low, _ = metrics["accuracy_ci95"]
    good = low > metrics["baseline_accuracy"]
    print(
        f"lower bound {low:.3f} {'beats' if good else 'does not beat'} the baseline {metrics['baseline_accuracy']:.3f}"
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
