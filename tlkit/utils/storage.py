"""Files on this machine and in object stores: what is there, reading, listing, writing new ones."""

import io
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, NamedTuple

from tlkit.errors import OptionError, StorageError
from tlkit.utils.files import TEXT, check_new_file, open_new, write_new
from tlkit.utils.locations import Location, RemotePath, as_location, is_remote
from tlkit.utils.object_stores import explaining, missing_key, open_filesystem, require_bucket

if TYPE_CHECKING:
    from pyarrow import fs

__all__ = [  # with what the modules below have, so that one import is enough
    "Location",
    "RemotePath",
    "StoredFile",
    "as_location",
    "check_new_location",
    "exists",
    "is_file",
    "is_folder",
    "is_remote",
    "kind_of",
    "list_files_below",
    "listed_state",
    "open_filesystem",
    "open_new_location",
    "open_stored",
    "put_file",
    "put_new",
    "read_bytes",
    "refuse_inside",
    "remove_stored",
    "require_existing",
]
PARALLEL_REQUESTS = 16  # requests to an object store at a time
BUFFER_BYTES = 1 << 16
PUT_BYTES = 8 << 20  # of a large file at a time

_listed = dict[str, tuple[int, int]]()  # size and time of the objects that this process has listed, by URI


class StoredFile(NamedTuple):
    """A file below a location.

    Attributes:
        path: relative to the location, with "/"
        size: in bytes
        mtime_ns: when it was written, in nanoseconds since 1970; 0 where the store does not say
        etag: of its content; "" where pyarrow does not give one
    """

    path: str
    size: int
    mtime_ns: int
    etag: str


def is_folder(path: str | Location) -> bool:
    """Tell whether a location is a folder; `Path.is_dir` raises where a name is too long or a folder is closed.

    Raises:
        StorageError: if the object store or the bucket cannot be reached
    """
    return _is_one_of(path, ("folder",), os.path.isdir)


def is_file(path: str | Location) -> bool:
    """Tell whether a location is a file; `Path.is_file` raises where a name is too long or a folder is closed.

    Raises:
        StorageError: as `is_folder` does
    """
    return _is_one_of(path, ("file",), os.path.isfile)


def exists(path: str | Location) -> bool:
    """Tell whether anything is at a location; `Path.exists` raises where a name is too long or a folder is closed.

    Raises:
        StorageError: as `is_folder` does
    """
    return _is_one_of(path, ("file", "folder"), os.path.exists)


def _is_one_of(path: str | Location, kinds: Sequence[str], is_local: Callable[[Any], bool]) -> bool:
    location = as_location(path) if is_remote(path) else path
    return kind_of(location) in kinds if isinstance(location, RemotePath) else is_local(path)


def kind_of(path: RemotePath) -> str:
    """Tell what is at a URI: "file", "folder", or "" for nothing.

    Raises:
        StorageError: if there is no such bucket, credentials are refused, or the store cannot be reached
    """
    from pyarrow import fs

    with explaining(path):
        store, name = open_filesystem(path)
        kind = store.get_file_info(name).type
        if kind == fs.FileType.NotFound:
            require_bucket(path)
    return {fs.FileType.File: "file", fs.FileType.Directory: "folder"}.get(kind, "")


def require_existing(location: Location) -> None:
    """Check that something is at a URI; of a path, its own reader says that.

    Raises:
        StorageError: with a sentence for the bucket, the key, the credentials or the network
    """
    if isinstance(location, RemotePath) and not kind_of(location):
        raise missing_key(location)


def refuse_inside(root: str | Location, output: str | Location) -> None:
    """Refuse to write among the images, where the next command would read it as one.

    Raises:
        OptionError: if `output` would lie in the folder `root` or below
    """
    root, output = as_location(root), as_location(output)
    refusal = OptionError(f"'{output}' is inside the image folder '{root}'; choose another file with -o.")
    if isinstance(root, RemotePath) and isinstance(output, RemotePath) and output.is_relative_to(root):
        raise refusal
    if isinstance(root, RemotePath) or isinstance(output, RemotePath):
        return
    target = Path(os.path.realpath(output))
    for folder in (target, *target.parents):
        with suppress(OSError):  # it does not exist yet
            if folder.samefile(root):
                raise refusal


def read_bytes(location: Location, max_bytes: int) -> bytes:
    """Read a whole file of at most `max_bytes`.

    Raises:
        StorageError: if it is missing, too large, or the store cannot be reached
        OSError: the same, of a path
    """
    if isinstance(location, Path):
        with location.open("rb") as file:
            content = file.read(max_bytes + 1)
    else:
        with explaining(location):
            store, name = open_filesystem(location)
            with store.open_input_file(name) as stored:
                content = stored.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise StorageError(f"'{location}' is larger than {max_bytes >> 20} MiB; at most that is read.", "large")
    return content


def open_stored(location: Location) -> BinaryIO:
    """Open a file for reading at any position; of an object only what is asked for is fetched.

    Raises:
        StorageError: as `read_bytes` does; so does reading
        OSError
    """
    if isinstance(location, Path):
        return location.open("rb")
    return io.BufferedReader(_StoredObject(location), BUFFER_BYTES)


class _StoredObject(io.RawIOBase):
    """An object as a file of Python, whose errors are sentences."""

    def __init__(self, path: RemotePath) -> None:
        self._path, self._position = path, 0
        with explaining(path):
            store, name = open_filesystem(path)
            self._file = store.open_input_file(name)
            self._size = self._file.size()

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can be read at any position."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Choose the position of the next read."""
        self._position = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence])
        return self._position

    def tell(self) -> int:
        """Give the position of the next read."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer."""
        count = max(0, min(len(buffer), self._size - self._position))
        with explaining(self._path):
            content = self._file.read_at(count, self._position) if count else b""
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)

    def close(self) -> None:
        """Let go of the object."""
        if not self.closed:
            self._file.close()
        super().close()


def list_files_below(root: Location) -> Iterator[StoredFile]:
    """List all files below a folder, sorted by their paths; links are followed to files only.

    Of an object store, folders are listed one level after the other until they are enough for all threads; then each
    is listed with everything below it.

    Raises:
        StorageError: if there is no such bucket or folder, or the store cannot be reached
        OSError
    """
    if isinstance(root, Path):
        yield from sorted(_local_files(root))
        return
    for file in sorted(_stored_files(root)):
        _listed[f"{root}/{file.path}"] = file.size, file.mtime_ns
        yield file


def listed_state(path: RemotePath) -> tuple[int, int] | None:
    """Give the size of an object and when it was written, in nanoseconds; None where this process did not list it."""
    return _listed.get(path.uri)


def _local_files(root: Path) -> Iterator[StoredFile]:
    for folder, _, names in os.walk(root):
        for file in (Path(folder) / name for name in names):
            if file.is_file():
                status = file.stat()
                yield StoredFile(file.relative_to(root).as_posix(), status.st_size, status.st_mtime_ns, "")


def _stored_files(root: RemotePath) -> list[StoredFile]:
    from pyarrow import fs

    with explaining(root), ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        store, start = open_filesystem(root)

        def below(folder: str, recursive: bool) -> "list[fs.FileInfo]":
            """List one folder."""
            found: list[fs.FileInfo] = store.get_file_info(fs.FileSelector(folder, recursive=recursive))
            return found

        found, folders = list["fs.FileInfo"](), [start]
        while folders and len(folders) < PARALLEL_REQUESTS:
            level = [info for infos in pool.map(below, folders, [False] * len(folders)) for info in infos]
            folders = [info.path for info in level if info.type == fs.FileType.Directory]
            found += level
        for infos in pool.map(below, folders, [True] * len(folders)):
            found += infos
        return [
            StoredFile(info.path[len(start) + 1 :], info.size, info.mtime_ns or 0, "")
            for info in found
            if info.type == fs.FileType.File
        ]


def put_new(location: Location, content: bytes) -> None:
    """Write a new file in one piece: whole or absent, and never in the place of another.

    An object is put once, under its final name. Stores offer no way through pyarrow to refuse a name that another
    program takes between the look and the put.

    Raises:
        OptionError: if a path exists
        StorageError: if an object exists, or cannot be written
        WriteError
    """
    if isinstance(location, Path):
        write_new(location, content)
        return
    if kind_of(location):
        raise StorageError(f"'{location}' already exists; choose another name with -o.", "taken")
    with explaining(location):
        store, name = open_filesystem(location)
        with store.open_output_stream(name) as stream:
            stream.write(content)


def put_file(path: RemotePath, file: Path) -> None:
    """Put a file into the store piece by piece; the object appears when all of it is there, in the place of another.

    Raises:
        OSError: if the file cannot be read
        StorageError: if the object cannot be written
    """
    with file.open("rb") as opened, explaining(path):
        store, name = open_filesystem(path)
        with store.open_output_stream(name) as stream:
            while piece := opened.read(PUT_BYTES):
                stream.write(piece)


def remove_stored(path: RemotePath) -> None:
    """Remove an object that tlkit has put; one that is not there is as good as removed.

    Raises:
        StorageError
    """
    with explaining(path), suppress(FileNotFoundError):
        store, name = open_filesystem(path)
        store.delete_file(name)


def check_new_location(location: Location) -> None:
    """Check, before any work, that nothing is at a location; of a path, as `check_new_file` does.

    Raises:
        OptionError, StorageError: if something is there, or there is no such bucket
    """
    if isinstance(location, Path):
        check_new_file(location)
    elif kind_of(location):
        raise OptionError(f"'{location}' already exists; choose another file with -o.")


@contextmanager
def open_new_location(location: Location, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a new file that gets its name when the block ends without an error, and never replaces anything.

    An object is in memory until then, and put once.

    Raises:
        OptionError, StorageError, WriteError: as `check_new_location` and `put_new` do
    """
    if isinstance(location, Path):
        with open_new(location, mode) as file:
            yield file
        return
    check_new_location(location)
    content = io.BytesIO()
    file = content if "b" in mode else io.TextIOWrapper(content, **TEXT)
    yield file
    file.flush()
    put_new(location, content.getvalue())
