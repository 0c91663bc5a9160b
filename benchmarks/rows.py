"""Many rows on one machine: a head on more features than memory, the split of ten million images, near duplicates.

    python benchmarks/rows.py make FOLDER [--rows 5000000] [--values 1280]      # 20 GB; a cache of made features
    python benchmarks/rows.py head FOLDER [--epochs 2] [--batch-size 128] [--limit 4]
    python benchmarks/rows.py subset FOLDER [--rows 200000]       # streamed against in memory, on some of the rows
    python benchmarks/rows.py passes FOLDER [--rows 200000]       # what fewer passes cost
    python benchmarks/rows.py shards FOLDER [--rows 200000]       # features written as parquet shards
    python benchmarks/rows.py split [--rows 10000000] [--limit 4] [--frozen]
    python benchmarks/rows.py near [--rows 100000]
    python benchmarks/rows.py photos DATA                         # bands against all pairs, on a folder of images

Each ends with a line of JSON. `--limit` is a limit of the system in GB on what a process may allocate (RLIMIT_DATA):
beyond it an allocation fails. Mapped shards are not allocated. `gigabytes` is the peak of anonymous memory (RssAnon),
looked at twenty times a second, and `processor_seconds` is the time in user and system mode. Linux only.
"""

import argparse
import json
import os
import re
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.cache.hash_table import HexColumn
from tlkit.data import duplicates
from tlkit.data.appearance import APPEARANCE
from tlkit.data.folder import ImageFolder
from tlkit.data.image import ImageSpec, decode_image
from tlkit.data.split import split_folder
from tlkit.distributed.shard_folder import ShardFolder
from tlkit.features.store import FeatureKey, FeatureRecord, FeatureStore
from tlkit.features.stored import StoredFeatures
from tlkit.features.table_shards import write_table_shards
from tlkit.features.tables import Table
from tlkit.models.head import Head
from tlkit.training.head.learner import HeadLearner
from tlkit.training.hyperparameters import choose_epochs
from tlkit.training.loop.batches import OneHot, Samples
from tlkit.training.loop.fit import fit
from tlkit.training.loop.plan import FitPlan, OptimizerConfig
from tlkit.training.loop.streaming import StreamedFeatures
from tlkit.utils.parallel import single_threaded_blas
from tlkit.utils.progress import Silent

CLASSES, LATENT = 100, 24
KEY = FeatureKey(0, ImageSpec(224), "made", "0", "float16", "0" * 64, "made")
NOISE_ROWS, NOISE = 1 << 15, 3.0  # rows, and their size beside the classes'
CHUNK = 4096  # rows made at a time


@contextmanager
def measured() -> Iterator[dict[str, float]]:
    """Measure wall time, processor time and the peak of anonymous memory, and print them with what was found."""
    found: dict[str, Any] = {}
    peak, ended = [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            status = Path("/proc/self/status").read_text(encoding="utf-8")
            match = re.search(r"RssAnon:\s+(\d+)", status)
            peak[0] = max(peak[0], int(match[1]) / 1e6 if match else 0.0)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    started, before = time.perf_counter(), time.process_time()
    yield found
    found |= {"seconds": time.perf_counter() - started, "processor_seconds": time.process_time() - before}
    ended.set()
    watcher.join()
    found["gigabytes"] = peak[0]
    print(json.dumps({name: round(value, 4) if isinstance(value, float) else value for name, value in found.items()}))


def hashes_of(numbers: np.ndarray) -> np.ndarray:
    """Make up the hashes of files: uint8 (rows, 32), in no order."""
    words = np.empty((len(numbers), 4), np.uint64)
    mixed = numbers.astype(np.uint64) + np.uint64(1)
    for column in range(4):
        for factor in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB):  # as splitmix64 mixes
            mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(factor)
        words[:, column] = mixed
    return words.view(np.uint8).reshape(len(numbers), 32)


def labels_of(count: int) -> np.ndarray:
    """Make up labels: the rows of a class lie side by side, as they do in a folder."""
    return np.sort(np.random.default_rng(3).integers(CLASSES, size=count)).astype(np.int32)


def make(options: argparse.Namespace) -> None:
    """Fill a cache with features: a few random directions per class, and much noise."""
    random = np.random.default_rng(0)
    mixing = random.normal(0, 1 / np.sqrt(LATENT), (LATENT, options.values)).astype(np.float32)
    centers = (random.normal(0, 1, (CLASSES, LATENT)).astype(np.float32)) @ mixing
    noise = np.maximum(random.standard_normal((NOISE_ROWS, options.values), np.float32), -1)
    inner = (random.standard_normal((NOISE_ROWS, LATENT), np.float32)) @ mixing
    labels, store = labels_of(options.rows), FeatureStore(KEY)
    appearance = np.zeros((), APPEARANCE)[()]
    for start in range(0, options.rows, CHUNK):
        numbers = np.arange(start, min(start + CHUNK, options.rows))
        rows = centers[labels[numbers]] + 0.6 * inner[random.integers(NOISE_ROWS, size=len(numbers))]
        rows += NOISE * noise[random.integers(NOISE_ROWS, size=len(numbers))]
        values = np.maximum(rows, 0).astype(np.float16)
        digests = [digest.tobytes().hex() for digest in hashes_of(numbers)]
        store.add([FeatureRecord(name, name[:32], appearance, row) for name, row in zip(digests, values, strict=True)])
    if hasattr(store, "finish"):
        store.finish()
    (options.folder / "rows.json").write_text(json.dumps({"rows": options.rows, "values": options.values}))


def samples_of(store: FeatureStore, numbers: np.ndarray, labels: np.ndarray) -> tuple[StoredFeatures, OneHot]:
    """Open rows of the cache."""
    return StoredFeatures(store, hashes_of(numbers)), OneHot(labels[numbers], CLASSES)


def held_out(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose a twentieth of the rows for validation."""
    chosen = np.random.default_rng(1).random(count) < 0.05
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def plan_of(epochs: int, batch_size: int) -> FitPlan:
    """Plan as `finetune --freeze all` does."""
    optimizer = OptimizerConfig(2e-3, weight_decay=0.1)
    return FitPlan("head", epochs, batch_size, optimizer, patience=20, seed=0, label_smoothing=0.1)


class Epochs(Silent):
    """Prints each epoch as it ends."""

    def on_epoch_end(self, row: Any) -> None:
        """Print the figures of an epoch."""
        print({name: row[name] for name in ("epoch", "loss", "val_loss", "val_accuracy", "seconds")}, flush=True)


def trained(train: Samples, validation: Samples, values: int, plan: FitPlan) -> tuple[HeadLearner, list[Any]]:
    """Train the default head."""
    learner = HeadLearner(Head(0.5, True, (512,)), values, CLASSES, seed=0)
    with single_threaded_blas():
        state = fit(learner, train, validation, plan, Epochs())
    return learner, state.history


def head(options: argparse.Namespace) -> None:
    """Train on all rows, streamed, within a limit of memory."""
    made = json.loads((options.folder / "rows.json").read_text())
    limit(options.limit)
    with measured() as found:
        store, labels = FeatureStore(KEY), labels_of(made["rows"])
        train, validation = held_out(made["rows"])
        opened = time.process_time()
        rows, targets = samples_of(store, train, labels)
        samples = Samples(StreamedFeatures(rows), targets), Samples(*samples_of(store, validation, labels))
        epochs = options.epochs or choose_epochs(len(train), options.batch_size)
        _, history = trained(*samples, made["values"], plan_of(epochs, options.batch_size))
        used = time.process_time() - opened
        found |= {"rows": len(train), "validation": len(validation), "epochs": len(history)}
        found |= {"batch_size": options.batch_size, "chosen_epochs": choose_epochs(len(train), options.batch_size)}
        found |= {"seconds_per_epoch": float(np.mean([record.seconds for record in history]))}
        found |= {"processor_us_per_row": 1e6 * used / len(history) / made["rows"]}
        found |= {"val_accuracy": [round(record.val_accuracy, 4) for record in history]}


class InMemory:
    """Features in memory, in the order in which others are streamed."""

    def __init__(self, values: np.ndarray, streamed: StreamedFeatures) -> None:
        self.values, self.streamed = values, streamed

    def __getitem__(self, indices: Any) -> np.ndarray:
        """Give (images, …)."""
        return self.values[indices]

    def shuffled(self, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Give the features, and the order."""
        return self.values, self.streamed.shuffled(seed, epoch)[1]


def some_rows(options: argparse.Namespace) -> tuple[StoredFeatures, OneHot, Samples, int]:
    """Open some of the rows, of all classes, and hold out some more."""
    made = json.loads((options.folder / "rows.json").read_text())
    store, labels = FeatureStore(KEY), labels_of(made["rows"])
    train, validation = held_out(made["rows"])
    random = np.random.default_rng(2)
    train = np.sort(random.choice(train, options.rows, replace=False))
    validation = np.sort(random.choice(validation, min(20_000, len(validation)), replace=False))
    rows, targets = samples_of(store, validation, labels)
    return *samples_of(store, train, labels), Samples(rows[:], targets), made["values"]


def subset(options: argparse.Namespace) -> None:
    """Train on some rows three times: streamed, in memory in the same order, in memory in today's order."""
    rows, targets, validation, values = some_rows(options)
    epochs = options.epochs or 3
    streamed = StreamedFeatures(rows, window_bytes=16 << 20)
    in_memory = rows[:]
    arms = {"streamed": streamed, "same order": InMemory(in_memory, streamed), "in memory": in_memory}
    found: dict[str, Any] = {}
    for name, features in arms.items():
        before = time.process_time()
        learner, history = trained(Samples(features, targets), validation, values, plan_of(epochs, options.batch_size))
        found[name] = b"".join(value.tobytes() for value in learner.get_weights())
        used, accuracy = time.process_time() - before, history[-1].val_accuracy
        print(json.dumps({"arm": name, "processor_seconds": round(used, 1), "val_accuracy": accuracy}))
    print(json.dumps({"rows": options.rows, "bit_identical": found["streamed"] == found["same order"]}))


def passes(options: argparse.Namespace) -> None:
    """Train on some rows with fewer and fewer passes."""
    rows, targets, validation, values = some_rows(options)
    in_memory = rows[:]
    for epochs in (20, 10, 5, 3, 2, 1):
        learned = trained(Samples(in_memory, targets), validation, values, plan_of(epochs, options.batch_size))[1]
        best = min(learned, key=lambda record: record.val_loss)
        facts = {"passes": epochs, "steps": epochs * -(-options.rows // options.batch_size)}
        print(json.dumps(facts | {"val_accuracy": best.val_accuracy, "val_loss": best.val_loss}), flush=True)


def folder_of(count: int, seed: int) -> ImageFolder:
    """Make up a folder of images that are read: groups of copies within and across classes, some held out."""
    random = np.random.default_rng(seed)
    groups = np.arange(count)
    copies = random.random(count) < 0.1
    groups[copies] = random.integers(0, count, copies.sum()) // 7 * 7  # up to a few copies of each seventh image
    labels = np.sort(random.integers(0, 1000, count)).astype(np.int32)
    labels[copies] = labels[groups[copies]]
    strays = np.flatnonzero(copies & (random.random(count) < 0.05))
    labels[strays] = random.integers(0, 1000, len(strays))
    digests, sha256 = HexColumn(hashes_of(groups)[:, :16].copy()), HexColumn(hashes_of(np.arange(count)))
    paths = tuple(f"class{label:04d}/image{number:08d}.jpg" for number, label in enumerate(labels.tolist()))
    names = tuple(f"class{label:04d}" for label in range(1000))
    hashes = {"sha256": sha256, "digests": digests, "groups": digests}
    return ImageFolder(Path("made"), names, paths, labels, ("",) * count, **hashes)


def split(options: argparse.Namespace) -> None:
    """Split many images, with and without subsets of their own; and compare with the first form of the split."""
    folder = folder_of(options.rows, 0)
    limit(options.limit)
    with measured() as found:
        made = split_folder(folder, 0.1, 0.1, seed=1)
        found |= {name: len(part) for name, part in made.subsets.items()}
        found |= {"rows": len(folder), "groups": len(set(folder.groups))}
    if options.frozen:
        sys.path.insert(0, str(Path(__file__).parents[1]))
        from tests.data import frozen_split

        resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        random = np.random.default_rng(4)
        subsets = tuple(random.choice(["train", "validation", "test"], len(folder), p=[0.9, 0.05, 0.05]).tolist())
        for name, images in {"none given": folder, "subsets given": replace(folder, subsets=subsets)}.items():
            results = []
            for module in (split_folder, frozen_split.split_folder):
                before = time.process_time()
                results.append(module(images, 0.1, 0.1, seed=1))
                used = time.process_time() - before
                print(json.dumps({"folder": name, "module": module.__module__, "processor_seconds": round(used, 2)}))
            one, other = ([(part.paths, part.skipped) for part in done.subsets.values()] for done in results)
            dropped = len(results[0].train.skipped)
            print(json.dumps({"folder": name, "rows": len(images), "equal": one == other, "dropped": dropped}))


def textures(count: int, seed: int) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Make up thumbnails with detail of every size, among them changed and mirrored copies of others."""
    random = np.random.default_rng(seed)
    images = np.empty((count, 32, 32), np.uint8)
    for start in range(0, count, CHUNK):
        size = min(CHUNK, count - start)
        coarse = random.normal(0, 40, (size, 8, 8)).repeat(4, axis=1).repeat(4, axis=2)
        images[start : start + size] = np.clip(128 + coarse + random.normal(0, 25, (size, 32, 32)), 0, 255)
    planted = []
    for copy in random.choice(count // 2, count // 100, replace=False) + count // 2:
        source = int(random.integers(count // 2))
        strength = random.uniform(0, 9)
        changed = images[source] + random.normal(0, strength, (32, 32))
        changed = changed[:, ::-1] if random.random() < 0.5 else changed
        images[copy] = np.clip(changed, 0, 255)
        planted.append((source, int(copy)))
    return images, planted


def near(options: argparse.Namespace) -> None:
    """Find planted near duplicates among many images by bands; of few, compare with all pairs."""
    images, planted = textures(options.rows, 0)
    names = [f"{number:032x}" for number in range(len(images))]
    found: dict[str, Any] = {}
    for name, most in {"bands": 0, "all pairs": 1 << 40}.items():
        if name == "all pairs" and options.rows > 50_000:
            planted_pairs = np.array(planted)
            scores, is_near = duplicates._compare(images, planted_pairs)
            found[name] = {tuple(pair) for pair in planted_pairs[is_near].tolist()}
            continue
        duplicates.MAX_ALL_PAIRS = most
        with measured() as facts:
            result = duplicates.find_near_duplicates(images, names)
            found[name] = {(pair.first, pair.second) for pair in result.pairs}
            facts |= {"how": name, "images": len(images), "pairs": len(found[name])}
    missed = found["all pairs"] - found["bands"]
    print(json.dumps({"near": len(found["all pairs"]), "missed": len(missed)}))


def photos(options: argparse.Namespace) -> None:
    """Compare what bands and all pairs find in a folder of images."""
    files = sorted(file for file in options.folder.rglob("*") if file.suffix.lower() in (".jpg", ".jpeg", ".png"))
    thumbnails = [decode_image(file.read_bytes(), ImageSpec(32)).appearance["thumbnail"] for file in files]
    names = [f"{number:032x}" for number in range(len(files))]
    found = []
    for most in (1 << 40, 0):
        duplicates.MAX_ALL_PAIRS = most
        before = time.process_time()
        found.append(duplicates.find_near_duplicates(np.stack(thumbnails), names))
        print(json.dumps({"all pairs": most > 0, "processor_seconds": round(time.process_time() - before, 2)}))
    same = found[0] == found[1]
    print(json.dumps({"folder": options.folder.name, "pairs": len(found[0].pairs), "identical": same}))


def limit(gigabytes: float) -> None:
    """Let every allocation beyond a limit fail."""
    if gigabytes:
        most = int(gigabytes * 1e9)
        resource.setrlimit(resource.RLIMIT_DATA, (most, resource.RLIM_INFINITY))


def shards(options: argparse.Namespace) -> None:
    """Write rows of the cache as shards, in an order in which they do not lie there."""
    store, numbers = FeatureStore(KEY), np.random.default_rng(2).permutation(options.rows)
    names = [f"class/{number:08}.jpg" for number in range(options.rows)]
    columns = names, ["class"] * options.rows, ["train"] * options.rows
    table = Table(columns, StoredFeatures(store, hashes_of(numbers)), {"class_names": ["class"]})
    with tempfile.TemporaryDirectory(dir=options.folder) as parent, measured() as found:
        write_table_shards(table, ShardFolder(Path(parent, "out"), {}), {"features": KEY.digest}, Silent())
        sizes = [file.stat().st_size for file in Path(parent, "out").iterdir()]
        found |= {"rows": options.rows, "files": len(sizes), "bytes_a_row": sum(sizes) / options.rows}


def main() -> None:
    """Do one of these things."""
    parser = argparse.ArgumentParser(description="Many rows on one machine.")
    parser.add_argument("what", choices=["make", "head", "subset", "passes", "shards", "split", "near", "photos"])
    parser.add_argument("folder", type=Path, nargs="?", default=Path())
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--values", type=int, default=1280)
    parser.add_argument("--epochs", type=int, default=0, help="0 for as many as are chosen")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--limit", type=float, default=0, help="of memory, in GB; 0 for none")
    parser.add_argument("--frozen", action="store_true", help="compare with the first form of the split")
    options = parser.parse_args()
    rows = {"make": 5_000_000, "split": 10_000_000, "near": 100_000}
    options.rows = options.rows or rows.get(options.what, 200_000)
    if options.what in ("make", "head", "subset", "passes", "shards"):
        os.environ["TLKIT_CACHE"] = str(options.folder)
    globals()[options.what](options)


if __name__ == "__main__":
    main()
