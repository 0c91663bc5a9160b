"""Inputs to classify: files, folders, patterns, bytes, arrays, Pillow images and file objects."""

import glob
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from tlkit.data.image import DecodedImage, ImageSpec, decode_image, decode_square, prepare_image
from tlkit.data.layout import IMAGE_SUFFIXES
from tlkit.data.listing import FileEntry, is_ignored, list_files
from tlkit.data.sources.files import MAX_BYTES, read_each, read_file
from tlkit.data.sources.shards import SUFFIXES, images_in
from tlkit.errors import DataError, ImageError, ModelError, OptionError
from tlkit.utils.storage import Location, RemotePath, as_location, is_file, is_folder, is_remote

ImageInput = str | os.PathLike[str] | RemotePath | bytes | bytearray | memoryview | np.ndarray | Image.Image | BinaryIO
EXPECTED = (
    "expected a path, the bytes of an image file, a uint8 RGB array (height, width, 3), a Pillow image, "
    "a file opened with 'rb', or a list of these"
)


@dataclass(frozen=True)
class NamedInput:
    """One image to be classified.

    Attributes:
        name: its path, or what it is in angle brackets, such as "<array>"
        content: a file to be read, the bytes of one, or the square that was made of an image in memory
    """

    name: str
    content: Location | bytes | DecodedImage | ImageError

    def anywhere(self) -> "NamedInput":
        """Make the same input for a process in another folder."""
        return replace(self, content=self.content.absolute()) if isinstance(self.content, Path) else self

    def decode(self, spec: ImageSpec, identify: bool) -> DecodedImage | ImageError:
        """Make the square that a network sees; an error is returned, not raised.

        Args:
            identify: also compute the hashes of the file and of its pixels
        """
        if isinstance(self.content, DecodedImage | ImageError):
            return self.content
        try:
            data = self.content if isinstance(self.content, bytes) else read_file(self.content)
            return decode_image(data, spec) if identify else DecodedImage(decode_square(data, spec), "", "")
        except ImageError as error:
            return error


def fetched(inputs: list[NamedInput]) -> list[NamedInput]:
    """Read inputs that are objects of an object store, several at a time; others stay as they are.

    Raises:
        StorageError
    """
    objects = [item.content for item in inputs if isinstance(item.content, RemotePath)]
    contents = read_each(objects)
    return [replace(item, content=next(contents)) if isinstance(item.content, RemotePath) else item for item in inputs]


def name_input(given: ImageInput, spec: ImageSpec) -> NamedInput:
    """Take one image as it is given.

    What the caller may change or close after this call is read here: a file object, an array, a Pillow image.

    Raises:
        OptionError: if it is nothing that can be an image
    """
    if isinstance(given, str | os.PathLike | RemotePath):
        return NamedInput(str(given), as_location(given))
    if isinstance(given, bytes | bytearray | memoryview):
        return NamedInput("<bytes>", bytes(given))
    if isinstance(given, np.ndarray):
        return NamedInput("<array>", prepare_image(_array_image(given), spec))
    if isinstance(given, Image.Image):
        return NamedInput(_own_name(given, "filename") or "<image>", _prepare(given, spec))
    if hasattr(given, "read"):
        return NamedInput(_own_name(given, "name") or "<file>", _read(given))
    raise OptionError(f"an input is of type {type(given).__name__}; {EXPECTED}.")


def each_input(inputs: ImageInput | Iterable[ImageInput]) -> Iterator[ImageInput]:
    """Give inputs one by one, also where a single one is given; an array of several images is taken apart.

    Raises:
        OptionError: if it is neither an input nor several
    """
    is_single = isinstance(inputs, str | os.PathLike | RemotePath | bytes | bytearray | memoryview | Image.Image)
    if is_single or hasattr(inputs, "read") or (isinstance(inputs, np.ndarray) and inputs.ndim != 4):
        return iter([inputs])  # type: ignore[list-item]
    if not isinstance(inputs, Iterable):
        raise OptionError(f"the inputs are of type {type(inputs).__name__}; {EXPECTED}.")
    several: Iterable[Any] = inputs
    return iter(several)


def expand_inputs(inputs: Iterable[ImageInput]) -> Iterator[ImageInput]:
    """Give files one by one: of a folder every file in it, of a pattern what it matches; hidden and system names never.

    Of a shard every image in it is given. The same holds in an object store, where a URI that ends as an image does is
    taken as one without a request.

    A path that does not exist is given as it is, so that it becomes an error row. So is what is not a path.
    """
    for given in inputs:
        text = str(given) if isinstance(given, str | os.PathLike | RemotePath) else ""
        if is_remote(text) and as_location(text).suffix.lower() in IMAGE_SUFFIXES:
            yield given
        elif text and is_folder(text):
            folder = as_location(text)
            paths = (str(folder / entry.path) for entry in list_files(folder) if _is_row(entry))
            yield from _with_members(paths)
        elif not is_remote(text) and glob.has_magic(text) and not os.path.lexists(text):
            typed = Path(text).parts
            found = sorted(glob.glob(text, recursive=True))
            matches = [path for path in found if not any(map(is_ignored, set(Path(path).parts) - set(typed) - {".."}))]
            yield from expand_inputs(matches) if matches else [text]
        elif text:
            yield from _with_members([given])  # type: ignore[list-item]
        else:
            yield given


def _with_members(paths: Iterable[str | Location]) -> Iterator[str | Location]:
    """Give paths one by one, and in place of a shard the images in it; a damaged one is given as it is."""
    for path in paths:
        members = list[str]()
        if str(path).lower().endswith(SUFFIXES) and is_file(str(path)):
            with suppress(DataError, ModelError, OSError):  # damaged, or without the package for it
                members = images_in(as_location(path))
        yield from members
        if not members:
            yield path


def _is_row(entry: FileEntry) -> bool:
    """Tell whether an entry of a classified folder gets a row: regular files, and folders that may not be read."""
    return entry.reason is None or entry.reason.startswith("folder that")


def _array_image(array: np.ndarray) -> Image.Image:
    """Turn an array into an image; OptionError if it is not an RGB image of bytes"""
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise OptionError(
            f"an array is {array.dtype} {array.shape}; expected uint8 (height, width, 3), RGB from 0 to 255."
        )
    return Image.fromarray(np.ascontiguousarray(array))


def _prepare(image: Image.Image, spec: ImageSpec) -> DecodedImage | ImageError:
    try:
        return prepare_image(image, spec)
    except ImageError as error:
        return error


def _read(file: Any) -> bytes | ImageError:
    """Read a file object; OptionError if it gives text"""
    try:
        data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        return ImageError(f"cannot be read ({getattr(error, 'strerror', None) or error})")
    if not isinstance(data, bytes):
        raise OptionError("a file object gives text; open the file with mode 'rb'.")
    if len(data) > MAX_BYTES:
        return ImageError(f"is larger than {MAX_BYTES >> 20} MiB; that is the most that is read")
    return data


def _own_name(thing: Any, attribute: str) -> str:
    """Read the path that a file object or a Pillow image may know; "" where it knows none."""
    name = getattr(thing, attribute, "")
    return str(name) if isinstance(name, str | os.PathLike) else ""
