"""Files that are either whole or absent, and where the cache lives."""

import csv
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from tlkit.errors import OptionError

MOST_FILES = 10_000  # open at once: the most that macOS has for one process


@contextmanager
def open_atomically(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file that takes its name only when the block ends without an error.

    Text is UTF-8; a file name that is not UTF-8 is written with the bytes it has on disk.
    Until then the content lies in a hidden file beside it, which a failure removes.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with _opened(temporary, mode) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write `content` to `path` so that a crash leaves the old file or the new one, never a part."""
    with open_atomically(path, "wb" if isinstance(content, bytes) else "w") as file:
        file.write(content)


def check_new_file(path: Path) -> None:
    """raises: OptionError where a file cannot be made there, or is there already"""
    if path.exists():
        raise OptionError(f"'{path}' is already there and is not overwritten; choose another -o or delete it.")
    if not path.parent.is_dir():
        raise OptionError(f"'{path.parent}' is no folder; make it or choose another -o.")
    if not os.access(path.parent, os.W_OK):
        raise OptionError(f"'{path.parent}' cannot be written to; choose another -o.")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON, atomically."""
    write_atomically(path, json.dumps(value, indent=2) + "\n")


class _LineFeeds:
    """Takes lines that end in CR LF and writes them ending in LF."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, line: str) -> int:
        """Write one line."""
        return self._file.write(line.removesuffix("\r\n") + "\n")


def csv_writer(file: IO[str]) -> Any:
    """A `csv.writer` of lines ending in LF that also quotes a lone CR (before Python 3.13 it does not)."""
    return csv.writer(_LineFeeds(file), lineterminator="\r\n")


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_text(*parts: object) -> str:
    """SHA-256 of several values written one per line, in hexadecimal."""
    return hashlib.sha256("\n".join(str(part) for part in parts).encode("utf-8", "surrogateescape")).hexdigest()


def cache_root() -> Path:
    """`TLKIT_CACHE`, or the platform's cache folder of this user."""
    if chosen := os.environ.get("TLKIT_CACHE"):
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("tlkit", appauthor=False)


def _opened(path: Path, mode: str) -> IO[Any]:
    if "b" in mode:
        return path.open(mode)
    return path.open(mode, encoding="utf-8", errors="surrogateescape", newline="")


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; Windows has no such call and needs none."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def allow_many_files() -> None:
    """Let this process have as many files open as it may: shells give 256 or 1,024 unless they are asked."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
        if soft != resource.RLIM_INFINITY and soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
