"""The X of an estimator as files: paths stay where they are, images in memory become files in a temporary folder."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tlkit.data.decode import MAX_MEGAPIXELS, is_deep, opened_upright
from tlkit.data.folder import ImageFolder
from tlkit.errors import ImageError, SamplesError
from tlkit.utils.parallel import count_workers, ordered_map

Sample = str | os.PathLike[str] | bytes | np.ndarray | Image.Image
EXPECTED = (
    "expected a list or array of paths, of bytes of image files, of Pillow images or of uint8 RGB arrays "
    "(height, width, 3); or one array (samples, height, width, 3)"
)


class ImageTags:
    """Tags for scikit-learn of an estimator that takes images; the first of its base classes."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def list_samples(X: Any) -> list[Sample]:
    """List the samples of X.

    Args:
        X: samples in any sequence, an array (samples,) or (samples, 1) of them, or uint8 (samples, height, width, 3)

    Raises:
        SamplesError: if it is nothing of that, or empty
    """
    if isinstance(X, str | os.PathLike | bytes | Image.Image) or not isinstance(X, Iterable):
        raise SamplesError(f"X is of type {type(X).__name__}; {EXPECTED}.")
    if hasattr(X, "toarray"):
        raise SamplesError(f"X is sparse; {EXPECTED}.")
    values = X.to_numpy() if hasattr(X, "to_numpy") else X
    if isinstance(values, np.ndarray) and values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]  # the column of a table
    samples = [_checked(value, index) for index, value in enumerate(values)]
    if not samples:
        raise SamplesError(f"X has 0 samples; {EXPECTED}.")
    return samples


def _checked(value: Any, index: int) -> Sample:
    """Check the type of one sample; SamplesError if it cannot be an image"""
    if isinstance(value, np.ndarray):
        if value.dtype != np.uint8 or value.ndim != 3 or value.shape[2] != 3 or not value.size:
            raise SamplesError(f"sample {index} of X is an array {value.dtype} {value.shape}; {EXPECTED}.")
    elif not isinstance(value, str | os.PathLike | bytes | Image.Image):
        raise SamplesError(f"sample {index} of X is of type {type(value).__name__}; {EXPECTED}.")
    sample: Sample = value
    return sample


def as_folder(samples: Sequence[Sample], folder: Path, max_megapixels: float = MAX_MEGAPIXELS) -> ImageFolder:
    """List samples as the images of one class, in their order.

    Args:
        folder: gets the files of images in memory
        max_megapixels: of an image in memory

    Raises:
        SamplesError
    """
    with ThreadPoolExecutor(count_workers()) as pool:
        write = partial(_as_file, folder=folder, max_megapixels=max_megapixels)
        files = list(ordered_map(pool, write, list(enumerate(samples))))
    try:
        root = os.path.commonpath([os.path.dirname(file) for file in files])  # noqa: PTH120 - no link is followed
    except ValueError:
        raise SamplesError("the files of X are on several drives; copy them to one.") from None
    return ImageFolder(
        root=Path(root),
        class_names=("samples",),
        paths=tuple(Path(os.path.relpath(file, root)).as_posix() for file in files),
        labels=np.zeros(len(files), np.int32),
        subsets=("",) * len(files),
    )


def _as_file(numbered: tuple[int, Sample], folder: Path, max_megapixels: float) -> str:
    """Give the absolute path of a sample; an image in memory is written without loss, under a hash of its pixels.

    So the order of the samples does not matter, and features of equal images are cached once.
    """
    index, sample = numbered
    if isinstance(sample, str | os.PathLike):
        return os.path.abspath(sample)  # noqa: PTH100 - no link is followed
    if isinstance(sample, bytes):
        return _write(folder, hashlib.sha256(sample).hexdigest(), lambda file: file.write_bytes(sample))
    try:
        image = Image.fromarray(np.ascontiguousarray(sample)) if isinstance(sample, np.ndarray) else sample
        image = opened_upright(image, max_megapixels)
    except ImageError as error:
        raise SamplesError(f"sample {index} of X {error}.") from None
    name = hashlib.sha256(f"{image.mode} {image.size} ".encode() + image.tobytes()).hexdigest()
    if is_deep(image):
        return _write(folder, f"{name}.tif", lambda file: image.save(file, "TIFF"))
    return _write(folder, f"{name}.png", lambda file: image.save(file, "PNG", compress_level=1))


def _write(folder: Path, name: str, write: Any) -> str:
    """Write a file under a name that no other thread uses, then under its own."""
    file = folder / name
    if not file.exists():
        new = folder / f"{os.urandom(8).hex()}.new"
        write(new)
        new.replace(file)
    return str(file)
