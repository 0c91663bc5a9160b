"""One pass over the files: read, identify, decode and run the frozen network, on every core at once.

Each thread takes a few files, decodes them and runs its own session on them; no queue lies between.
While the engine is still being prepared (TensorFlow's import, conversion), large files are decoded ahead.
"""

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from tlkit.data.augment import ViewMaker
from tlkit.data.decode import read_file
from tlkit.data.pixels import Photo, decode_photo
from tlkit.engines.engine import Engine, RowRunner
from tlkit.errors import ImageError
from tlkit.features import SHARD_BYTES, SHARD_ROWS, FeatureKey, FeatureTable, Row, as_half
from tlkit.progress import Advance
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
    half  whether its features are kept in float16
    """

    engine: Engine
    key: FeatureKey
    file: Path | None = None
    half: bool = False


class Pass:
    """What the threads of one pass share."""

    def __init__(self, lower: Future[Lower], image_size: int, resize: str, views: ViewMaker | None) -> None:
        self.lower, self.image_size, self.resize, self.views = lower, image_size, resize, views
        self.reused = 0
        self._table: FeatureTable | None = None
        self._opening = threading.Lock()
        self._runner: RowRunner | None = None

    def table_of(self, lower: Lower) -> FeatureTable:
        """The table of features, opened once."""
        with self._opening:
            key = replace(lower.key, view=self.views.key) if self.views else lower.key
            self._table = self._table or FeatureTable(key)
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
            return kept or decode_photo(data, self.image_size, self.resize, self.views)
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

    def _run(self, photos: list[Photo]) -> list[np.ndarray]:
        if not photos:
            return []
        with self._opening:
            self._runner = self._runner or RowRunner(self.lower.result().engine)
        stacked = np.stack([photo.pixels for photo in photos])
        values = self._runner(stacked.reshape(-1, *stacked.shape[-3:]))
        values = values.reshape(*stacked.shape[:-3], *values.shape[1:])
        return [as_half(row) for row in values] if self.lower.result().half else list(values)


def outcomes(pool: Executor, work: Pass, files: list[Path], advance: Advance) -> Iterator[Outcome]:
    """Features or a reason per file, in order."""
    chunks = in_chunks(files, CHUNK)
    photo_bytes = 3 * work.image_size**2 * (work.views.count if work.views else 1)
    most = AHEAD_BYTES // (CHUNK * photo_bytes) if are_heavy(files) else 0
    early = until_done(chunks, work.lower, most)
    ahead = deque(ordered_map(pool, work.decode, early, ahead=max(1, count_workers() - 1)))  # a core for TensorFlow
    work.table_of(work.lower.result())
    waiting = (ahead.popleft() for _ in range(len(ahead)))
    jobs: Iterator[Callable[[], list[Outcome]]] = chain(
        (partial(work.infer, decoded) for decoded in waiting),
        (partial(work.outcomes, chunk) for chunk in chunks),
    )
    for found in ordered_map(pool, lambda job: job(), jobs):
        advance(len(found))
        yield from found


def are_heavy(files: list[Path]) -> bool:
    """Whether decoding ahead pays: the import of TensorFlow and small files slow each other down.

    Both want the interpreter lock (docs/decisions/008); judged by the sizes of 64 files.
    """
    sizes = [file.stat().st_size for file in files[:: max(1, len(files) // 64)] if file.is_file()]
    return sum(sizes) > HEAVY_BYTES * len(sizes)


def kept(work: Pass, found: Iterator[Outcome]) -> Iterator[Outcome]:
    """The same outcomes without their values, while fresh rows are written shard by shard."""
    fresh: dict[str, Row] = {}
    for outcome in found:
        if isinstance(outcome, Row):
            fresh = _keep(work, outcome, fresh)
            yield Row(outcome.sha256, outcome.group, np.empty(0))
        else:
            yield outcome
    work.table_of(work.lower.result()).add(list(fresh.values()))


def _keep(work: Pass, row: Row, fresh: dict[str, Row]) -> dict[str, Row]:
    """Note a row; returns those still to be written."""
    table = work.table_of(work.lower.result())
    work.reused += table.is_earlier(row.sha256)
    if row.sha256 in fresh or table.find(row.sha256):
        return fresh
    fresh[row.sha256] = row
    if len(fresh) < SHARD_ROWS and len(fresh) * row.values.nbytes < SHARD_BYTES:
        return fresh
    table.add(list(fresh.values()))
    return {}
