"""Reading of files that may come from strangers: regular files of limited size; no link, no device, no waiting."""

import csv
import errno
import hashlib
import io
import os
import stat
from collections.abc import Sequence
from pathlib import Path

MAX_ROWS = 2_000_000  # of a table
KINDS = (  # of what is not a regular file
    (stat.S_ISLNK, "it is a symbolic link"),
    (stat.S_ISDIR, "it is a folder"),
    (stat.S_ISFIFO, "it is a pipe"),
    (stat.S_ISSOCK, "it is a socket"),
)


def open_regular(file: Path, max_bytes: int) -> io.BufferedReader:
    """Open a regular file for reading, in binary; a pipe or a device is refused before it is opened.

    Raises:
        OSError: if it is missing, not a regular file, or too large; `strerror` is the reason
    """
    _check(file.lstat(), max_bytes)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    opened: io.BufferedReader = io.BufferedReader(io.FileIO(os.open(file, flags)))
    try:
        _check(os.fstat(opened.fileno()), max_bytes)  # it may have been replaced meanwhile
    except OSError:
        opened.close()
        raise
    return opened


def read_regular(file: Path, max_bytes: int) -> bytes:
    """Read a whole regular file.

    Raises:
        OSError: as `open_regular` does
    """
    with open_regular(file, max_bytes) as opened:
        size = os.fstat(opened.fileno()).st_size
        content = opened.read(min(max_bytes, size) + 1)  # so much memory is taken at once, however short the file is
    if len(content) > min(max_bytes, size):  # it grew meanwhile
        raise _too_large(max_bytes)
    return content


def sha256_regular(file: Path, max_bytes: int) -> str:
    """Compute the SHA-256 of a regular file's bytes, in hexadecimal.

    Raises:
        OSError: as `open_regular` does
    """
    with open_regular(file, max_bytes) as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def refuse_links_on_the_way(root: Path, name: str) -> None:
    """Check that no folder between a root and a file below it is a link.

    Args:
        name: of the file, relative to the root, with "/"

    Raises:
        OSError
    """
    folder = root
    for part in name.split("/")[:-1]:
        folder = folder / part
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise OSError(errno.ENOTDIR, f"'{folder}' is a link or not a folder")


def _check(status: os.stat_result, max_bytes: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        reasons = [reason for is_kind, reason in KINDS if is_kind(status.st_mode)]
        raise OSError(errno.EINVAL, (reasons or ["it is a device"])[0])
    if status.st_size > max_bytes:
        raise _too_large(max_bytes)


def _too_large(max_bytes: int) -> OSError:
    return OSError(errno.EFBIG, f"it is larger than {max_bytes // 10**6:,} MB")


def parse_table(
    text: str, columns: Sequence[str], class_names: Sequence[str], max_rows: int = MAX_ROWS
) -> list[dict[str, str]]:
    """Read the rows of a csv as dictionaries.

    Args:
        columns: that it must have
        class_names: that its columns "class" and "label" may have
        max_rows: that it may have

    Raises:
        ValueError: if a column is missing, a row is too long or short, names another class, or a path that leads out
        csv.Error
    """
    lines = csv.reader(io.StringIO(text, newline=""))
    header = next(lines, [])
    if missing := [name for name in columns if name not in header]:
        raise ValueError(f"it has no column '{missing[0]}'")
    known, rows = set(class_names), list[dict[str, str]]()
    for values in lines:
        if len(values) != len(header) or len(rows) == max_rows:
            raise ValueError(f"row {len(rows) + 1:,} is not as long as the header, or one too many")
        rows.append(dict(zip(header, values, strict=True)))
        if any(rows[-1][name] not in known for name in ("class", "label") if name in columns):
            raise ValueError(f"row {len(rows):,} names a class that the run does not have")
        if "path" in columns and not is_inside(rows[-1]["path"]):
            raise ValueError(f"row {len(rows):,} has a path that leads out of DATA")
    if columns and not rows:
        raise ValueError("it has no rows")
    return rows


def is_inside(path: str) -> bool:
    """Tell whether a path is relative and stays below its folder."""
    return not ("\0" in path or os.path.isabs(path) or ".." in Path(path).parts)  # noqa: PTH117
