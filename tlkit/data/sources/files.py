"""The bytes of images: of files, of objects in an object store, of members of shards."""

import hashlib
import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from tlkit.data.listing import describe_special_file
from tlkit.data.sources.members import is_member, read_member
from tlkit.errors import ImageError, StorageError, TlkitError
from tlkit.utils.files import sha256_file
from tlkit.utils.parallel import ordered_map
from tlkit.utils.storage import PARALLEL_REQUESTS, Location, RemotePath, open_stored, read_bytes

MAX_BYTES = 1 << 29


def read_file(path: Location) -> bytes:
    """Read a regular file, an object or a member of a shard, of at most `MAX_BYTES`; no pipe or device is opened.

    Raises:
        ImageError
        StorageError: if an object store fails, so that the images that are there are not known
    """
    if is_member(path):
        return read_member(path, MAX_BYTES)
    if isinstance(path, RemotePath):
        return _read_object(path)
    try:
        status = path.stat()
        if problem := describe_special_file(status.st_mode):
            raise ImageError(f"is {problem}")
        if status.st_size > MAX_BYTES:
            raise ImageError(f"is {status.st_size >> 20} MiB large; at most {MAX_BYTES >> 20} MiB are read")
        return path.read_bytes()
    except FileNotFoundError:
        raise ImageError("does not exist") from None
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot be read ({getattr(error, 'strerror', None) or error})") from None


def read_each(paths: Sequence[Location]) -> Iterator[bytes | ImageError]:
    """Read files in order; an error is given, not raised. Of an object store, several are fetched at a time.

    Raises:
        StorageError: as `read_file` does
    """

    def read(path: Location) -> bytes | ImageError:
        """Read one."""
        try:
            return read_file(path)
        except ImageError as error:
            return error

    if len(paths) < 2 or isinstance(paths[0], Path):
        yield from map(read, paths)
        return
    with ThreadPoolExecutor(min(PARALLEL_REQUESTS, len(paths))) as pool:
        yield from ordered_map(pool, read, paths, ahead=PARALLEL_REQUESTS)


def first_bytes(path: Location, count: int) -> bytes:
    """Read how a file begins; b"" where it cannot be read."""
    try:
        with open_file(path) as file:
            return file.read(count)
    except (OSError, TlkitError):
        return b""


def hash_of(path: Location) -> str:
    """Compute the SHA-256 of a file's bytes, in hexadecimal; "" where it cannot be read.

    Raises:
        StorageError: as `read_file` does
    """
    try:
        if isinstance(path, Path) and path.is_file():
            return sha256_file(path)
        return hashlib.sha256(read_file(path)).hexdigest()
    except (OSError, ImageError):
        return ""


def open_file(path: Location) -> BinaryIO:
    """Open a regular file, an object or a member of a shard.

    Raises:
        OSError, ImageError, StorageError
    """
    if is_member(path):
        return io.BytesIO(read_member(path, MAX_BYTES))
    if isinstance(path, Path) and (reason := describe_special_file(path.stat().st_mode)):
        raise ImageError(f"is {reason}")  # a pipe would wait for ever
    return open_stored(path)


def _read_object(path: RemotePath) -> bytes:
    try:
        return read_bytes(path, MAX_BYTES)
    except StorageError as error:
        if error.kind not in ("key", "large"):
            raise
        reason = "does not exist" if error.kind == "key" else f"is larger than {MAX_BYTES >> 20} MiB"
        raise ImageError(reason) from None
