"""One pass over the files: read, hash, decode and run the frozen network, on every core at once.

Each thread takes a few files, decodes them and runs its own session on them; no queue lies between.
While the engine is still being prepared, files are decoded ahead: all where a child process prepares it, the large
ones while this process imports TensorFlow.

With `use_workers` the same is done elsewhere, block by block: a worker writes the features of its files into the
store, whose shards are named by their content, and gives back what is small.
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

from tlkit.cache.file_memory import HASHES, FileMemory, FileState, file_state
from tlkit.cache.folder import cache_dir, cache_origin, claim_cache
from tlkit.cache.hash_table import as_hashes
from tlkit.data.augment import AugmentedViews, ViewTransform
from tlkit.data.duplicates import group_images
from tlkit.data.folder import ImageFolder
from tlkit.data.image import DecodedImage, ImageSpec, decode_image
from tlkit.data.sources.files import read_each
from tlkit.distributed.workers import Workers, block_size, current_workers, note_work
from tlkit.engines.base import ThreadedRunner
from tlkit.errors import ImageError, ModelError
from tlkit.features.contents import MAX_IN_MEMORY, Contents, FileHashes, HashesOrError
from tlkit.features.extractor import FrozenExtractor, completed
from tlkit.features.shards import FeatureRecord
from tlkit.features.store import SHARD_BYTES, SHARD_ROWS, FeatureStore, as_half
from tlkit.features.stored import StoredFeatures
from tlkit.utils.parallel import CHUNK, count_workers, in_chunks, ordered_map, take_until
from tlkit.utils.progress import Advance, Progress
from tlkit.utils.storage import Location

AHEAD_BYTES = 512 << 20  # pixels held in memory while the engine is being prepared
HEAVY_BYTES = 256 << 10  # a file this large is decoded by Pillow's C code for long, which needs no interpreter

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
    work, workers = ExtractionPass(extractor, image, views), current_workers()
    with progress.stage(name or ("views" if views else "features"), len(folder), "images") as advance:
        if not extractor.done():
            progress.waiting("loading the network")
        if workers:
            extractor.result()  # workers need it; and what is cached can be told
        files = folder.files
        contents = work.recall(files)
        advance(contents.count)
        unread = np.flatnonzero(~contents.is_known)
        watch, left = (advance, progress), files[unread]
        rows = extract_on_workers(workers, work, left, watch) if workers else extract_here(work, left, advance)
        for position, row in zip(unread.tolist(), rows, strict=True):
            contents.put(position, row)
        work.finish()
    if workers:
        note_work(workers, progress)
    store = work.store_of(extractor.result())
    return Features(contents.readable(folder, store), store, work.num_cached, views)


def extract_here(work: "ExtractionPass", files: Sequence[Location], advance: Advance) -> Iterator[HashesOrError]:
    """Give hashes or a reason per file, in order, by the threads of this process."""
    with ThreadPoolExecutor(count_workers()) as pool:
        try:
            yield from store_new_rows(work, extract_all(pool, work, files, advance))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


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

    def remember_files(self) -> None:
        """Keep what the files hold."""
        self._hashes.save()

    def finish(self) -> None:
        """Keep what the files hold, and put the store in order."""
        self.remember_files()
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


def store_new_rows(work: ExtractionPass, results: Iterator[RowOrError]) -> Iterator[HashesOrError]:
    """Pass the hashes on, and write new rows shard by shard."""
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
        yield FileHashes(result.sha256, result.digest)
    work.store_of(work.extractor.result()).add(list(new.values()))


@dataclass(frozen=True)
class ExtractionSpec:
    """All that a worker needs to read files as this process would.

    Attributes:
        extractor: the frozen network; its engine travels with the bytes of its file
        image, views: as `extract` takes them
    """

    extractor: FrozenExtractor
    image: ImageSpec
    views: ViewTransform | None


class ExtractBlock:
    """One worker of a pass."""

    def __init__(self, spec: ExtractionSpec) -> None:
        self._work = ExtractionPass(completed(spec.extractor), spec.image, spec.views)

    def __call__(self, files: list[Location]) -> list[HashesOrError]:
        """Read some files and store their features; give their hashes, or why a file cannot be read."""
        rows = store_new_rows(self._work, chain.from_iterable(map(self._work.process, in_chunks(files, CHUNK))))
        done = list(rows)
        self._work.remember_files()
        return done


def extract_on_workers(
    workers: Workers, work: ExtractionPass, files: Sequence[Location], watch: tuple[Advance, Progress]
) -> Iterator[HashesOrError]:
    """Give hashes or a reason per file, in order; the features are then in the store.

    Args:
        watch: show the progress

    Raises:
        ModelError: if they are not, because workers write elsewhere or their disk is full
    """
    spec = ExtractionSpec(work.extractor.result(), work.image, work.views)
    watch[1].waiting("starting workers")
    store, hashes = work.store_of(spec.extractor), [np.empty((0, 32), np.uint8)]
    blocks = in_chunks(
        [file.absolute() if isinstance(file, Path) else file for file in files],
        block_size(len(files), workers.count) if len(files) else 1,
    )
    for rows in workers.map(ExtractBlock, spec, blocks):
        watch[0](len(rows))
        watch[1].waiting(workers.describe("images"))
        hashes.append(as_hashes([row.sha256 for row in rows if isinstance(row, FileHashes)]))
        yield from rows
    computed = np.concatenate(hashes)
    work.num_cached += len(store.find_positions(computed))
    store.refresh()
    if lost := len(computed) - len(store.find_positions(computed)):
        raise ModelError(
            f"the features of {lost:,} of {len(computed):,} images are not in the cache "
            f"'{cache_origin() or cache_dir()}', although workers have computed them; expected storage with free "
            "space that all workers and this machine share: set TLKIT_CACHE to it."
        )


def _record(image: DecodedImage, values: np.ndarray) -> FeatureRecord:
    assert image.appearance is not None
    return FeatureRecord(image.sha256, image.digest, image.appearance, values)
