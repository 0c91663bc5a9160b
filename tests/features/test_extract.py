"""One pass over the files: values, the second time, copies, files that cannot be read, late engines."""

import os
import shutil
import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from tests.making import encoded, noise
from tests.networks import keras, lively_body
from tlkit.cache.file_memory import reading_all_files
from tlkit.data.folder import read_folder
from tlkit.data.image import ImageSpec, decode_square
from tlkit.data.sources import files
from tlkit.engines.base import EngineSpec, IdentityEngine, run_in_batches
from tlkit.engines.factory import open_engine
from tlkit.engines.keras import KerasEngine, to_litert
from tlkit.errors import ModelError
from tlkit.features import extract as extraction
from tlkit.features.extract import are_heavy, extract
from tlkit.features.extractor import FrozenExtractor
from tlkit.features.store import FeatureKey
from tlkit.features.stored import StoredFeatures
from tlkit.utils.progress import Silent

pytestmark = pytest.mark.usefixtures("cache")

SIZE = 32
KEY = FeatureKey(1, ImageSpec(SIZE), "litert", "1", "float32", "ab", "conv1")
NUM_IMAGES = 21
PLAIN = ImageSpec(SIZE)


class Counting:
    """An engine that knows how often each of its inputs was computed."""

    def __init__(self, engine):
        self.engine, self.batch_size = engine, engine.batch_size
        self.computed, self.lock = Counter(), threading.Lock()

    def session(self):
        inner = self.engine.session()

        def run(rows):
            with self.lock:
                self.computed.update(row.tobytes() for row in rows if row.any())
            return inner(rows)

        return run

    @property
    def rows(self):
        """Images computed since the last time this was asked."""
        count, self.computed = sum(self.computed.values()), Counter()
        return count


@pytest.fixture(scope="module")
def network():
    """The first layers of a backbone and their average: 8 values per image."""
    from tlkit.models.cut import cut_points

    body = lively_body(image_size=SIZE)
    cut = next(cut for cut in cut_points(body) if cut.name == "conv1_relu")
    return keras.Model(body.input, keras.layers.GlobalAveragePooling2D()(cut.tensor))


@pytest.fixture(scope="module")
def small_engine(network, tmp_path_factory):
    file = tmp_path_factory.mktemp("engine") / "small.tflite"
    file.write_bytes(to_litert(network, pixels=True))
    return open_engine(EngineSpec("litert"), file)


@pytest.fixture
def engine(small_engine):
    return Counting(small_engine)


@pytest.fixture
def photos(tmp_path):
    root = tmp_path / "photos"
    for number in range(NUM_IMAGES):
        file = root / ("a" if number < 10 else "b") / f"{number:02d}.bmp"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encoded(noise(40, 50, number), "BMP"))
    return root


def ready(engine, key=KEY):
    future = Future()
    future.set_result(FrozenExtractor(engine, key))
    return future


def extracted(root, engine, image=PLAIN):
    is_ready = not isinstance(engine, Future)
    extractor = ready(engine, replace(KEY, image=image)) if is_ready else engine
    return extract(read_folder(root), extractor, image, Silent())


def expected_values(root, engine, paths, image=PLAIN):
    views = np.stack([decode_square((root / path).read_bytes(), image) for path in paths])
    return run_in_batches(engine, engine.session(), views)


def late(engine, seconds=0.3):
    """An extractor that is still being prepared."""
    pool = ThreadPoolExecutor(1)

    def prepare():
        time.sleep(seconds)
        return FrozenExtractor(engine, KEY)

    future = pool.submit(prepare)
    pool.shutdown(wait=False)
    return future


# values


def test_extract_gives_what_the_engine_gives_for_the_plain_view(photos, engine, small_engine):
    found = extracted(photos, engine)
    assert len(found.folder) == NUM_IMAGES
    expected = expected_values(photos, small_engine, found.folder.paths)
    np.testing.assert_array_equal(found.load(found.folder), expected)
    assert expected.std(axis=0).max() > 1e-3


def test_load_of_a_part_is_in_its_order(photos, engine):
    found = extracted(photos, engine)
    part = found.folder.subset([7, 20, 3])
    np.testing.assert_array_equal(found.load(part), found.load(found.folder)[[7, 20, 3]])


def test_open_holds_few_rows_in_memory_and_leaves_many_on_disk(photos, engine, monkeypatch):
    found = extracted(photos, engine)
    part = found.folder.subset([5, 3, 1])
    few = found.open(part)
    assert isinstance(few, np.ndarray)
    monkeypatch.setattr(extraction, "MAX_IN_MEMORY", few.nbytes - 1)
    many = found.open(part)
    assert isinstance(many, StoredFeatures)
    np.testing.assert_array_equal(many[:], few)
    np.testing.assert_array_equal(few, found.load(part))
    assert len(found.open(found.folder.subset([]))) == 0


def test_extract_by_litert_gives_what_keras_gives(photos, network, small_engine):
    with_litert = extracted(photos, small_engine)
    keras_key = replace(KEY, engine="keras")
    with_keras = extracted(photos, ready(KerasEngine(network), keras_key))
    np.testing.assert_allclose(
        with_litert.load(with_litert.folder), with_keras.load(with_keras.folder), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("resize", ["crop", "pad", "squash"])
def test_extract_passes_each_resize_to_the_engine(resize, photos, small_engine):
    found = extracted(photos, small_engine, ImageSpec(SIZE, resize))
    expected = expected_values(photos, small_engine, found.folder.paths, ImageSpec(SIZE, resize))
    np.testing.assert_array_equal(found.load(found.folder), expected)


def test_extract_identifies_files_by_their_bytes_and_their_pixels(photos, engine):
    (photos / "b/99.png").write_bytes(encoded(noise(40, 50, 3)))  # the pixels of a/03.bmp
    found = extracted(photos, engine).folder
    position = {path: row for row, path in enumerate(found.paths)}
    png, bmp = position["b/99.png"], position["a/03.bmp"]
    assert found.groups[png] == found.groups[bmp]
    assert found.sha256[png] != found.sha256[bmp]
    assert len(set(found.groups)) == NUM_IMAGES
    assert len(set(found.sha256)) == NUM_IMAGES + 1


# the second time


def test_extract_again_computes_nothing_and_gives_the_same(photos, engine):
    first = extracted(photos, engine)
    assert (first.num_cached, engine.rows) == (0, NUM_IMAGES)
    second = extracted(photos, engine)
    assert (second.num_cached, engine.rows) == (NUM_IMAGES, 0)
    np.testing.assert_array_equal(second.load(second.folder), first.load(first.folder))
    assert second.folder.sha256 == first.folder.sha256
    assert second.folder.groups == first.folder.groups


def test_extract_again_computes_nothing_even_where_the_engine_is_ready_late(photos, engine):
    first = extracted(photos, engine)
    assert engine.rows == NUM_IMAGES
    second = extracted(photos, late(engine))
    assert second.num_cached == NUM_IMAGES
    assert engine.rows == 0
    np.testing.assert_array_equal(second.load(second.folder), first.load(first.folder))


@pytest.fixture
def settled(monkeypatch):
    """Files count as unchanged at once, so that a test need not wait two seconds."""
    monkeypatch.setattr("tlkit.cache.file_memory.SETTLED_NS", -(10**9))


@pytest.fixture
def files_read(monkeypatch):
    """The names of the files that a pass reads."""
    names, read = [], files.read_file

    def noted(file):
        names.append(file.name)
        return read(file)

    monkeypatch.setattr(files, "read_file", noted)
    return names


def test_extract_again_reads_no_file_that_has_not_changed(photos, engine, settled, files_read):
    first = extracted(photos, engine)
    assert len(files_read) == NUM_IMAGES
    files_read.clear()
    (photos / "b/99.bmp").write_bytes((photos / "a/03.bmp").read_bytes())
    longer = photos / "a/05.bmp"
    longer.write_bytes(longer.read_bytes() + b"x")
    replaced = photos / "b/12.bmp"
    shutil.copy2(photos / "b/13.bmp", photos / "copy")
    (photos / "copy").replace(replaced)
    second = extracted(photos, engine)
    assert sorted(files_read) == ["05.bmp", "12.bmp", "99.bmp"]
    assert second.num_cached == NUM_IMAGES  # all but 05.bmp, and the copy
    row = dict(zip(second.folder.paths, second.load(second.folder), strict=True))
    np.testing.assert_array_equal(row["b/12.bmp"], row["b/13.bmp"])
    np.testing.assert_array_equal(row["b/99.bmp"], row["a/03.bmp"])
    kept = [position for position, path in enumerate(first.folder.paths) if path not in ("a/05.bmp", "b/12.bmp")]
    np.testing.assert_array_equal(
        [row[first.folder.paths[position]] for position in kept], first.load(first.folder)[kept]
    )


def test_extract_again_gives_the_folder_that_reading_gives(with_bad_files, engine, settled, files_read):
    first = extracted(with_bad_files, engine)
    again = extracted(with_bad_files, engine)
    assert sorted(set(files_read[NUM_IMAGES + len(BAD) :])) == sorted(path.split("/")[1] for path in BAD)
    for name in ("paths", "sha256", "digests", "groups", "skipped", "labels"):
        np.testing.assert_array_equal(getattr(again.folder, name), getattr(first.folder, name))
    assert again.folder.appearances.tobytes() == first.folder.appearances.tobytes()


def test_extract_reads_all_where_that_is_asked_for(photos, engine, settled, files_read):
    extracted(photos, engine)
    with reading_all_files():
        assert extracted(photos, engine).num_cached == NUM_IMAGES
    assert len(files_read) == 2 * NUM_IMAGES


def test_extract_of_unchanged_files_for_another_network_reads_them(photos, engine, settled, files_read):
    extracted(photos, engine)
    extract(read_folder(photos), ready(engine, replace(KEY, cut="other")), PLAIN, Silent())
    assert len(files_read) == 2 * NUM_IMAGES


def test_extract_after_one_changed_byte_computes_that_image_alone(photos, engine, small_engine):
    first = extracted(photos, engine)
    engine.computed.clear()
    file = photos / "b/13.bmp"
    before, content = file.stat(), bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = file.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    second = extracted(photos, engine)
    assert (second.num_cached, engine.rows) == (NUM_IMAGES - 1, 1)
    old, new = first.load(first.folder), second.load(second.folder)
    assert [row for row in range(NUM_IMAGES) if not np.array_equal(old[row], new[row])] == [13]
    np.testing.assert_array_equal(new, expected_values(photos, small_engine, second.folder.paths))


def test_extract_of_a_moved_or_renamed_image_computes_nothing(photos, engine):
    extracted(photos, engine)
    engine.computed.clear()
    (photos / "a/03.bmp").rename(photos / "b/new name.bmp")
    assert extracted(photos, engine).num_cached == NUM_IMAGES
    assert engine.rows == 0


def test_extract_with_another_resize_computes_all_anew(photos, engine):
    for resize in ("crop", "pad", "squash"):
        found = extracted(photos, engine, ImageSpec(SIZE, resize))
        assert (found.num_cached, engine.rows) == (0, NUM_IMAGES)


def test_extract_with_another_size_computes_all_anew(photos):
    pixels = Counting(IdentityEngine())
    for size in (32, 40):
        found = extracted(photos, pixels, ImageSpec(size))
        assert found.load(found.folder).shape == (NUM_IMAGES, size, size, 3)
        assert (found.num_cached, pixels.rows) == (0, NUM_IMAGES)


def test_extract_computes_a_damaged_shard_anew(photos, engine, cache):
    first = extracted(photos, engine)
    values = first.load(first.folder)  # read before: the file is memory-mapped
    engine.computed.clear()
    (shard,) = cache.rglob("*.npy")
    shard.write_bytes(shard.read_bytes()[:-1])
    second = extracted(photos, engine)
    assert (second.store.damaged, second.num_cached, engine.rows) == (1, 0, NUM_IMAGES)
    np.testing.assert_array_equal(second.load(second.folder), values)


def test_extract_computes_again_only_what_a_lost_shard_held(photos, engine, cache, monkeypatch):
    monkeypatch.setattr("tlkit.features.extract.SHARD_ROWS", 4)
    extracted(photos, engine)
    engine.computed.clear()
    shards = sorted(cache.rglob("*.npy"))
    assert sorted(len(np.load(shard)) for shard in shards) == [1, 4, 4, 4, 4, 4]
    lost = len(np.load(shards[0]))
    shards[0].unlink()
    assert extracted(photos, engine).num_cached == NUM_IMAGES - lost
    assert engine.rows == lost


def test_extract_without_a_writable_cache_gives_the_same(photos, engine, small_engine, cache):
    cache.write_text("a file where the folder should be")
    found = extracted(photos, engine)
    expected = expected_values(photos, small_engine, found.folder.paths)
    np.testing.assert_array_equal(found.load(found.folder), expected)


# copies


def test_extract_keeps_copies_of_a_file_once(photos, engine, cache):
    (photos / "b/99.bmp").write_bytes((photos / "a/03.bmp").read_bytes())
    found = extracted(photos, engine)
    assert len(found.folder) == NUM_IMAGES + 1
    values = dict(zip(found.folder.paths, found.load(found.folder), strict=True))
    np.testing.assert_array_equal(values["a/03.bmp"], values["b/99.bmp"])
    (shard,) = cache.rglob("*.npy")
    assert len(np.load(shard)) == NUM_IMAGES


def test_num_cached_does_not_count_copies_within_a_pass(photos, engine):
    (photos / "b/99.bmp").write_bytes((photos / "a/03.bmp").read_bytes())
    assert extracted(photos, engine).num_cached == 0
    assert extracted(photos, engine).num_cached == NUM_IMAGES + 1


# files that cannot be read


@pytest.fixture
def with_bad_files(photos):
    (photos / "a/00a.png").write_bytes(b"")
    (photos / "a/05a.jpg").write_bytes(b"no image at all")
    (photos / "b/15a.png").write_bytes(encoded(noise(40, 50))[:2000])
    (photos / "b/zz.txt").write_text("notes")
    return photos


BAD = ["a/00a.png", "a/05a.jpg", "b/15a.png", "b/zz.txt"]


def test_extract_skips_unreadable_files_with_their_reasons(with_bad_files, engine, small_engine):
    found = extracted(with_bad_files, engine)
    assert [problem.path for problem in found.folder.skipped] == BAD
    assert all(problem.reason for problem in found.folder.skipped)
    good = [f"{'a' if number < 10 else 'b'}/{number:02d}.bmp" for number in range(NUM_IMAGES)]
    assert list(found.folder.paths) == good
    assert found.folder.labels.tolist() == [0] * 10 + [1] * (NUM_IMAGES - 10)
    np.testing.assert_array_equal(found.load(found.folder), expected_values(with_bad_files, small_engine, good))
    assert engine.rows == NUM_IMAGES


def test_extract_skips_a_file_that_goes_away_while_it_runs(photos, engine):
    folder = read_folder(photos)
    (photos / "b/12.bmp").unlink()
    found = extract(folder, ready(engine), PLAIN, Silent())
    assert [(problem.path, problem.reason) for problem in found.folder.skipped] == [("b/12.bmp", "does not exist")]
    assert len(found.folder) == NUM_IMAGES - 1


def test_extract_of_bad_files_alone_leaves_none(tmp_path, engine):
    for name in ("a", "b"):
        (tmp_path / "bad" / name).mkdir(parents=True)
        (tmp_path / "bad" / name / "x.png").write_bytes(b"x")
    found = extracted(tmp_path / "bad", engine)
    assert (len(found.folder), len(found.folder.skipped)) == (0, 2)


# an engine that is still being prepared


@pytest.mark.parametrize("ahead", [1 << 29, 8 * 3 * SIZE**2, 1], ids=["all", "one chunk", "none"])
def test_extract_with_an_engine_that_is_ready_late_gives_the_same(
    ahead, with_bad_files, engine, small_engine, monkeypatch
):
    monkeypatch.setattr("tlkit.features.extract.AHEAD_BYTES", ahead)
    monkeypatch.setattr("tlkit.features.extract.HEAVY_BYTES", 0)
    found = extracted(with_bad_files, late(engine))
    assert [problem.path for problem in found.folder.skipped] == BAD
    expected = expected_values(with_bad_files, small_engine, found.folder.paths)
    np.testing.assert_array_equal(found.load(found.folder), expected)
    assert engine.rows == NUM_IMAGES


@pytest.mark.parametrize(("sizes", "expected"), [([], False), ([100], False), ([1 << 20], True), ([1 << 20, 0], True)])
def test_are_heavy_judges_by_the_sizes_of_files(sizes, expected, tmp_path):
    files = [tmp_path / f"{number}.jpg" for number in range(len(sizes))]
    for file, size in zip(files, sizes, strict=True):
        file.write_bytes(bytes(size))
    assert are_heavy([*files, tmp_path / "gone.jpg"]) == expected


@pytest.mark.parametrize("seconds", [0, 0.3])
def test_extract_raises_an_error_of_preparing_the_engine(seconds, photos):
    def fail():
        time.sleep(seconds)
        raise ModelError("no weights.")

    with ThreadPoolExecutor(1) as pool, pytest.raises(ModelError, match=r"no weights\."):
        extracted(photos, pool.submit(fail))


def test_extract_raises_an_error_of_the_engine_itself(photos, small_engine):
    class Broken:
        batch_size = 1

        def session(self):
            def run(rows):
                raise RuntimeError("out of memory")

            return run

    with pytest.raises(RuntimeError, match="out of memory"):
        extracted(photos, Broken())


def test_extract_counts_every_file_once(with_bad_files, engine):
    class Counted(Silent):
        total = done = 0

        @contextmanager
        def stage(self, name, total, unit):
            self.total = total

            def advance(count):
                self.done += count

            yield advance

    progress = Counted()
    extract(read_folder(with_bad_files), ready(engine), PLAIN, progress)
    assert progress.total == progress.done == NUM_IMAGES + len(BAD)
