"""Compressed or partial comparison of a query with many vectors, by FAISS: which index, how it is trained and searched.

| kind | what it does | memory a vector |
|---|---|---|
| flat | compares everything, without FAISS (`exact.py`) | none: vectors stay on disk |
| ivf | looks into the nearest of many cells (Sivic and Zisserman 2003) | 2 bytes a value |
| hnsw | walks along a graph of neighbors (Malkov and Yashunin 2018) | 2 bytes a value, 256 of links |
| pq | rounds parts of a vector to centers (Jégou 2011) | `--code-bytes` |
| opq-ivf-pq | rotates first, so that parts are alike (Ge 2013), then cells and codes | `--code-bytes`, 8 of a number |
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import IO, Any

import numpy as np

from tlkit.errors import OptionError, require
from tlkit.search.vectors import VectorFile

FLAT_BYTES = 256 << 20  # of float32 vectors up to which all are compared: 50,000 of 1,280 values in about 30 ms
IVF_BYTES = 1 << 30  # of float16 vectors up to which they are kept in memory
MAX_SAMPLE_BYTES = 256 << 20  # of vectors that an index is trained on
VECTORS_PER_CELL, MAX_CELLS = 40, 4096  # of the training sample; FAISS asks for 39
MIN_CODE_VECTORS = 256  # as many as there are centers
LINKS = 32  # of each vector in the graph of hnsw
CODE_VECTORS = 16_384  # that centers and rotations are fitted on, 64 for each center
ROUNDS, CODE_ROUNDS = 5, 10  # of fitting rotations, and centers; FAISS has 50 and 25, for little more recall
PROBED_CELLS, WALKED = 32, 128  # cells that a query looks into; vectors that it keeps while it walks
KINDS = ("flat", "ivf", "hnsw", "pq", "opq-ivf-pq")
CODED = ("pq", "opq-ivf-pq")  # whose distances are those of codes


def has_faiss() -> bool:
    """Tell whether FAISS is installed."""
    return find_spec("faiss") is not None


def choose_kind(shape: tuple[int, int], with_faiss: bool) -> str:
    """Choose the kind of an index by the memory that vectors need.

    Args:
        shape: vectors, values

    >>> choose_kind((10_000, 1280), True), choose_kind((200_000, 1280), True), choose_kind((1_000_000, 1280), True)
    ('flat', 'ivf', 'opq-ivf-pq')
    """
    num_vectors, num_values = shape
    if not with_faiss or 4 * num_vectors * num_values <= FLAT_BYTES:
        return "flat"
    return "ivf" if 2 * num_vectors * num_values <= IVF_BYTES else "opq-ivf-pq"


def check_kind(kind: str, shape: tuple[int, int], code_bytes: int) -> None:
    """Check that an index of this kind can be made of so few vectors, and of such vectors.

    Raises:
        OptionError
        ModelError: if FAISS is missing
    """
    if kind == "flat":
        return
    require("faiss", "search", f"--index {kind}")
    if kind in CODED and shape[0] < MIN_CODE_VECTORS:
        raise OptionError(
            f"--index {kind} is for {MIN_CODE_VECTORS} images or more, but there are {shape[0]:,}; use --index flat."
        )
    if kind in CODED and code_bytes > shape[1]:
        raise OptionError(
            f"--code-bytes is {code_bytes}; expected at most {shape[1]}, the number of values of a vector."
        )


@dataclass(frozen=True)
class Plan:
    """Plan of an index.

    Attributes:
        factory: as FAISS's `index_factory` reads it
        num_cells: of ivf; 0 for none
        sample: number of vectors that it is trained on
    """

    factory: str
    num_cells: int
    sample: int


def plan_index(kind: str, shape: tuple[int, int], code_bytes: int) -> Plan:
    """Plan an index.

    >>> plan_index("opq-ivf-pq", (1_000_000, 1280), 32)
    Plan(factory='OPQ32_128,IVF1024,PQ32np', num_cells=1024, sample=52428)
    """
    num_vectors, num_values = shape
    max_sample = max(MIN_CODE_VECTORS, MAX_SAMPLE_BYTES // (4 * num_values))
    cells = min(num_vectors, max_sample) // VECTORS_PER_CELL
    cells = 1 << (max(1, min(cells, MAX_CELLS, 2 * round(num_vectors**0.5))).bit_length() - 1)
    parts = max(number for number in range(1, code_bytes + 1) if num_values % number == 0)
    rotated = min(4 * code_bytes, num_values // code_bytes * code_bytes)
    factories = {  # "np": without polysemous training, which takes minutes and serves a search that is not used here
        "ivf": (f"IVF{cells},SQfp16", cells),
        "hnsw": (f"HNSW{LINKS},SQfp16", 0),
        "pq": (f"PQ{parts}np", 0),
        "opq-ivf-pq": (f"OPQ{code_bytes}_{rotated},IVF{cells},PQ{code_bytes}np", cells),
    }
    factory, num_cells = factories[kind]
    return Plan(factory, num_cells, min(num_vectors, max_sample))


def train_index(kind: str, vectors: VectorFile, code_bytes: int, seed: int) -> Any:
    """Make an index and train it on a sample of the vectors; it is still empty.

    Raises:
        OptionError, ModelError
    """
    import faiss

    plan = plan_index(kind, vectors.shape, code_bytes)
    index = faiss.index_factory(vectors.shape[1], plan.factory, faiss.METRIC_L2)
    _limit_training(index, seed)
    random = np.random.default_rng(seed)
    positions = np.sort(random.choice(vectors.shape[0], plan.sample, replace=False))
    index.train(vectors.rows(positions))
    return index


def fill_index(index: Any, vectors: VectorFile, start: int, advance: Callable[[int], None]) -> None:
    """Add vectors from a position on, block by block.

    Args:
        advance: told of the number of vectors that are added
    """
    for _, block in vectors.blocks(start):
        index.add(block)
        advance(len(block))


def nearest_candidates(index: Any, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Find vectors that are probably the nearest.

    Returns:
        positions int64, -1 where too few are found, and squared distances of codes, each (queries, count)
    """
    import faiss

    inner = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexPreTransform) else index
    if isinstance(inner, faiss.IndexIVF):
        inner.nprobe = min(inner.nlist, PROBED_CELLS)
    if isinstance(inner, faiss.IndexHNSW):
        inner.hnsw.efSearch = max(WALKED, count)
    distances, positions = index.search(np.ascontiguousarray(queries, np.float32), count)
    return positions, distances


def write_faiss(index: Any, file: IO[bytes]) -> None:
    """Write an index to a file that is open."""
    faiss: Any = import_module("faiss")

    writer = faiss.PyCallbackIOWriter(file.write)
    faiss.write_index(index, faiss.BufferedIOWriter(writer))


def read_faiss(file: io.BufferedReader, shape: tuple[int, int]) -> Any:
    """Read an index from a file that is open; FAISS does so in C++, so the caller has checked the file's hash.

    Args:
        shape: that it must have: vectors, values

    Raises:
        ValueError: if it is not such an index
    """
    faiss: Any = import_module("faiss")

    try:
        index = faiss.read_index(faiss.BufferedIOReader(faiss.PyCallbackIOReader(file.read)))
    except RuntimeError as error:
        raise ValueError(f"it is damaged: {str(error).splitlines()[0][:100]}") from None
    if (index.ntotal, index.d) != shape:
        raise ValueError(f"it is damaged: it has {index.ntotal:,} vectors of {index.d:,} values")
    return index


def _limit_training(index: Any, seed: int) -> None:
    """Give k-means its seed, and let rotations and centers take seconds instead of minutes."""
    faiss: Any = import_module("faiss")

    if isinstance(index, faiss.IndexPreTransform):
        rotation = faiss.downcast_VectorTransform(index.chain.at(0))
        rotation.niter, rotation.niter_pq_0, rotation.niter_pq = ROUNDS, CODE_ROUNDS, 2
        rotation.max_train_points = CODE_VECTORS
        index = faiss.downcast_index(index.index)
    if isinstance(index, faiss.IndexIVF):
        index.cp.seed, index.cp.min_points_per_centroid = seed + 1, 1  # the plan has enough of them
    if hasattr(index, "pq"):
        centers = index.pq.cp
        centers.seed, centers.min_points_per_centroid = seed + 1, 1
        centers.niter, centers.max_points_per_centroid = CODE_ROUNDS, CODE_VECTORS // MIN_CODE_VECTORS
