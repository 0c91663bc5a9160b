"""The store of features with millions of rows: time to open it, look-ups, memory.

    python benchmarks/store.py --rows 10000000 --folder FOLDER [--columns 8]

The cache is filled in chunks with rows that nobody computed, and kept in FOLDER: started again, the script measures
only. A row has 8 values, and its appearance as in real use, so 10 million rows take 12 GB. Opening, look-ups and
reading are measured in fresh processes, what a pass over as many unchanged files keeps ("pass"), and reading a table
of as many URIs ("manifest"). Memory is the largest resident size (VmHWM), with files that are mapped. "baseline" is
what importing alone takes.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tlkit.data.folder import ImageFolder
    from tlkit.features.store import FeatureStore

CHUNK = 110_000  # rows of a shard, about 128 MB
LOOKUPS = 100_000
READ = 10_000
MEASURED = ("baseline", "open", "lookup", "read", "pass", "manifest")


def main() -> None:
    """Fill the store and measure it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=8)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--measure", choices=MEASURED)
    options = parser.parse_args()
    os.environ["TLKIT_CACHE"] = str(options.folder)
    if options.measure:
        print(json.dumps(measure(options.measure, options.rows)))
        return
    fill(options.rows, options.columns)
    print(f"{'':10} {'seconds':>9} {'cpu':>9} {'VmHWM MB':>9}")
    for what in MEASURED:
        words = [sys.executable, __file__, "--rows", str(options.rows), "--folder", str(options.folder)]
        done = subprocess.run([*words, "--measure", what], check=True, stdout=subprocess.PIPE, text=True)
        found = json.loads(done.stdout)
        print(f"{what:10} {found['seconds']:9.3f} {found['cpu']:9.3f} {found['memory']:9.0f}  {found['note']}")


def key() -> object:
    """Make the key of the features."""
    from tlkit.data.image import ImageSpec
    from tlkit.features.store import FeatureKey

    return FeatureKey(1, ImageSpec(64), "made", "1", "float32", "00" * 32, "features")


def hashes_of(numbers: np.ndarray) -> np.ndarray:
    """Give the hash of each row, uint8 (rows, 32)."""
    content = b"".join(hashlib.sha256(b"%d" % number).digest() for number in numbers.tolist())
    return np.frombuffer(content, np.uint8).reshape(-1, 32)


def fill(num_rows: int, columns: int) -> None:
    """Add the rows that are missing, as the passes of many runs would."""
    from tlkit.cache.folder import claim_cache
    from tlkit.data.appearance import APPEARANCE
    from tlkit.features.shards import write_shard
    from tlkit.features.store import SHARD_FILES, FeatureStore

    store = FeatureStore(key())  # type: ignore[arg-type]
    claim_cache(SHARD_FILES)
    store.folder.mkdir(parents=True, exist_ok=True)
    kinds = [("sha256", "u1", (32,)), ("digest", "u1", (16,)), ("appearance", APPEARANCE), ("values", "f4", (columns,))]
    started = time.process_time()
    for start in range(0, num_rows, CHUNK):
        hashes = hashes_of(np.arange(start, min(start + CHUNK, num_rows)))
        if len(store.find_positions(hashes)) == len(hashes):
            continue
        shard = np.zeros(len(hashes), kinds)
        shard["sha256"], shard["digest"] = hashes, hashes[:, :16]
        shard["values"] = (hashes[:, :1] + np.arange(columns)).astype(np.float32)
        write_shard(store.folder, [shard])
        if (start // CHUNK) % 10 == 9:
            store.refresh()
            store.finish()
    store.refresh()
    store.finish()
    print(f"filled in {time.process_time() - started:.0f} CPU seconds", file=sys.stderr)


def measure(what: str, num_rows: int) -> dict[str, object]:
    """Measure one step, in this process."""
    from tlkit.features.store import FeatureStore

    random = np.random.default_rng(0)
    wanted = hashes_of(random.choice(num_rows, LOOKUPS // 2, replace=False))
    absent = hashes_of(num_rows + np.arange(LOOKUPS // 2))
    mixed = random.permutation(np.concatenate([wanted, absent]))
    note = ""
    before = time.perf_counter(), time.process_time()
    if what != "baseline":
        store = FeatureStore(key())  # type: ignore[arg-type]
    if what == "lookup":
        before = time.perf_counter(), time.process_time()
        found = store.find_positions(mixed)
        note = f"{len(found):,} of {LOOKUPS:,} found"
        assert len(found) == LOOKUPS // 2
    if what == "read":
        before = time.perf_counter(), time.process_time()
        values = store.gather(wanted[:READ])
        assert (values[:, 0] == wanted[:READ, 0]).all()
        note = f"{READ:,} rows of all shards, which are checked"
    if what in ("pass", "manifest"):
        folder = warm_pass(store, num_rows) if what == "pass" else read_manifest(num_rows)
        note = f"{len(folder):,} images, none read"
    seconds, cpu = time.perf_counter() - before[0], time.process_time() - before[1]
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {"seconds": seconds, "cpu": cpu, "memory": int(status["VmHWM"].split()[0]) / 1000, "note": note}


def read_manifest(num_rows: int) -> "ImageFolder":
    """Read a table of as many URIs and labels, which is written first."""
    from tlkit.data.reader import read_data

    with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        file.write("path,label\n")
        for number in range(num_rows):
            file.write(f"s3://bucket/photos/class{number % 100:03}/{number:08}.jpg,class{number % 100:03}\n")
        file.flush()
        return read_data(file.name)


def warm_pass(store: "FeatureStore", num_rows: int) -> "ImageFolder":
    """Do what a pass does with as many files, once it knows their hashes."""
    from tlkit.data.folder import ImageFolder
    from tlkit.features.contents import Contents

    paths = tuple(f"class{number % 10}/{number:08}.jpg" for number in range(num_rows))
    labels = np.zeros(num_rows, np.int32)
    folder = ImageFolder(Path("images"), ("a", "b"), paths, labels, ("",) * num_rows)
    hashes = np.concatenate([hashes_of(np.arange(k, min(k + CHUNK, num_rows))) for k in range(0, num_rows, CHUNK)])
    contents = Contents(num_rows)
    found, digests = store.find_digests(hashes)
    contents.put_many(found, hashes[found], digests)
    return contents.readable(folder, store)


if __name__ == "__main__":
    main()
