"""Effects of single choices of freeze lower: one choice changed at a time, the others at their defaults.

    python benchmarks/ablation.py DATA [--seeds 0 1 2] [--only views presets] [--write]

Accuracy on the validation images of each seed's split with the 95 % interval of all seeds together
(they share images, so it is rather too narrow), and seconds of training. With --write the table goes between the marker
lines of docs/ablation.md.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from measure import replace_between, say, table

from tlkit import FinetuneSettings, finetune
from tlkit.evaluation.metrics import wilson_interval
from tlkit.utils.progress import Silent

FILE = Path(__file__).parents[1] / "docs" / "ablation.md"
ARMS: dict[str, dict[str, dict[str, object]]] = {
    "default": {"as by default": {}},
    "presets": {f"augment {name}": {"augment": name} for name in ("medium", "strong")},
    "views": {  # one view is the plain one: as augment none
        "1 view, augment none": {"views": 1, "augment": "none"},
        **{f"{count} views": {"views": count} for count in (2, 5, 10)},
    },
    "mixing": {"MixUp 0.2": {"mixup": 0.2}, "CutMix 1": {"cutmix": 1.0}},
    "smoothing": {"no label smoothing": {"label_smoothing": 0.0}},
    "head-first": {"head and blocks at once": {"head_first": False}},
    "layer-decay": {"one rate for all layers": {"layer_decay": 1.0}},
    "batch-norms": {f"batch norms {name}": {"batch_norms": name} for name in ("frozen", "trained")},
    "ema": {"moving average 0.98": {"ema": 0.98}},
}


def measure_arm(data: Path, seeds: list[int], changes: dict[str, object]) -> tuple[list[float], int, float]:
    """Measure accuracies by seed, images in all, and mean seconds of training."""
    found, images, seconds = [], 0, 0.0
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            settings = FinetuneSettings(freeze="lower", seed=seed, **changes)  # type: ignore[arg-type]
            metrics = finetune(data, Path(folder) / "run", settings, Silent()).metrics
        found.append(metrics.accuracy)
        images += metrics.num_validation
        seconds += metrics.seconds["fit"] / len(seeds)
    return found, images, seconds


def main() -> None:
    """Run the arms and print the table."""
    parser = argparse.ArgumentParser(description="What each choice of freeze lower is worth.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--write", action="store_true", help="write docs/ablation.md")
    options = parser.parse_args()
    rows = []
    for name, changes in (arm for group in options.only for arm in ARMS[group].items()):
        say(f"  {name}")
        found, images, seconds = measure_arm(options.data, options.seeds, changes)
        mean = sum(found) / len(found)
        low, high = wilson_interval(round(mean * images), images)
        each = " ".join(f"{value:.3f}" for value in found)
        rows.append([name, each, f"{mean:.3f}", f"{low:.3f} to {high:.3f}", f"{seconds:.0f}"])
        say(json.dumps(rows[-1]))
    seeds = ", ".join(map(str, options.seeds))
    text = (
        f"Made by `{' '.join(['python', 'benchmarks/ablation.py', *sys.argv[1:]])}`: "
        "one choice changed at a time, the rest as by default.\n\n"
        f"{table(['', f'seeds {seeds}', 'mean', '95 % interval', 'seconds of training'], rows)}\n"
    )
    print(text)
    if options.write:
        FILE.write_text(replace_between(FILE.read_text(encoding="utf-8"), text), encoding="utf-8")


if __name__ == "__main__":
    main()
