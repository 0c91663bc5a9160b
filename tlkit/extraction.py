"""One pass over the files: read, identify, decode and run the frozen network, on every core at once.

Each thread takes a few files, decodes them and runs its own session on them; no queue lies between.
While the engine is still being prepared (TensorFlow's import, conversion), large files are decoded ahead.
"""

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from tlkit.data.decode import read_file
from tlkit.data.folder import ImageFolder
from tlkit.data.listing import Found
from tlkit.data.pixels import Photo, decode_photo
from tlkit.engines.engine import Engine, RowRunner
from tlkit.errors import ImageError
from tlkit.features import SHARD_ROWS, FeatureKey, FeatureTable, Row
from tlkit.progress import Advance, Progress
from tlkit.workers import CHUNK, count_workers, in_chunks, ordered_map, until_done

AHEAD_BYTES = 512 << 20  # pixels held in memory while the engine is being prepared
HEAVY_BYTES = 256 << 10  # a file this large is decoded by Pillow's C code for long, which needs no interpreter

Outcome = Row | ImageError
Decoded = Photo | Row | ImageError


@dataclass(frozen=True)
class Lower:
    """The frozen part of a network, ready to run.

    key   what its features are kept under
    file  the converted network, where there is one
    """

    engine: Engine
    key: FeatureKey
    file: Path | None = None


@dataclass(frozen=True)
class Extracted:
    """What one pass found.

    folder   the readable images, with their hashes and groups; the others are on its `left_out`
    table    the features of every image, by the hash of its file
    reused   images whose features an earlier run had kept
    """

    folder: ImageFolder
    table: FeatureTable
    reused: int

    def values(self, part: ImageFolder) -> np.ndarray:
        """The features of some of the images: (images, …), in their order."""
        return self.table.gather(part.sha256)


def extract(folder: ImageFolder, lower: Future[Lower], size: tuple[int, str], progress: Progress) -> Extracted:
    """Read every image of a folder once and compute the features that are not kept yet.

    lower: the frozen network, perhaps still being prepared in another thread
    size: image size in pixels, and the resize mode
    raises: whatever preparing the lower network raised
    """
    work = _Pass(lower, *size)
    with progress.stage("features", len(folder), "images") as advance, ThreadPoolExecutor(count_workers()) as pool:
        try:
            outcomes = list(_kept(work, _outcomes(pool, work, folder.files, advance)))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return Extracted(_readable(folder, outcomes), work.table_of(lower.result()), work.reused)


class _Pass:
    """What the threads of one pass share."""

    def __init__(self, lower: Future[Lower], image_size: int, resize: str) -> None:
        self.lower, self.image_size, self.resize = lower, image_size, resize
        self.reused = 0
        self._table: FeatureTable | None = None
        self._opening = threading.Lock()
        self._runner: RowRunner | None = None

    def table_of(self, lower: Lower) -> FeatureTable:
        """The table of features, opened once."""
        with self._opening:
            self._table = self._table or FeatureTable(lower.key)
            return self._table

    def _find(self, sha256: str) -> Row | None:
        return self.table_of(self.lower.result()).find(sha256) if self.lower.done() else None

    def decode(self, files: list[Path]) -> list[Decoded]:
        """Each file's pixels, or its features where they are kept, or why it cannot be read."""
        return [self._decode_one(file) for file in files]

    def _decode_one(self, file: Path) -> Decoded:
        try:
            data = read_file(file)
            kept = self._find(hashlib.sha256(data).hexdigest())
            return kept or decode_photo(data, self.image_size, self.resize)
        except ImageError as error:
            return error

    def outcomes(self, files: list[Path]) -> list[Outcome]:
        """Decode and infer."""
        return self.infer(self.decode(files))

    def infer(self, decoded: list[Decoded]) -> list[Outcome]:
        """The features of decoded images, by this thread's own session."""
        decoded = [(self._find(item.sha256) or item) if isinstance(item, Photo) else item for item in decoded]
        photos = [item for item in decoded if isinstance(item, Photo)]
        values = iter(self._run(photos))
        return [Row(item.sha256, item.group, next(values)) if isinstance(item, Photo) else item for item in decoded]

    def _run(self, photos: list[Photo]) -> np.ndarray | tuple[()]:
        if not photos:
            return ()
        with self._opening:
            self._runner = self._runner or RowRunner(self.lower.result().engine)
        return self._runner(np.stack([photo.pixels for photo in photos]))


def _outcomes(pool: Executor, work: _Pass, files: list[Path], advance: Advance) -> Iterator[Outcome]:
    """Features or a reason per file, in order."""
    chunks = in_chunks(files, CHUNK)
    photo_bytes = 3 * work.image_size**2
    most = AHEAD_BYTES // (CHUNK * photo_bytes) if are_heavy(files) else 0
    early = until_done(chunks, work.lower, most)
    ahead = deque(ordered_map(pool, work.decode, early, ahead=max(1, count_workers() - 1)))  # a core for TensorFlow
    work.table_of(work.lower.result())
    waiting = (ahead.popleft() for _ in range(len(ahead)))
    jobs: Iterator[Callable[[], list[Outcome]]] = chain(
        (partial(work.infer, decoded) for decoded in waiting),
        (partial(work.outcomes, chunk) for chunk in chunks),
    )
    for outcomes in ordered_map(pool, lambda job: job(), jobs):
        advance(len(outcomes))
        yield from outcomes


def are_heavy(files: list[Path]) -> bool:
    """Whether decoding ahead pays: the import of TensorFlow and small files slow each other down.

    Both want the interpreter lock (docs/decisions/008); judged by the sizes of 64 files.
    """
    sizes = [file.stat().st_size for file in files[:: max(1, len(files) // 64)] if file.is_file()]
    return sum(sizes) > HEAVY_BYTES * len(sizes)


def _kept(work: _Pass, outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    """The same outcomes without their values, while fresh rows are written shard by shard."""
    fresh: dict[str, Row] = {}
    for outcome in outcomes:
        if isinstance(outcome, Row):
            fresh = _keep(work, outcome, fresh)
            yield Row(outcome.sha256, outcome.group, np.empty(0))
        else:
            yield outcome
    work.table_of(work.lower.result()).add(list(fresh.values()))


def _keep(work: _Pass, row: Row, fresh: dict[str, Row]) -> dict[str, Row]:
    """Note a row; returns those still to be written."""
    table = work.table_of(work.lower.result())
    work.reused += table.is_earlier(row.sha256)
    if row.sha256 in fresh or table.find(row.sha256):
        return fresh
    fresh[row.sha256] = row
    if len(fresh) < SHARD_ROWS:
        return fresh
    table.add(list(fresh.values()))
    return {}


def _readable(folder: ImageFolder, outcomes: list[Outcome]) -> ImageFolder:
    """The images that could be read, with what identifies them; the others with their reasons."""
    rows = [row for row, outcome in enumerate(outcomes) if isinstance(outcome, Row)]
    problems = [
        Found(path, str(outcome))
        for path, outcome in zip(folder.paths, outcomes, strict=True)
        if isinstance(outcome, ImageError)
    ]
    found = [outcome for outcome in outcomes if isinstance(outcome, Row)]
    return (
        folder.pick(rows)
        .identified([(row.sha256, row.group) for row in found])
        .leave_out([*folder.left_out, *problems])
    )
