"""The cache folder: its location, its content and its last uses, and how to remove only files that tlkit wrote.

A cache on object storage has a folder of this machine, too; `stored_folder.py` tells what is in both.
"""

import errno
import hashlib
import os
import re
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tlkit.errors import OptionError, StorageError
from tlkit.utils.files import (
    TEMPORARY,
    Owned,
    atomic_write,
    is_regular,
    other_paths,
    owned_files,
    remove_if_possible,
    remove_owned,
)
from tlkit.utils.locations import RemotePath, as_location, is_remote

MARKER = "CACHEDIR.TAG"  # in the cache's root; https://bford.info/cachedir
LEDGER = "runs.txt"  # in the root, too: the runs that this machine made; `cache clear` leaves it (decision 028)
MARK = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# This folder is the cache of tlkit. `tlkit cache clear` empties it.\n"
)
KEY = "[0-9a-f]{64}"  # pattern of names that are hashes
NO_CACHE = Path(os.devnull, "tlkit")  # can never be made; of a user without a home
USE_SECONDS = 3600  # between two times that a use is written down
ABANDONED_SECONDS = 24 * 3600  # a living process does not leave a temporary file untouched for so long
COPIES = "tlkit-copies"  # beside the user's cache folder: what was fetched from caches on object storage


@dataclass(frozen=True)
class CachePart:
    """A folder in the cache.

    Attributes:
        name: of the folder
        owned: what tlkit writes in it
        entry: how the paths of the files of one entry begin, which are removed together
    """

    name: str
    owned: Owned
    entry: str = KEY


@dataclass(frozen=True)
class CacheEntry:
    """Files in the cache that are of use together.

    Attributes:
        files: with the cache's root
        used: the last time that one of them was written or used, in seconds since 1970
    """

    files: tuple[Path, ...]
    num_bytes: int
    used: float


def cache_origin() -> RemotePath | None:
    """Give the address of a cache on object storage; None where the cache is a folder.

    Raises:
        OptionError: if `TLKIT_CACHE` is an address that cannot be one
    """
    address = os.environ.get("TLKIT_CACHE", "")
    try:
        return RemotePath(address) if is_remote(address) else None
    except StorageError as error:
        raise OptionError(f"TLKIT_CACHE: {error}") from None


def cache_dir() -> Path:
    """Find the cache folder: `TLKIT_CACHE`, or the platform's for this user; of one on object storage, its copy.

    Raises:
        OptionError: if `TLKIT_CACHE` is an address that cannot be a cache, or its copy has no place
    """
    from platformdirs import user_cache_path

    origin = cache_origin()
    if not origin and (chosen := os.environ.get("TLKIT_CACHE")):
        return Path(os.path.expanduser(str(as_location(chosen))))  # noqa: PTH111 - Path.expanduser raises for strangers
    try:
        folder = user_cache_path("tlkit", appauthor=False)
    except RuntimeError:  # this user has no home
        if origin:
            raise OptionError(
                f"TLKIT_CACHE is '{origin}', and this user has no home folder for a copy of it; set XDG_CACHE_HOME to "
                "a folder."
            ) from None
        return NO_CACHE
    return folder.parent / COPIES / hashlib.sha256(str(origin).encode()).hexdigest()[:16] if origin else folder


def is_cache() -> bool:
    """Tell whether the cache's root has tlkit's mark; without a mark it is new or empty.

    Raises:
        OptionError: if it holds something and has no mark
        OSError: if it cannot be looked into
    """
    root = cache_dir()
    try:
        holds = [path for path in root.iterdir() if path.name[0] != "." and path.name != "lost+found"]
    except FileNotFoundError:
        return False
    if is_regular(root / MARKER) and (root / MARKER).read_bytes()[: len(MARK)] == MARK.encode():
        return True
    if holds:  # looked at before the mark, which another process may just have set
        raise OptionError(
            f"'{root}' is not a tlkit cache (it has files but no {MARKER} of tlkit); "
            "expected a new or empty folder: set TLKIT_CACHE to one."
        )
    return False


def claim_cache(part: CachePart | None = None) -> None:
    """Make the cache's root and mark it as tlkit's, before anything is written into it.

    Args:
        part: that is written; the first time in this process, what killed processes left half written in it is removed

    Raises:
        OptionError: if it holds what is not tlkit's
        OSError: if it cannot be written
    """
    root = cache_dir()
    if root.is_dir() and not os.access(root, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(root))
    if not is_cache():
        root.mkdir(parents=True, exist_ok=True)
        atomic_write(root / MARKER, MARK)
    if part and not (root / part.name).is_symlink():
        _remove_abandoned(root / part.name, part.owned)


def remember_use(file: Path) -> None:
    """Set the time of a file that is used, at most once an hour; `prune_cache` removes what was not used for long."""
    with suppress(OSError):  # a cache that may only be read
        if file.stat().st_mtime < time.time() - USE_SECONDS:
            os.utime(file)


@cache
def _remove_abandoned(folder: Path, owned: Owned) -> None:
    """Remove temporary files that nothing was written to for a day, and the temporary folders they were in."""
    emptied = set[Path]()
    for file in owned_files(folder, owned):
        path = file.relative_to(folder)
        if _is_temporary(path) and file.lstat().st_mtime < time.time() - ABANDONED_SECONDS:
            file.unlink(missing_ok=True)
            emptied.update(parent for parent in path.parents if _is_temporary(parent))
    for path in sorted(emptied, key=lambda path: len(path.parts), reverse=True):
        with suppress(OSError):  # it is not empty
            (folder / path).rmdir()


def _is_temporary(path: Path) -> bool:
    return any(TEMPORARY.fullmatch(name) for name in path.parts)


def cache_sizes(parts: Sequence[CachePart]) -> dict[str, tuple[int, int]]:
    """Count files and bytes of each part of the cache."""
    root = cache_dir()
    sizes: dict[str, list[int]] = {part.name: [] for part in parts}
    for file in owned_files(root, _owned(parts)):
        folder = file.relative_to(root).parts[0]
        if folder in sizes:
            sizes[folder].append(file.lstat().st_size)
    return {name: (len(bytes_of_files), sum(bytes_of_files)) for name, bytes_of_files in sizes.items()}


def cache_entries(part: CachePart) -> list[CacheEntry]:
    """List what is in a part of the cache, the least recently used first."""
    folder, entries = cache_dir() / part.name, defaultdict[str, list[tuple[Path, os.stat_result]]](list)
    for file in owned_files(folder, part.owned):
        with suppress(OSError):  # another process has just removed it
            if match := re.match(part.entry, file.relative_to(folder).as_posix()):
                entries[match[0]].append((file, file.lstat()))
    listed = [
        CacheEntry(
            tuple(file for file, _ in found),
            sum(status.st_size for _, status in found),
            max(status.st_mtime for _, status in found),
        )
        for found in entries.values()
    ]
    return sorted(listed, key=lambda entry: (entry.used, entry.files))


def prune_cache(parts: Sequence[CachePart], max_seconds: float, max_bytes: float) -> tuple[int, int]:
    """Remove what was not used for long, then the least recently used until the rest fits.

    Programs that read meanwhile are not disturbed: what they have opened stays readable, the rest is computed again.

    Args:
        max_seconds: since its last use, after which an entry is removed
        max_bytes: of all that stays

    Returns:
        The entries and the bytes that were removed

    Raises:
        OptionError: if the folder is not tlkit's cache
    """
    removed = list[CacheEntry]()
    with suppress(OSError):  # what cannot be looked into is as good as empty
        if is_cache():
            entries = sorted((item for part in parts for item in cache_entries(part)), key=lambda item: item.used)
            excess, oldest = sum(entry.num_bytes for entry in entries) - max_bytes, time.time() - max_seconds
            for entry in entries:
                if excess > 0 or entry.used < oldest:
                    excess -= entry.num_bytes
                    removed.append(entry)
            for entry in removed:
                for file in entry.files:
                    remove_if_possible(file)
            for part in parts:
                remove_owned(cache_dir() / part.name, Owned(re.compile("(?!)"), part.owned.folders))
    return len(removed), sum(entry.num_bytes for entry in removed)


def clear_cache(parts: Sequence[CachePart]) -> tuple[int, list[Path]]:
    """Remove from the cache what tlkit wrote; its root stays, marked.

    Returns:
        The bytes that were removed, and as paths from the root what was left because it is not tlkit's

    Raises:
        OptionError: if the folder is not tlkit's cache
    """
    with suppress(OSError):  # what cannot be looked into is as good as empty
        if is_cache():
            root, owned, bytes_before = cache_dir(), _owned(parts), _num_bytes(parts)
            remove_owned(root, owned)
            others = {path.relative_to(root) for path in other_paths(root, owned)}
            return bytes_before - _num_bytes(parts), sorted(others - {Path(MARKER), Path(LEDGER)})
    return 0, []


def _owned(parts: Sequence[CachePart]) -> Owned:
    """Join the patterns of all parts, with paths from the root, and that of a new marker."""
    files = [rf"{part.name}/(?:{part.owned.files.pattern})" for part in parts]
    folders = [rf"{part.name}(?:/(?:{part.owned.folders.pattern}))?" for part in parts]
    return Owned(re.compile("|".join([TEMPORARY.pattern, *files])), re.compile("|".join(folders)))


def _num_bytes(parts: Sequence[CachePart]) -> int:
    return sum(num_bytes for _, num_bytes in cache_sizes(parts).values())
