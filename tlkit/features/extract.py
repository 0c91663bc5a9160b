"""One pass over the files: read, identify, decode and run the frozen network, on every core at once.

Each thread takes a few files, decodes them and runs its own session on them; no queue lies between.
While the engine is still being prepared (TensorFlow's import, conversion), large files are decoded ahead.
"""

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from tlkit.data.augment import AugmentedViews, ViewTransform
from tlkit.data.decode import read_file
from tlkit.data.folder import ImageFolder
from tlkit.data.image import DecodedImage, decode_image
from tlkit.data.listing import FileEntry
from tlkit.engines.base import ThreadedRunner
from tlkit.errors import ImageError
from tlkit.features.extractor import FeatureExtractor
from tlkit.features.store import (
    SHARD_BYTES,
    SHARD_ROWS,
    FeatureRecord,
    FeatureStore,
    StoredFeatures,
    as_half,
)
from tlkit.utils.files import claim_cache
from tlkit.utils.parallel import CHUNK, count_workers, in_chunks, ordered_map, take_until_done
from tlkit.utils.progress import Advance, Progress

AHEAD_BYTES = 512 << 20  # pixels held in memory while the engine is being prepared
HEAVY_BYTES = 256 << 10  # a file this large is decoded by Pillow's C code for long, which needs no interpreter

RowOrError = FeatureRecord | ImageError
Decoded = DecodedImage | FeatureRecord | ImageError


class ExtractionPass:
    """What the threads of one pass share."""

    def __init__(
        self, lower: Future[FeatureExtractor], image_size: int, resize: str, views: ViewTransform | None
    ) -> None:
        self.lower, self.image_size, self.resize, self.views = lower, image_size, resize, views
        self.reused = 0
        self._table: FeatureStore | None = None
        self._opening = threading.Lock()
        self._runner: ThreadedRunner | None = None

    def table_of(self, lower: FeatureExtractor) -> FeatureStore:
        """The table of features, opened once."""
        with self._opening:
            key = replace(lower.key, view=self.views.key) if self.views else lower.key
            self._table = self._table or FeatureStore(key)
            return self._table

    def _find(self, sha256: str) -> FeatureRecord | None:
        return self.table_of(self.lower.result()).find(sha256) if self.lower.done() else None

    def decode(self, files: list[Path]) -> list[Decoded]:
        """Each file's pixels, or its features where they are kept, or why it cannot be read."""
        return [self._decode_one(file) for file in files]

    def _decode_one(self, file: Path) -> Decoded:
        try:
            data = read_file(file)
            store_new_rows = self._find(hashlib.sha256(data).hexdigest())
            return store_new_rows or decode_image(data, self.image_size, self.resize, self.views)
        except ImageError as error:
            return error

    def outcomes(self, files: list[Path]) -> list[RowOrError]:
        """Decode and infer."""
        return self.infer(self.decode(files))

    def infer(self, decoded: list[Decoded]) -> list[RowOrError]:
        """The features of decoded images, by this thread's own session."""
        decoded = [(self._find(item.sha256) or item) if isinstance(item, DecodedImage) else item for item in decoded]
        photos = [item for item in decoded if isinstance(item, DecodedImage)]
        values = iter(self._run(photos))
        return [
            FeatureRecord(item.sha256, item.group, next(values)) if isinstance(item, DecodedImage) else item
            for item in decoded
        ]

    def _run(self, photos: list[DecodedImage]) -> list[np.ndarray]:
        if not photos:
            return []
        with self._opening:
            self._runner = self._runner or ThreadedRunner(self.lower.result().engine)
        stacked = np.stack([photo.pixels for photo in photos])
        values = self._runner(stacked.reshape(-1, *stacked.shape[-3:]))
        values = values.reshape(*stacked.shape[:-3], *values.shape[1:])
        return [as_half(row) for row in values] if self.lower.result().half else list(values)


def extract_all(pool: Executor, work: ExtractionPass, files: list[Path], advance: Advance) -> Iterator[RowOrError]:
    """Features or a reason per file, in order."""
    chunks = in_chunks(files, CHUNK)
    photo_bytes = 3 * work.image_size**2 * (work.views.count if work.views else 1)
    most = AHEAD_BYTES // (CHUNK * photo_bytes) if are_heavy(files) else 0
    early = take_until_done(chunks, work.lower, most)
    ahead = deque(ordered_map(pool, work.decode, early, ahead=max(1, count_workers() - 1)))  # a core for TensorFlow
    work.table_of(work.lower.result())
    waiting = (ahead.popleft() for _ in range(len(ahead)))
    jobs: Iterator[Callable[[], list[RowOrError]]] = chain(
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


def store_new_rows(work: ExtractionPass, found: Iterator[RowOrError]) -> Iterator[RowOrError]:
    """The same outcomes without their values, while fresh rows are written shard by shard."""
    fresh: dict[str, FeatureRecord] = {}
    for outcome in found:
        if isinstance(outcome, FeatureRecord):
            fresh = _store_row(work, outcome, fresh)
            yield FeatureRecord(outcome.sha256, outcome.group, np.empty(0))
        else:
            yield outcome
    work.table_of(work.lower.result()).add(list(fresh.values()))


def _store_row(work: ExtractionPass, row: FeatureRecord, fresh: dict[str, FeatureRecord]) -> dict[str, FeatureRecord]:
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


MAX_IN_MEMORY = 256 << 20  # of features or pixels that are held in memory while they are learnt from


@dataclass(frozen=True)
class Features:
    """What one pass found.

    folder   the readable images, with their hashes and groups; the others are on its `left_out`
    table    the features of every image, by the hash of its file
    reused   images whose features an earlier run had kept
    views    what is kept of each image, None for the plain view alone
    """

    folder: ImageFolder
    table: FeatureStore
    reused: int
    views: ViewTransform | None = None

    def values(self, part: ImageFolder) -> np.ndarray:
        """The features of some of the images: (images, …), in their order."""
        return self.table.gather(part.sha256)

    def rows(self, part: ImageFolder) -> StoredFeatures | np.ndarray:
        """The same by position: in memory where they are few, else left on disk until they are asked for."""
        store_new_rows = StoredFeatures(
            self.table, part.sha256, self.views.count if isinstance(self.views, AugmentedViews) else 0
        )
        if (
            isinstance(self.views, AugmentedViews)
            or not len(store_new_rows)
            or len(store_new_rows) * store_new_rows[:1].nbytes > MAX_IN_MEMORY
        ):
            return store_new_rows
        return store_new_rows[:]


def extract(
    folder: ImageFolder,
    lower: Future[FeatureExtractor],
    size: tuple[int, str],
    progress: Progress,
    views: ViewTransform | None = None,
    name: str = "",
) -> Features:
    """Read every image of a folder once and compute the features that are not kept yet.

    lower: the frozen network, perhaps still being prepared in another thread
    size: image size in pixels, and the resize mode
    views: what is made of each picture instead of the plain view; with `Views` each row is (views, …)
    name: what the pass is called where progress is shown
    raises: whatever preparing the lower network raised; OptionError where the cache folder is not tlkit's
    """
    with suppress(OSError):  # where it cannot be written, nothing is kept
        claim_cache()
    work = ExtractionPass(lower, *size, views)
    with (
        progress.stage(name or ("views" if views else "features"), len(folder), "images") as advance,
        ThreadPoolExecutor(count_workers()) as pool,
    ):
        try:
            found = list(store_new_rows(work, extract_all(pool, work, folder.files, advance)))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return Features(_readable(folder, found), work.table_of(lower.result()), work.reused, views)


def _readable(folder: ImageFolder, extract_all: list[RowOrError]) -> ImageFolder:
    """The images that could be read, with what identifies them; the others with their reasons."""
    rows = [row for row, outcome in enumerate(extract_all) if isinstance(outcome, FeatureRecord)]
    problems = [
        FileEntry(path, str(outcome))
        for path, outcome in zip(folder.paths, extract_all, strict=True)
        if isinstance(outcome, ImageError)
    ]
    found = [outcome for outcome in extract_all if isinstance(outcome, FeatureRecord)]
    return (
        folder.pick(rows)
        .identified([(row.sha256, row.group) for row in found])
        .leave_out([*folder.left_out, *problems])
    )
