"""Pairs of images, one a crop of the other.

The nearest images by features are candidates. Their thumbnails are laid over one another at a few scales and shifts;
what is alike there is looked at again, finely, in the files: one image is searched in the other at many scales, by the
normalized correlation of details (Lewis, *Fast normalized cross-correlation*, 1995).
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from tlkit.data.appearance import SIDE
from tlkit.data.decode import open_upright, to_rgb
from tlkit.data.duplicates import NearDuplicates, Pair, blur_matrix, details_of
from tlkit.data.sources.files import read_file
from tlkit.errors import ImageError
from tlkit.features.neighbors import nearest, unit_rows
from tlkit.utils.parallel import count_workers, ordered_map, single_threaded_blas
from tlkit.utils.storage import Location

NUM_NEAREST = 5  # images by features that are compared by pixels
SAME_FEATURES = 0.6  # cosine below which they are not
PARTS = (1.0, 0.95, 0.9)  # of a side, that a crop keeps
ALIKE = 0.65  # correlation of the details of thumbnails above which a pair is looked at finely
SAME_CROP = 0.84  # correlation of fine details above which one image is a crop of the other
BATCH = 2048  # pairs of thumbnails that are laid over one another at a time
MAX_PAIRS = 5000  # that are looked at finely
FINE_SIDE = 128  # pixels
FINE_PARTS = np.arange(1.0, 0.85, -0.01)
FINE_BLUR = blur_matrix(FINE_SIDE)


def find_crops(
    features: np.ndarray, thumbnails: np.ndarray, files: Sequence[Location], near: NearDuplicates
) -> list[Pair]:
    """Find pairs of images, one a crop of the other, mirrored ones too.

    Args:
        features: float32 (images, values)
        thumbnails: uint8 (images, 32, 32)
        files: of the images
        near: near duplicates by pixels, which are not looked at again
    """
    unit = unit_rows(features)
    left_out, known = set(near.series), {(pair.first, pair.second) for pair in near.pairs}
    candidates = {
        (min(position, other), max(position, other))
        for position, others in enumerate(nearest(features, NUM_NEAREST).tolist())
        for other in others
        if position not in left_out and other not in left_out and unit[position] @ unit[other] >= SAME_FEATURES
    }
    pairs = np.array(sorted(candidates - known), np.int64).reshape(-1, 2)
    starts = range(0, len(pairs), BATCH)
    scores = [score for start in starts for score in overlay_scores(thumbnails, pairs[start : start + BATCH]).tolist()]
    order = np.argsort(-np.array(scores, np.float32), kind="stable")[:MAX_PAIRS].tolist()
    alike = [(int(pairs[index, 0]), int(pairs[index, 1])) for index in order if scores[index] >= ALIKE]

    def confirm(pair: tuple[int, int]) -> float:
        """Score a pair finely."""
        try:
            return crop_score(_read_gray(files[pair[0]]), _read_gray(files[pair[1]]))
        except ImageError:  # it has changed meanwhile
            return 0.0

    with ThreadPoolExecutor(count_workers()) as pool, single_threaded_blas():
        confirmed = zip(alike, ordered_map(pool, confirm, alike), strict=True)
        return [Pair(first, second, min(score, 1.0)) for (first, second), score in confirmed if score >= SAME_CROP]


def overlay_scores(thumbnails: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Lay the images of each pair over one another, and give the best correlation of details: float32 (pairs,).

    Either image may be a crop of the other, at any place and mirrored.
    """
    first = details_of(thumbnails[pairs[:, 0]].astype(np.float32))
    second = details_of(thumbnails[pairs[:, 1]].astype(np.float32))
    best = np.full(len(pairs), -1, np.float32)
    for whole, part in ((first, second), (second, first)):
        details, mirrored = _unit(part), _unit(part[:, :, ::-1])
        for kept in PARTS:
            windows = WINDOWS[kept]
            for rows in windows:
                for columns in windows:
                    window = _unit(rows @ whole @ columns.T)
                    for other in (details, mirrored):
                        np.maximum(best, np.einsum("ij,ij->i", window, other), out=best)
    return best


def crop_score(first: np.ndarray, second: np.ndarray) -> float:
    """Search either image in the other, mirrored too, and give the best correlation of details, up to 1.

    Args:
        first, second: gray values, float32 (128, 128)
    """
    one, other = (gray - FINE_BLUR @ gray @ FINE_BLUR.T for gray in (first, second))
    scores = [
        score
        for whole, part in ((one, other), (other, one))
        for turned in (part, part[:, ::-1])
        for score in _search(whole, turned)
    ]
    return max(scores)


def _search(whole: np.ndarray, part: np.ndarray) -> Iterator[float]:
    """Give the best correlation at each scale."""
    transform = np.fft.rfft2(whole)
    sums, squares = (_cumulative(values) for values in (whole, whole**2))
    image = Image.fromarray(np.ascontiguousarray(part))
    for kept in FINE_PARTS:
        side = round(FINE_SIDE * kept)
        template = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR), np.float32)
        template = template - template.mean()
        padded = np.zeros_like(whole)
        padded[:side, :side] = template
        shifts = FINE_SIDE - side + 1
        products = np.fft.irfft2(transform * np.conj(np.fft.rfft2(padded)), s=whole.shape)[:shifts, :shifts]
        variances = _windowed(squares, side) - _windowed(sums, side) ** 2 / side**2
        norms = np.linalg.norm(template) * np.sqrt(np.maximum(variances, side**2 / 4))  # blank is like nothing
        yield float((products / np.maximum(norms, 1e-3)).max())


def _cumulative(values: np.ndarray) -> np.ndarray:
    sums: np.ndarray = np.pad(values.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    return sums


def _windowed(cumulative: np.ndarray, side: int) -> np.ndarray:
    """Sums over all windows of a side, from cumulative sums."""
    ends, starts = cumulative[side:], cumulative[:-side]
    sums: np.ndarray = ends[:, side:] - starts[:, side:] - ends[:, :-side] + starts[:, :-side]
    return sums


def _read_gray(file: Location) -> np.ndarray:
    """Decode a file to gray values: float32 (128, 128).

    Raises:
        ImageError
    """
    gray = to_rgb(open_upright(read_file(file), 2 * FINE_SIDE)).convert("L")
    return np.asarray(gray.resize((FINE_SIDE, FINE_SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0), np.float32)


def _windows(kept: float) -> list[np.ndarray]:
    """Matrices that enlarge a part of 32 values to 32, at offsets of about one value."""
    slack = SIDE * (1 - kept)
    matrices = []
    for offset in np.linspace(0, slack, round(slack) + 1 if slack else 1):
        centers = np.clip(offset + (np.arange(SIDE) + 0.5) * kept - 0.5, 0, SIDE - 1)
        left = np.minimum(centers.astype(int), SIDE - 2)
        weight = (centers - left).astype(np.float32)
        matrix = np.zeros((SIDE, SIDE), np.float32)
        matrix[np.arange(SIDE), left] = 1 - weight
        matrix[np.arange(SIDE), left + 1] = weight
        matrices.append(matrix)
    return matrices


WINDOWS = {kept: _windows(kept) for kept in PARTS}


def _unit(details: np.ndarray) -> np.ndarray:
    vectors = details.reshape(len(details), SIDE * SIDE)
    vectors = vectors - vectors.mean(axis=1, keepdims=True)
    norms = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), SIDE)  # blank images are like nothing
    unit: np.ndarray = vectors / norms
    return unit
