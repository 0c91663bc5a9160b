"""A first look at the files of a folder: what their headers say, and the options that follow from it."""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.data.decode import Header, open_upright, read_file, read_header, usual_range
from tlkit.data.image import ImageSpec
from tlkit.errors import ImageError
from tlkit.utils.parallel import count_workers, ordered_map

MAX_MEASURED = 256  # images whose shape, or whose gray values, are looked at
MAX_CROPPED = 0.5  # of the typical image that `--resize auto` lets a crop cut off
NOTED_FRACTION = 0.05  # of images that lose more than that, above which a note is printed
EXTREMES = 1000  # one pixel in 1000, and one image in 100, do not count at either end
MIN_USE = 0.5  # of a usual range such as 12 bits: where images use so much of it, it is taken as a whole
ONE_FRAME = (b"\xff\xd8", b"BM")  # how files start that have 8 bits and one frame: JPEG and BMP


@dataclass(frozen=True)
class Survey:
    """Facts from the headers of a folder's files.

    Attributes:
        deep: gray images of more than 8 bits that may be trained on
        num_deep: all of them, held-out ones too
        num_series: files with several pages or frames
        cut_off: the fraction of each image that a central square leaves out, of a sample
    """

    deep: tuple[Path, ...]
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


def survey_files(files: Sequence[Path], subsets: Sequence[str]) -> Survey:
    """Read headers: of every file that could be deep or a series, and of a sample for the shape.

    Args:
        subsets: of each file, as its folder says
    """
    sampled = set(sample_files(files))

    def header(file: Path) -> Header | None:
        """Read the header of a file that needs a look."""
        return read_header(file) if file in sampled or _may_be_more(file) else None

    with ThreadPoolExecutor(count_workers()) as pool:
        headers = list(ordered_map(pool, header, files))
    found = [(file, subset, head) for file, subset, head in zip(files, subsets, headers, strict=True) if head]
    shapes = [head.size for file, _, head in found if file in sampled]
    deep = [(file, subset) for file, subset, head in found if head.is_deep]
    return Survey(
        deep=tuple(file for file, subset in deep if subset in ("", "train")),
        num_deep=len(deep),
        num_series=sum(head.is_series for _, _, head in found),
        cut_off=tuple(1 - min(shape) / max(shape) for shape in shapes),
    )


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


def measure_gray_range(files: Sequence[Path], is_full: bool = False) -> tuple[float, float]:
    """Measure one range of gray values for all images, which a few hot pixels and a few odd images do not change.

    Of each image the darkest and brightest thousandth is left out, at least two pixels; of the images then the
    darkest and brightest hundredth. Where at least half of a usual range is used, such as 12 bits, it is taken as a
    whole; else the limits are rounded, so that a few more images leave it as it is.

    Args:
        is_full: take all that 16 bits can hold, or of other numbers what is between the smallest and the largest
    """
    with ThreadPoolExecutor(count_workers()) as pool:
        measured = [limits for limits in ordered_map(pool, _limits, files) if limits]
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


def brightest_values(files: Sequence[Path]) -> list[tuple[Path, float]]:
    """Measure the largest gray value of each image, without its brightest thousandth; unreadable ones are left out."""
    with ThreadPoolExecutor(count_workers()) as pool:
        measured = zip(files, ordered_map(pool, _limits, files), strict=True)
        return [(file, limits.robust[1]) for file, limits in measured if limits]


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


def sample_files(files: Sequence[Path]) -> Iterator[Path]:
    """Take at most `MAX_MEASURED` files, evenly spread."""
    step = max(1.0, len(files) / MAX_MEASURED)
    return (files[int(index * step)] for index in range(min(len(files), MAX_MEASURED)))


@dataclass(frozen=True)
class _Limits:
    """The smallest and largest gray value of an image: of nearly all pixels, and of all."""

    robust: tuple[float, float]
    extreme: tuple[float, float]
    are_integers: bool


def _limits(file: Path) -> _Limits | None:
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


def _may_be_more(file: Path) -> bool:
    """Tell from its first bytes whether a file could be deep or hold several frames."""
    try:
        if not file.is_file():  # a pipe would wait for ever
            return False
        with file.open("rb") as opened:
            return not opened.read(2).startswith(ONE_FRAME)
    except OSError:
        return False
