"""A first look at the files of a folder: what their headers say, and the options that follow from it."""

import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tlkit.cache.file_memory import FileMemory, file_state
from tlkit.cache.hash_table import RowKind
from tlkit.data.decode import open_upright, read_header, usual_range
from tlkit.data.image import ImageSpec
from tlkit.data.sources.files import first_bytes, read_file
from tlkit.distributed.workers import Workers, block_size, current_workers
from tlkit.errors import ImageError
from tlkit.utils.parallel import count_workers, in_chunks, ordered_map
from tlkit.utils.storage import PARALLEL_REQUESTS, Location, RemotePath

MAX_MEASURED = 256  # images whose shape, or whose gray values, are looked at
SENT_FILES = 20_000  # whose headers workers of a cluster read, where there are any; fewer are read here
MAX_CROPPED = 0.5  # of the typical image that `--resize auto` lets a crop cut off
NOTED_FRACTION = 0.05  # of images that lose more than that, above which a note is printed
EXTREMES = 1000  # one pixel in 1000, and one image in 100, do not count at either end
MIN_USE = 0.5  # of a usual range such as 12 bits: where images use so much of it, it is taken as a whole
ONE_FRAME_SUFFIXES = (".jpg", ".jpeg", ".bmp")  # which are believed of objects: to look at each takes two requests
ONE_FRAME = (b"\xff\xd8", b"BM")  # how files start that have 8 bits and one frame: JPEG and BMP
LOOKED_AT, WAS_READ, IS_IMAGE, IS_DEEP, IS_SERIES = 1, 2, 4, 8, 16  # flags: its start, its header; what this says
HEADERS = RowKind("headers", (("width", "<i8"), ("height", "<i8"), ("flags", "<u8")))
LIMITS = RowKind("limits", (("robust", "<f8", (2,)), ("extreme", "<f8", (2,)), ("are_integers", "<u8")))

Item = TypeVar("Item")


@dataclass(frozen=True)
class Survey:
    """Facts from the headers of a folder's files.

    Attributes:
        deep: gray images of more than 8 bits that may be trained on
        num_deep: all of them, held-out ones too
        num_series: files with several pages or frames
        cut_off: the fraction of each image that a central square leaves out, of a sample
    """

    deep: tuple[Location, ...]
    num_deep: int
    num_series: int
    cut_off: tuple[float, ...]

    @property
    def typical_cut_off(self) -> float:
        """The median of `cut_off`."""
        return float(np.median(self.cut_off)) if self.cut_off else 0.0

    @property
    def fraction_cut_in_half(self) -> float:
        """The fraction of the images that would lose more than `MAX_CROPPED`."""
        return float(np.mean([cut > MAX_CROPPED for cut in self.cut_off])) if self.cut_off else 0.0


def survey_files(files: Sequence[Location], subsets: Sequence[str]) -> Survey:
    """Read headers: of every file that could be deep or a series, and of a sample for the shape.

    Args:
        subsets: of each file, as its folder says
    """
    sampled = np.zeros(len(files), bool)
    sampled[list(sample_files(range(len(files))))] = True
    headers = np.zeros(len(files), HEADERS.dtype)
    known, rows = FileMemory(HEADERS).recall(files)
    headers[known] = rows
    unread = np.flatnonzero((headers["flags"] == 0) | sampled & (headers["flags"] & WAS_READ == 0)).tolist()
    looks = ((files[index], bool(sampled[index])) for index in unread)
    workers = current_workers() if len(unread) >= SENT_FILES else None
    found = _look_on_workers(workers, looks, len(unread)) if workers else look_at_headers(looks, _count_readers(files))
    for index, facts in zip(unread, found, strict=True):
        headers["width"][index], headers["height"][index], headers["flags"][index] = facts
    is_deep = headers["flags"] & IS_DEEP > 0
    shapes = headers[sampled & (headers["flags"] & IS_IMAGE > 0)][["width", "height"]].tolist()
    return Survey(
        deep=tuple(files[index] for index in np.flatnonzero(is_deep).tolist() if subsets[index] in ("", "train")),
        num_deep=int(is_deep.sum()),
        num_series=int((headers["flags"] & IS_SERIES > 0).sum()),
        cut_off=tuple(1 - min(shape) / max(shape) for shape in shapes),
    )


Look = tuple[Location, bool]  # a file, and whether its header is read also where its name or start tells enough
Facts = tuple[int, int, int]  # width, height and flags


def look_at_headers(looks: Iterable[Look], readers: int) -> Iterator[Facts]:
    """Look at the starts of files, and at the headers of those that need it; remember what they say.

    Args:
        readers: threads that read
    """
    memory = FileMemory(HEADERS)

    def look(item: Look) -> Facts:
        """Look at a file."""
        file, is_sampled = item
        before = file_state(file)
        facts = _header_facts(file) if is_sampled or _may_be_more(file) else (0, 0, LOOKED_AT)
        memory.remember(before, *facts)
        return facts

    with ThreadPoolExecutor(readers) as pool:
        yield from ordered_map(pool, look, looks, ahead=4 * readers)
    memory.save()


class LookAtBlock:
    """One worker of a survey."""

    def __init__(self, readers: int) -> None:
        self._readers = readers

    def __call__(self, looks: list[Look]) -> list[Facts]:
        """Look at the headers of some files."""
        return list(look_at_headers(looks, self._readers))


def _look_on_workers(workers: Workers, looks: Iterable[Look], count: int) -> Iterator[Facts]:
    absolute = ((file.absolute() if isinstance(file, Path) else file, is_sampled) for file, is_sampled in looks)
    for found in workers.map(LookAtBlock, PARALLEL_REQUESTS, in_chunks(absolute, block_size(count, workers.count))):
        yield from found


def choose_pixels(resize: str, gray_range: str, survey: Survey | None) -> dict[str, Any]:
    """Resolve both options, by their names; they stay as they are where no header was read."""
    if survey is None:
        return {"resize": resize, "gray_range": gray_range}
    return {"resize": choose_resize(resize, survey), "gray_range": choose_gray_range(gray_range, survey)}


def fitted_to(survey: Survey, image: ImageSpec) -> ImageSpec:
    """Resolve what is open in a spec: its resize where that is "auto", and its range of gray."""
    low_high = measure_gray_range([*sample_files(survey.deep)]) if survey.deep else None
    return replace(image, resize=choose_resize(image.resize, survey), gray_range=image.gray_range or low_high)


def choose_resize(resize: str, survey: Survey) -> str:
    """Choose how images become square: "auto" pads where a crop would cut off more than half of the typical one."""
    if resize != "auto":
        return resize
    return "pad" if survey.typical_cut_off > MAX_CROPPED else "crop"


def choose_gray_range(gray_range: str, survey: Survey) -> str:
    """Choose the values that become black and white: as "LO,HI", or as it is where no image is deep.

    Args:
        gray_range: "full" for all that the files could hold, "auto" for what they do hold, or "LO,HI"
    """
    if not survey.deep or gray_range not in ("auto", "full"):
        return gray_range
    low, high = measure_gray_range([*sample_files(survey.deep)], is_full=gray_range == "full")
    return f"{low:.10g},{high:.10g}"


def measure_gray_range(files: Sequence[Location], is_full: bool = False) -> tuple[float, float]:
    """Measure one range of gray values for all images, which a few hot pixels and a few odd images do not change.

    Of each image the darkest and brightest thousandth is left out, at least two pixels; of the images then the
    darkest and brightest hundredth. Where at least half of a usual range is used, such as 12 bits, it is taken as a
    whole; else the limits are rounded, so that a few more images leave it as it is.

    Args:
        is_full: take all that 16 bits can hold, or of other numbers what is between the smallest and the largest
    """
    measured = [limits for limits in _limits_of(files) if limits]
    if not measured:
        return 0.0, 65535.0
    values = np.array([limits.robust for limits in measured])
    are_integers = all(limits.are_integers for limits in measured)
    if is_full:
        low, high = min(limits.extreme[0] for limits in measured), max(limits.extreme[1] for limits in measured)
        fits = are_integers and low >= 0 and high <= 65535
        return (0.0, 65535.0) if fits else (low, max(high, low + 1))
    low, high = _without_extremes(values[:, 0], 100)[0], _without_extremes(values[:, 1], 100)[1]
    usual = usual_range(low, high, are_integers)
    if usual and high - low >= MIN_USE * (usual[1] - usual[0]):
        return float(usual[0]), float(usual[1])
    return _rounded(low, high)


def brightest_values(files: Sequence[Location]) -> list[tuple[Location, float]]:
    """Measure the largest gray value of each image, without its brightest thousandth; unreadable ones are left out."""
    return [(file, limits.robust[1]) for file, limits in zip(files, _limits_of(files), strict=True) if limits]


def pixel_notes(survey: Survey | None, image: ImageSpec) -> list[str]:
    """Say what a person should know of how the files become squares."""
    if survey is None:
        return []
    notes = []
    if survey.num_deep and image.gray_range:
        low, high = image.gray_range
        notes.append(
            f"{survey.num_deep} images have gray values of more than 8 bits: {low:,.10g} becomes black and "
            f"{high:,.10g} white in all of them; --gray-range LO,HI sets other limits."
        )
    cut = survey.typical_cut_off
    if image.resize == "pad" and cut > MAX_CROPPED:
        notes.append(
            f"the images are padded to squares, because a crop would cut off {100 * cut:.0f} % of the typical one."
        )
    elif image.resize == "crop" and cut > MAX_CROPPED:
        notes.append(f"--resize crop cuts off {100 * cut:.0f} % of the typical image; --resize pad keeps all of it.")
    elif image.resize == "crop" and (long := survey.fraction_cut_in_half) > NOTED_FRACTION:
        long_images = f"more than half of {100 * long:.0f} % of the images"
        notes.append(f"--resize crop cuts off {long_images}; --resize pad keeps all of them.")
    if survey.num_series:
        notes.append(f"{survey.num_series} files hold several pages or frames; only the first of each is used.")
    return notes


def _count_readers(files: Sequence[Location]) -> int:
    """Count the threads that read: one per processor, or as many as an object store gets requests at a time."""
    return PARALLEL_REQUESTS if files and isinstance(files[0], RemotePath) else count_workers()


def sample_files(files: Sequence[Item]) -> Iterator[Item]:
    """Take at most `MAX_MEASURED` files, evenly spread."""
    step = max(1.0, len(files) / MAX_MEASURED)
    return (files[int(index * step)] for index in range(min(len(files), MAX_MEASURED)))


@dataclass(frozen=True)
class _Limits:
    """The smallest and largest gray value of an image: of nearly all pixels, and of all."""

    robust: tuple[float, float]
    extreme: tuple[float, float]
    are_integers: bool


def _limits_of(files: Sequence[Location]) -> list[_Limits | None]:
    """Find the limits of images, of those that have changed or are new by reading them."""
    memory = FileMemory(LIMITS)
    known, rows = memory.recall(files)
    limits = {
        index: _Limits(tuple(row["robust"].tolist()), tuple(row["extreme"].tolist()), bool(row["are_integers"]))
        for index, row in zip(known.tolist(), rows, strict=True)
    }

    def read(index: int) -> _Limits | None:
        """Read an image."""
        before, found = file_state(files[index]), _limits(files[index])
        if found:
            memory.remember(before, found.robust, found.extreme, found.are_integers)
        return found

    unread = [index for index in range(len(files)) if index not in limits]
    with ThreadPoolExecutor(readers := _count_readers(files)) as pool:
        measured = dict(zip(unread, ordered_map(pool, read, unread, ahead=4 * readers), strict=True))
    memory.save()
    return [limits.get(index) or measured.get(index) for index in range(len(files))]


def _limits(file: Location) -> _Limits | None:
    """Find the limits of an image; None if it cannot be read or has pixels that are not numbers."""
    try:
        gray = np.asarray(open_upright(read_file(file), 1)).ravel()
    except ImageError:
        return None
    if not np.isfinite(gray).all():
        return None
    extreme = float(gray.min()), float(gray.max())
    return _Limits(_without_extremes(gray, EXTREMES), extreme, gray.dtype.kind in "iu")


def _without_extremes(values: np.ndarray, one_in: int) -> tuple[float, float]:
    """Find the smallest and largest value without the outermost: one in `one_in`, of 32 or more at least two."""
    drop = min(max(2, len(values) // one_in), len(values) // 16)
    ordered = np.partition(values, (drop, len(values) - 1 - drop))
    return float(ordered[drop]), float(ordered[len(values) - 1 - drop])


def _rounded(low: float, high: float) -> tuple[float, float]:
    """Round outwards to a step of about a fiftieth of the range, 2 and zeros."""
    width = high - low if high > low else max(abs(high), 1.0) / 100
    step = 10.0 ** math.floor(math.log10(width / 50)) * 2
    return math.floor(low / step) * step, math.ceil((low + width) / step) * step


def _header_facts(file: Location) -> tuple[int, int, int]:
    """Read the width, the height and the flags of a file."""
    if not (header := read_header(file)):
        return 0, 0, LOOKED_AT | WAS_READ
    flags = LOOKED_AT | WAS_READ | IS_IMAGE | IS_DEEP * header.is_deep | IS_SERIES * header.is_series
    return *header.size, flags


def _may_be_more(file: Location) -> bool:
    """Tell whether a file could be deep or hold several frames: from its first bytes, of an object from its name."""
    if isinstance(file, RemotePath) and file.suffix:
        return file.suffix.lower() not in ONE_FRAME_SUFFIXES
    start = first_bytes(file, 2)
    return bool(start) and not start.startswith(ONE_FRAME)
