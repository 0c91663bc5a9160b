"""One pass over the files: read, hash, decode and run the frozen network, on every core at once.

Each thread takes a few files, decodes them and runs its own session on them; no queue lies between.
While the engine is still being prepared, files are decoded ahead: all where a child process prepares it, the large
ones while this process imports TensorFlow.
"""

import hashlib
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from tlkit.data.appearance import APPEARANCE, Appearances
from tlkit.data.augment import AugmentedViews, ViewTransform
from tlkit.data.duplicates import group_images
from tlkit.data.folder import ImageFolder
from tlkit.data.image import DecodedImage, ImageSpec, decode_image
from tlkit.data.listing import FileEntry
from tlkit.data.sources.files import read_each
from tlkit.engines.base import ThreadedRunner
from tlkit.errors import ImageError
from tlkit.features.extractor import FrozenExtractor
from tlkit.features.shards import FeatureRecord
from tlkit.features.store import SHARD_BYTES, SHARD_ROWS, FeatureStore, as_half
from tlkit.features.stored import StoredAppearances, StoredFeatures
from tlkit.utils.cache import claim_cache
from tlkit.utils.file_memory import HASHES, FileMemory, FileState, file_state
from tlkit.utils.hash_table import HexColumn
from tlkit.utils.parallel import CHUNK, count_workers, in_chunks, ordered_map, take_until
from tlkit.utils.progress import Advance, Progress
from tlkit.utils.storage import Location

AHEAD_BYTES = 512 << 20  # pixels held in memory while the engine is being prepared
HEAVY_BYTES = 256 << 10  # a file this large is decoded by Pillow's C code for long, which needs no interpreter
MAX_IN_MEMORY = 256 << 20  # bytes of features or pixels that a training holds in memory

RowOrError = FeatureRecord | ImageError
Decoded = DecodedImage | FeatureRecord | ImageError


@dataclass(frozen=True)
class Features:
    """The result of one pass over a folder.

    Attributes:
        folder: the readable images, with their hashes and groups; the others are in its `skipped`
        store: the features of every image, by the hash of its file
        num_cached: images whose features an earlier run had computed
        views: what is cached of each image, None for the plain view alone
    """

    folder: ImageFolder
    store: FeatureStore
    num_cached: int
    views: ViewTransform | None = None

    def grouped(self) -> "Features":
        """Group near duplicates and related images, so that a split keeps them together."""
        return replace(self, folder=group_images(self.folder))

    def has(self, images: ImageFolder) -> bool:
        """Tell whether all these images are among those that were read."""
        return set(images.sha256) <= set(self.folder.sha256)

    def load(self, images: ImageFolder) -> np.ndarray:
        """Load the features of some of the images: (images, …), in their order."""
        return self.store.gather(images.sha256)

    def load_plain(self, images: ImageFolder) -> np.ndarray:
        """Load the view of some of the images that is not augmented: (images, …)."""
        if isinstance(self.views, AugmentedViews):
            return self.store.gather(images.sha256, np.zeros(len(images), np.int64))
        return self.load(images)

    def open(self, images: ImageFolder, max_bytes: int = 0) -> StoredFeatures | np.ndarray:
        """Give the same by position: in memory where they are few, else read from disk when they are asked for.

        Args:
            max_bytes: held in memory; `MAX_IN_MEMORY` where it is 0
        """
        num_views = self.views.count if isinstance(self.views, AugmentedViews) else 0
        stored = StoredFeatures(self.store, images.sha256, num_views)
        if num_views or not len(stored) or len(stored) * stored[:1].nbytes > (max_bytes or MAX_IN_MEMORY):
            return stored
        return stored[:]


def extract(
    folder: ImageFolder,
    extractor: Future[FrozenExtractor],
    image: ImageSpec,
    progress: Progress,
    views: ViewTransform | None = None,
    name: str = "",
) -> Features:
    """Read every image of a folder once and compute the features that are not cached yet.

    A file that has not changed since it was read, and whose features are cached, is not read.

    Args:
        extractor: the frozen network, perhaps still being prepared in another thread
        views: made of each image instead of the plain view; with `AugmentedViews` each row is (views, …)
        name: of the pass, where progress is shown

    Raises:
        Exception: every error of preparing the extractor
        OptionError: if the cache folder is not tlkit's
    """
    with suppress(OSError):  # where it cannot be written, nothing is cached
        claim_cache()
    work = ExtractionPass(extractor, image, views)
    with (
        progress.stage(name or ("views" if views else "features"), len(folder), "images") as advance,
        ThreadPoolExecutor(count_workers()) as pool,
    ):
        if not extractor.done():
            progress.waiting("loading the network")
        try:
            files = folder.files
            contents = work.recall(files)
            advance(contents.count)
            unread = np.flatnonzero(~contents.is_known)
            rows = store_new_rows(work, extract_all(pool, work, files[unread], advance))
            for position, row in zip(unread.tolist(), rows, strict=True):
                contents.put(position, row)
            work.finish()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    store = work.store_of(extractor.result())
    return Features(contents.readable(folder, store), store, work.num_cached, views)


class Contents:
    """Findings of a pass in its files, in arrays: an object for each would take half a kilobyte more."""

    def __init__(self, num_files: int) -> None:
        self.is_known = np.zeros(num_files, bool)
        self._sha256 = np.zeros((num_files, 32), np.uint8)
        self._digests = np.zeros((num_files, 16), np.uint8)
        self._errors = dict[int, str]()

    @property
    def count(self) -> int:
        """The number of files that were read or are known."""
        return int(self.is_known.sum())

    def put(self, position: int, row: RowOrError) -> None:
        """Add a file that was read."""
        self.is_known[position] = True
        if isinstance(row, ImageError):
            self._errors[position] = str(row)
        else:
            self._sha256[position] = np.frombuffer(bytes.fromhex(row.sha256), np.uint8)
            self._digests[position] = np.frombuffer(bytes.fromhex(row.digest), np.uint8)

    def put_many(self, positions: np.ndarray, sha256: np.ndarray, digests: np.ndarray) -> None:
        """Add files that need not be read."""
        self.is_known[positions], self._sha256[positions], self._digests[positions] = True, sha256, digests

    def readable(self, folder: ImageFolder, store: FeatureStore) -> ImageFolder:
        """Keep the images that could be read, with their hashes; the others are skipped with their reasons."""
        skipped = [FileEntry(folder.paths[position], reason) for position, reason in sorted(self._errors.items())]
        kept = np.delete(np.arange(len(folder)), list(self._errors))
        hashes = self._sha256[kept]
        looks: Appearances = StoredAppearances(store, hashes)
        if hashes.shape[0] * APPEARANCE.itemsize <= MAX_IN_MEMORY:
            looks = store.appearances(hashes)
        readable = folder.readable(kept).with_contents(HexColumn(hashes), HexColumn(self._digests[kept]), looks)
        return readable.with_skipped([*folder.skipped, *skipped])


class ExtractionPass:
    """The state that the threads of one pass share."""

    def __init__(self, extractor: Future[FrozenExtractor], image: ImageSpec, views: ViewTransform | None) -> None:
        self.extractor, self.image, self.views = extractor, image, views
        self.num_cached = 0
        self._hashes = FileMemory(HASHES)
        self._store: FeatureStore | None = None
        self._opening = threading.Lock()
        self._runner: ThreadedRunner | None = None

    def store_of(self, extractor: FrozenExtractor) -> FeatureStore:
        """Open the store of features, once."""
        with self._opening:
            key = replace(extractor.key, view=self.views.key) if self.views else extractor.key
            self._store = self._store or FeatureStore(key)
            return self._store

    def recall(self, files: Sequence[Location]) -> Contents:
        """Find the files that need not be read; while the extractor is being prepared, there are none."""
        contents = Contents(len(files))
        if self.extractor.done():
            store = self.store_of(self.extractor.result())
            known, rows = self._hashes.recall(files)
            found, digests = store.find_digests(rows["sha256"])
            self.num_cached += len(found)
            contents.put_many(known[found], rows["sha256"][found], digests)
        return contents

    def finish(self) -> None:
        """Keep what the files hold, and put the store in order."""
        self._hashes.save()
        self.store_of(self.extractor.result()).finish()

    def decode(self, files: list[Location]) -> list[Decoded]:
        """Give each file's pixels, or its features where they are cached, or why it cannot be read."""
        contents = zip(map(file_state, files), read_each(files), strict=True)  # each is looked at before it is read
        return [self._decode_content(before, data) for before, data in contents]

    def process(self, files: list[Location]) -> list[RowOrError]:
        """Decode and infer."""
        return self.infer(self.decode(files))

    def infer(self, decoded: list[Decoded]) -> list[RowOrError]:
        """Compute the features of decoded images, in this thread's own session."""
        decoded = [(self._find(item.sha256) or item) if isinstance(item, DecodedImage) else item for item in decoded]
        features = iter(self._run([item for item in decoded if isinstance(item, DecodedImage)]))
        return [_record(item, next(features)) if isinstance(item, DecodedImage) else item for item in decoded]

    def _decode_content(self, before: FileState | None, data: bytes | ImageError) -> Decoded:
        if isinstance(data, ImageError):
            return data
        try:
            digest = hashlib.sha256(data)
            self._hashes.remember(before, np.frombuffer(digest.digest(), np.uint8))
            return self._find(digest.hexdigest()) or decode_image(data, self.image, self.views)
        except ImageError as error:
            return error

    def _find(self, sha256: str) -> FeatureRecord | None:
        return self.store_of(self.extractor.result()).find(sha256) if self.extractor.done() else None

    def _run(self, images: list[DecodedImage]) -> list[np.ndarray]:
        if not images:
            return []
        with self._opening:
            self._runner = self._runner or ThreadedRunner(self.extractor.result().engine)
        pixels = np.stack([image.pixels for image in images])
        features = self._runner(pixels.reshape(-1, *pixels.shape[-3:]))
        features = features.reshape(*pixels.shape[:-3], *features.shape[1:])
        return [as_half(row) for row in features] if self.extractor.result().half else list(features)


def extract_all(
    pool: Executor, work: ExtractionPass, files: Sequence[Location], advance: Advance
) -> Iterator[RowOrError]:
    """Give features or a reason per file, in order."""
    chunks = in_chunks(files, CHUNK)
    image_bytes = 3 * work.image.size**2 * (work.views.count if work.views else 1)
    is_heavy = are_heavy(files)

    def should_wait() -> bool:
        """Tell whether decoding ahead has ended, or would slow the import of TensorFlow down."""
        return work.extractor.done() or ("tensorflow" in sys.modules and not is_heavy)

    early = take_until(chunks, should_wait, AHEAD_BYTES // (CHUNK * image_bytes))
    ahead = deque(ordered_map(pool, work.decode, early, ahead=max(1, count_workers() - 1)))  # a core for TensorFlow
    work.store_of(work.extractor.result())
    waiting = (ahead.popleft() for _ in range(len(ahead)))
    jobs: Iterator[Callable[[], list[RowOrError]]] = chain(
        (partial(work.infer, decoded) for decoded in waiting),
        (partial(work.process, chunk) for chunk in chunks),
    )
    for results in ordered_map(pool, lambda job: job(), jobs):
        advance(len(results))
        yield from results


def are_heavy(files: Sequence[Location]) -> bool:
    """Judge by the sizes of 64 files whether decoding ahead pays.

    The import of TensorFlow and the decoding of small files both want the interpreter lock and slow
    each other down (docs/decisions/008).
    """
    sizes = [
        file.stat().st_size for file in files[:: max(1, len(files) // 64)] if isinstance(file, Path) and file.is_file()
    ]
    return sum(sizes) > HEAVY_BYTES * len(sizes)


def store_new_rows(work: ExtractionPass, results: Iterator[RowOrError]) -> Iterator[RowOrError]:
    """Pass results on without their features, and write new rows shard by shard."""
    new: dict[str, FeatureRecord] = {}
    for result in results:
        if isinstance(result, ImageError):
            yield result
            continue
        store = work.store_of(work.extractor.result())
        work.num_cached += store.was_cached(result.sha256)
        if result.sha256 not in new and not store.find(result.sha256):
            new[result.sha256] = result
            if len(new) >= SHARD_ROWS or len(new) * result.values.nbytes >= SHARD_BYTES:
                store.add(list(new.values()))
                new = {}
        yield FeatureRecord(result.sha256, result.digest, result.appearance, np.empty(0))
    work.store_of(work.extractor.result()).add(list(new.values()))


def _record(image: DecodedImage, values: np.ndarray) -> FeatureRecord:
    assert image.appearance is not None
    return FeatureRecord(image.sha256, image.digest, image.appearance, values)
