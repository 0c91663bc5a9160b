"""Planted copies, wrong labels and shortcuts that `tlkit check` finds, and its time.

    TLKIT_TEST_DATA=... KERAS_HOME=... python benchmarks/check.py [copies|labels|shortcut|time]

Copies: 300 photos of trashnet, each re-encoded at quality 50, at half its size, mirrored and cropped to 90 % of each
side; pairs of originals are listed, so that an eye can tell whether they are the same thing photographed twice.
Labels: 5 % flipped, three seeds. A shortcut: two classes, one as PNG of 640 pixels, the other as JPEG of 320.
"""

import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from tlkit.data.duplicates import group_images
from tlkit.data.split import split_folder
from tlkit.quality.check import check

IMAGES = Path(os.environ["TLKIT_TEST_DATA"]) / "images"
KINDS = ("q50", "half", "mirrored", "crop")
NUM_PLANTED, FLIPPED = 300, 0.05


def copied(name: str, root: Path) -> Path:
    """Copy a data set by links."""
    target = root / name
    for file in sorted((IMAGES / name).rglob("*.*")):
        (target / file.parent.name).mkdir(parents=True, exist_ok=True)
        (target / file.parent.name / file.name).symlink_to(file)
    return target


def plant(kind: str, file: Path, rng: random.Random) -> Path:
    """Write a copy of an image beside it."""
    image = Image.open(file).convert("RGB")
    width, height = image.size
    if kind == "half":
        image = image.resize((width // 2, height // 2))
    elif kind == "mirrored":
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    elif kind == "crop":
        left, top = rng.randint(0, width // 10), rng.randint(0, height // 10)
        image = image.crop((left, top, left + width - width // 10, top + height - height // 10))
    target = file.with_name(f"{file.stem}-{kind}-planted.jpg")
    image.save(target, "JPEG", quality=50 if kind == "q50" else 90)
    return target


def measure_copies(root: Path) -> None:
    """Plant copies in trashnet; count those found, pairs of other images, and copies that the split keeps together."""
    data, rng = copied("trashnet", root), random.Random(0)
    files = sorted(data.rglob("*.jpg"))
    sources = {}
    for kind in KINDS:
        for file in rng.sample(files, NUM_PLANTED):
            sources[plant(kind, file, rng).relative_to(data).as_posix()] = file.relative_to(data).as_posix()
    result = check(data)
    checks = ("exact-duplicates", "near-duplicates", "label-conflicts")
    pairs = {frozenset(issue.paths[:2]) for issue in result.issues if issue.check in checks and len(issue.paths) > 1}
    linked = {frozenset((copy, source)) for copy, source in sources.items()}
    for kind in KINDS:
        mine = [frozenset(item) for item in sources.items() if f"-{kind}-" in item[0]]
        print(f"check finds {kind}: {sum(pair in pairs for pair in mine) / len(mine):.4f}")
    others = {frozenset(sources.get(path, path) for path in pair) for pair in pairs - linked}
    others = {pair for pair in others if len(pair) == 2}
    print(f"pairs of different originals: {len(others)} of {len(files)} images")
    for pair in sorted(map(sorted, others)):
        print("   ", *pair)
    split = split_folder(group_images(result.folder))
    subset_of = {path: subset for subset, images in split.subsets.items() for path in images.paths}
    for kind in KINDS:
        mine = [item for item in sources.items() if f"-{kind}-" in item[0]]
        together = sum(subset_of[copy] == subset_of[source] for copy, source in mine)
        print(f"the split keeps {kind} together: {together / len(mine):.4f}")


def measure_labels(root: Path) -> None:
    """Flip 5 % of the labels; count the flipped ones among the top 5 % of suspects."""
    for name in ("sign_digits", "trashnet"):
        for seed in range(3):
            data, rng = copied(name, root / f"{name}{seed}"), random.Random(seed)
            files = sorted(data.rglob("*.*"))
            classes = sorted(folder.name for folder in data.iterdir())
            flipped = set()
            for file in rng.sample(files, round(FLIPPED * len(files))):
                other = rng.choice([label for label in classes if label != file.parent.name])
                target = data / other / f"{file.parent.name}-{file.name}"
                file.rename(target)
                flipped.add(target.relative_to(data).as_posix())
            issues = [issue for issue in check(data).issues if issue.check == "label-errors"]
            top = issues[: len(flipped)]
            found = sum(issue.paths[0] in flipped for issue in top)
            print(
                f"{name}, seed {seed}: {found / len(flipped):.3f} of {len(flipped)} flipped labels, "
                f"{len(issues)} listed"
            )
            shutil.rmtree(data)


def measure_shortcut(root: Path) -> None:
    """Save one class as PNG of 640 pixels and the other as JPEG of 320, then look at untouched data."""
    data = root / "shortcut"
    for name, size, kind in (("glass", 640, "png"), ("plastic", 320, "jpg")):
        (data / name).mkdir(parents=True)
        for file in sorted((IMAGES / "trashnet" / name).iterdir())[:150]:
            Image.open(file).resize((size, size)).save(data / name / f"{file.stem}.{kind}")
    first = check(data).issues[0]
    print(f"planted: first issue {first.check}, {first.severity}: {first.message}")
    for name in ("sign_digits", "hymenoptera", "trashnet"):
        found = [issue.message for issue in check(IMAGES / name).issues if issue.check == "shortcuts"]
        print(f"{name}: {found or 'none'}")


def measure_time(root: Path) -> None:
    """Time `check` on trashnet with an empty cache and again, against a pass that only computes features."""
    from tlkit.features.export import export_features

    def timed(cache: str, work: Callable[[], object]) -> float:
        os.environ["TLKIT_CACHE"] = str(root / cache)
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    data, engines = IMAGES / "trashnet", IMAGES / "hymenoptera"

    def export(file: str) -> object:
        return export_features(data, root / file)

    for cache in ("a", "b", "c"):  # the network is converted before, in each cache
        timed(cache, lambda: check(engines))
    seconds = timed("a", lambda: export("a.npz")), timed("b", lambda: check(data)), timed("b", lambda: check(data))
    print(
        f"features {seconds[0]:.1f} s; check {seconds[1]:.1f} s ({seconds[1] / seconds[0]:.2f}), "
        f"again {seconds[2]:.1f} s"
    )


MEASUREMENTS = {"copies": measure_copies, "labels": measure_labels, "shortcut": measure_shortcut, "time": measure_time}

if __name__ == "__main__":
    for name in sys.argv[1:] or MEASUREMENTS:
        print(f"\n{name}")
        with tempfile.TemporaryDirectory() as folder:
            MEASUREMENTS[name](Path(folder))
