"""Retrieval by classes, and a million vectors within two gigabytes; docs/results.md has the figures.

    python benchmarks/search.py million /tmp/search features.npz      # of tlkit features trashnet -o features.npz
    python benchmarks/search.py classes /tmp/search sign_digits

Each part writes its figures when it ends, and a second call continues after the last one. Peak memory is the largest
resident set of a process of its own (`ru_maxrss`), which counts its pages of mapped files, too; none is mapped here.
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

NUM_VECTORS, NUM_QUERIES, NOISE, CODE_BYTES, COUNT = 1_000_000, 200, 0.3, 32, 10
BLOCK = 8192
SEEDS = (0, 1, 2)


def million_vectors(features: np.ndarray, count: int, seed: int):
    """Features drawn again and again, each value with noise of 0.3 of its standard deviation; rows of length 1."""
    random = np.random.default_rng(seed)
    deviations = NOISE * features.std(axis=0)
    for start in range(0, count, BLOCK):
        drawn = features[random.integers(0, len(features), min(BLOCK, count - start))]
        drawn = drawn + deviations * random.standard_normal(drawn.shape, np.float32)
        yield drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def read_features(file: Path) -> np.ndarray:
    with np.load(file) as stored:
        return stored["features"].astype(np.float32)[:, :1280]  # the averages of the last layer


def write(folder: Path, features: np.ndarray, seed: int) -> dict:
    from tlkit.search.vectors import write_vectors

    shape = (NUM_VECTORS, features.shape[1])
    write_vectors(folder / "vectors.npy", million_vectors(features, NUM_VECTORS, seed), shape, "float16")
    return {"bytes": (folder / "vectors.npy").stat().st_size, "values": shape[1]}


def exact(folder: Path, features: np.ndarray, seed: int) -> dict:
    from tlkit.search.vector_search import VectorSearch
    from tlkit.search.vectors import open_vectors

    queries = next(million_vectors(features, NUM_QUERIES, seed + 1000))
    positions, _ = VectorSearch(open_vectors(folder / "vectors.npy")).nearest(queries, COUNT)
    np.save(folder / "exact.npy", positions)
    return {}


def build(folder: Path, features: np.ndarray, seed: int) -> dict:
    from tlkit.search.approximate import choose_kind, fill_index, train_index, write_faiss
    from tlkit.search.vectors import open_vectors

    vectors = open_vectors(folder / "vectors.npy")
    kind, start = choose_kind(vectors.shape, with_faiss=True), time.perf_counter()
    index = train_index(kind, vectors, CODE_BYTES, seed)
    trained = time.perf_counter() - start
    fill_index(index, vectors, 0, lambda count: None)
    with (folder / "faiss.index").open("xb") as file:
        write_faiss(index, file)
    return {"kind": kind, "train_seconds": trained, "index_bytes": (folder / "faiss.index").stat().st_size}


def query(folder: Path, features: np.ndarray, seed: int) -> dict:
    from tlkit.search.approximate import read_faiss
    from tlkit.search.vector_search import VectorSearch
    from tlkit.search.vectors import open_vectors

    vectors = open_vectors(folder / "vectors.npy")
    with (folder / "faiss.index").open("rb") as file:
        search = VectorSearch(vectors, read_faiss(file, vectors.shape))
    queries, expected = next(million_vectors(features, NUM_QUERIES, seed + 1000)), np.load(folder / "exact.npy")
    figures = {}
    for rerank in (0, 200, 300, 500, 1000):
        search.nearest(queries[:4], COUNT, rerank)
        seconds, found, cpu = [], [], time.process_time()
        for row in queries:
            start = time.perf_counter()
            found.append(search.nearest(row[None], COUNT, rerank)[0][0])
            seconds.append(time.perf_counter() - start)
        cpu = (time.process_time() - cpu) / len(queries)
        start = time.perf_counter()
        search.nearest(queries, COUNT, rerank)
        together = (time.perf_counter() - start) / len(queries)
        pairs = zip(found, expected, strict=True)
        recall = np.mean([len(set(row.tolist()) & set(best.tolist())) / COUNT for row, best in pairs])
        figures[f"rerank_{rerank}"] = {
            "recall_at_10": round(float(recall), 4),
            "median_ms": round(1e3 * float(np.median(seconds)), 2),
            "p95_ms": round(1e3 * float(np.percentile(seconds, 95)), 2),
            "cpu_ms": round(1e3 * cpu, 2),
            "ms_of_200_together": round(1e3 * together, 2),
        }
    return figures


PARTS = {"write": write, "exact": exact, "build": build, "query": query}


def million(folder: Path, file: Path) -> None:
    """Run each part in a process of its own, so that each has a peak of its own."""
    for seed in SEEDS:
        for part in PARTS:
            done = folder / f"million-{seed}-{part}.json"
            work = folder / f"million-{seed}"
            work.mkdir(parents=True, exist_ok=True)
            if not done.exists():
                command = [sys.executable, __file__, "part", part, str(work), str(file), str(seed), str(done)]
                subprocess.run(command, check=True)
            print(seed, part, done.read_text(), flush=True)
        for name in ("vectors.npy", "faiss.index", "exact.npy"):
            (work / name).unlink(missing_ok=True)


def run_part(part: str, work: Path, file: Path, seed: int, done: Path) -> None:
    for name in {"write": ["vectors.npy"], "build": ["faiss.index"]}.get(part, []):
        (work / name).unlink(missing_ok=True)  # of a part that was stopped
    start = time.perf_counter()
    figures = PARTS[part](work, read_features(file), seed)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    figures |= {"seconds": round(time.perf_counter() - start, 1), "peak_gb": round(peak, 2)}
    done.write_text(json.dumps(figures) + "\n")


def tlkit(*words: object) -> str:
    command = [sys.executable, "-m", "tlkit", *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def classes(folder: Path, data: Path) -> None:
    """Validation images are looked for among training images, by features of three kinds."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in SEEDS:
        run = folder / f"lower-{seed}"
        if not (run / "DONE").exists():
            tlkit("finetune", data, "-o", run, "--freeze", "lower", "--seed", seed, "--no-report", "--quiet")
        sources = {"pixels": ("--descriptor", "pixels", "--seed", seed), "frozen": ("--seed", seed)}
        for name, options in (sources | {"lower": ("--run", run)}).items():
            done, index = folder / f"classes-{seed}-{name}.json", folder / f"{name}-{seed}.index"
            if not done.exists():
                if not index.exists():
                    tlkit("search", "index", data, "-o", index, "--quiet", *options)
                done.write_text(tlkit("search", "evaluate", index, "--subset", "validation", "--json"))
            figures = json.loads(done.read_text())
            print(
                seed, name, {key: figures[key] for key in ("precision_at_5", "hits", "retrieved", "map", "trained_on")}
            )


def main() -> None:
    command, *rest = sys.argv[1:]
    if command == "part":
        run_part(rest[0], Path(rest[1]), Path(rest[2]), int(rest[3]), Path(rest[4]))
    elif command == "million":
        million(Path(rest[0]), Path(rest[1]))
    else:
        classes(Path(rest[0]), Path(rest[1]))


if __name__ == "__main__":
    main()
