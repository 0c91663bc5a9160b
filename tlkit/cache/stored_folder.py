"""Folders of the cache that machines have in common, on a disk or on object storage."""

import errno
import os
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tlkit.cache.folder import CachePart, cache_dir, cache_origin, claim_cache
from tlkit.errors import StorageError
from tlkit.utils.files import atomic_open, remove_if_possible
from tlkit.utils.storage import RemotePath, kind_of, list_files_below, open_stored, put_file, remove_stored

FETCHED_BYTES = 8 << 20  # of an object at a time


class CacheFolder:
    """A folder of the cache whose files never change, each named by what is in it.

    Of a cache on object storage it is a copy of some: a file is put there when it was written, and fetched when it is
    asked for and not here. So machines with the same address have these files in common.

    Attributes:
        path: on this machine
        origin: on object storage, or None
    """

    def __init__(self, path: Path, origin: RemotePath | None = None) -> None:
        self.path, self.origin = path, origin
        self._unsent = set[str]()  # where the store may only be read

    def sizes(self, names: re.Pattern[str]) -> dict[str, int]:
        """List files by their names, each with its size in bytes; of a copy, those of the store.

        Raises:
            OSError
            StorageError
        """
        if not self.origin:
            found = dict[str, int]()
            for file in filter(lambda file: names.fullmatch(file.name), self.path.iterdir()):
                with suppress(FileNotFoundError):  # another process has just joined it with others
                    found[file.name] = file.lstat().st_size
            return found
        stored = _stored_sizes(self.origin) | {name: (self.path / name).lstat().st_size for name in self._unsent}
        return {name: size for name, size in stored.items() if names.fullmatch(name)}

    def fetch(self, name: str) -> Path:
        """Give the path of a file on this machine, fetched if it is not there yet.

        Raises:
            FileNotFoundError: if the store does not have it any more
            OSError: if it cannot be written here
            StorageError
        """
        file = self.path / name
        if self.origin and not os.path.lexists(file):
            claim_cache()
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                with atomic_open(file, "wb") as copied, open_stored(self.origin / name) as stored:
                    shutil.copyfileobj(stored, copied, FETCHED_BYTES)
            except StorageError:
                if kind_of(self.origin / name):
                    raise
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.origin / name)) from None
        return file

    def put(self, name: str) -> None:
        """Put a file that was written here into the store, where there is one and it may be written.

        Raises:
            StorageError: if it fails
        """
        try:
            if self.origin:
                put_file(self.origin / name, self.path / name)
        except StorageError as error:
            if error.kind != "credentials":
                raise
            self._unsent.add(name)

    def remove(self, name: str) -> None:
        """Remove a file that is of no use any more; where it cannot be removed, it stays."""
        remove_if_possible(self.path / name)
        if self.origin:
            self._unsent.discard(name)
            with suppress(StorageError):
                remove_stored(self.origin / name)


def cache_folder(*parts: str) -> CacheFolder:
    """Open a folder of the cache that machines with the same `TLKIT_CACHE` have in common.

    Raises:
        OptionError: as `cache_dir` does
    """
    origin = cache_origin()
    return CacheFolder(cache_dir().joinpath(*parts), origin / "/".join(parts) if origin else None)


def stored_sizes(parts: Sequence[CachePart]) -> dict[str, tuple[int, int]]:
    """Count files and bytes of each part of a cache on object storage; of one that is a folder, none.

    Raises:
        StorageError
    """
    sizes = dict[str, tuple[int, int]]()
    if origin := cache_origin():
        for part in parts:
            stored = _stored_sizes(origin / part.name).items()
            files = [size for path, size in stored if part.owned.files.fullmatch(path)]
            sizes[part.name] = len(files), sum(files)
    return sizes


def _stored_sizes(folder: RemotePath) -> dict[str, int]:
    try:
        return {file.path: file.size for file in list_files_below(folder)}
    except StorageError as error:
        if error.kind != "key":  # nothing was put there yet
            raise
        return {}
