"""Files that are whole or absent, JSON, what tlkit owns below a folder, hashes."""

import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import IO, Any

from tlkit.errors import OptionError, TlkitError, WriteError

TEXT: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}  # of files that are written
TEMPORARY = re.compile(r"\.tlkit-[0-9a-f]{16}\.tmp(?:\.keras)?")  # names of what is not whole yet


def temporary_beside(path: Path, suffix: str = "") -> Path:
    """Make a new path beside `path`, of a name that `TEMPORARY` matches.

    Args:
        suffix: "" or ".keras", for writers that look at the ending
    """
    return path.with_name(f".tlkit-{secrets.token_hex(8)}.tmp{suffix}")


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Name the file or folder that is written in this block, where the disk is full or fails.

    Raises:
        WriteError: in place of an OSError
    """
    try:
        yield
    except (TlkitError, FileExistsError, BrokenPipeError):  # which callers know
        raise
    except OSError as error:
        raise WriteError(
            f"'{path}' cannot be written ({error.strerror or error}); existing files are unchanged: check the disk, "
            "then repeat the command (--resume continues a training)."
        ) from error


def make_folder(path: Path) -> None:
    """Make a folder that tlkit owns, unless it exists.

    Raises:
        WriteError
    """
    with writing(path):
        path.mkdir(exist_ok=True)


def remove_if_possible(file: Path) -> None:
    """Remove a file that is of no use any more; where the disk fails, it stays."""
    with suppress(OSError):
        file.unlink(missing_ok=True)


@contextmanager
def temporary_file(path: Path, suffix: str = "") -> Iterator[Path]:
    """Give a path beside `path` to write to and rename; what is still there at the end of the block is removed.

    Args:
        suffix: as `temporary_beside` takes it

    Raises:
        WriteError
    """
    temporary = temporary_beside(path, suffix)
    try:
        with writing(path):
            yield temporary
    finally:
        remove_if_possible(temporary)  # else its name says what it is


@contextmanager
def atomic_open(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file that replaces `path` only when the block ends without an error.

    For what tlkit itself owns: files of a run folder or of the cache. `open_new` opens what the user names.
    Until the end the content is in a hidden file beside `path`, which an error removes.
    Text is UTF-8; a file name that is not UTF-8 is written with the bytes it has on disk.

    Raises:
        WriteError
    """
    with temporary_file(path) as temporary:
        with _opened(temporary, mode) as file:
            yield file
        temporary.replace(path)
        _sync_folder(path.parent)


def atomic_write(path: Path, content: str | bytes) -> None:
    """Write `content` to `path` so that a crash leaves the old file or the new one, whole."""
    with atomic_open(path, "wb" if isinstance(content, bytes) else "w") as file:
        file.write(content)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON, atomically."""
    atomic_write(path, json.dumps(value, indent=2) + "\n")


def check_new_file(path: str | Path) -> None:
    """Check, before any work, that a new regular file can be made at `path`.

    Raises:
        OptionError: if `path` exists, be it a broken link, a folder or a device; if its folder is missing or cannot
            be written to; if it is not a name of a file
    """
    if os.path.basename(path) in ("", ".", ".."):  # noqa: PTH119 - a Path has lost the slash of "name/"
        raise OptionError(f"'{path}' is not a file name; choose another file with -o.")
    folder = Path(path).parent
    try:
        if not folder.is_dir():
            raise OptionError(f"'{folder}' is not a folder; create it or choose another file with -o.")
        with suppress(FileNotFoundError):
            Path(path).lstat()
            raise _taken(path)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OptionError(f"'{path}' cannot be written ({error.strerror}); choose another file with -o.") from None


@contextmanager
def open_new(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a new file that gets its name when the block ends without an error, and never replaces anything.

    Every output that the user names is opened here. Until the end the content is in a hidden file beside it.

    Raises:
        OptionError: as `check_new_file` does, and if something has taken the name meanwhile
        WriteError
    """
    check_new_file(path)
    with temporary_file(path) as temporary:
        with _opened(temporary, mode) as file:
            yield file
        _give_name(temporary, path)
        _sync_folder(path.parent)


def write_new(path: Path, content: str | bytes) -> None:
    """Write `content` to a new file, as `open_new` does.

    Raises:
        OptionError
    """
    with open_new(path, "wb" if isinstance(content, bytes) else "w") as file:
        file.write(content)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Make a new folder that gets its name when the block ends without an error, and never replaces anything.

    Give the folder to fill, which is beside it until then and has a hidden name.

    Raises:
        OptionError: as `check_new_file` does, and if something has taken the name meanwhile
    """
    check_new_file(path)
    temporary = temporary_beside(path)
    try:
        with writing(path):
            temporary.mkdir()
            yield temporary
            rename_new_folder(temporary, path)
    except FileExistsError:
        raise _taken(path) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _give_name(temporary: Path, path: Path) -> None:
    """Rename a temporary file, without replacing anything.

    Raises:
        OptionError: if something has the name
    """
    try:
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:  # the file system has no hard links
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            try:
                temporary.replace(path)  # an empty file, our own
            except BaseException:
                path.unlink(missing_ok=True)
                raise
    except FileExistsError:
        raise _taken(path) from None


def _taken(path: str | Path) -> OptionError:
    return OptionError(f"'{path}' already exists; choose another file with -o.")


@contextmanager
def _opened(path: Path, mode: str) -> Iterator[IO[Any]]:
    with path.open(mode, **({} if "b" in mode else TEXT)) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; Windows has no such call and needs none."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rename_new_folder(temporary: Path, path: Path) -> None:
    """Rename a finished folder, without replacing anything.

    Raises:
        FileExistsError: if something has the name
        OSError
    """
    if os.name == "nt":  # where a rename replaces nothing
        temporary.rename(path)
        return
    path.mkdir()  # the name is ours from here on; a rename replaces an empty folder, and none that was filled meanwhile
    try:
        temporary.rename(path)
    except BaseException:
        with suppress(OSError):
            path.rmdir()
        raise


def next_free(path: Path) -> Path:
    """Return `path`, or the first of name-2, name-3 ... that does not exist."""
    names = chain([path], (path.with_stem(f"{path.stem}-{number}") for number in count(2)))
    return next(name for name in names if not os.path.lexists(name))


def is_regular(file: Path) -> bool:
    """Tell whether `file` is a regular file, and no link to one."""
    with suppress(OSError):
        return stat.S_ISREG(file.lstat().st_mode)
    return False


@dataclass(frozen=True)
class Owned:
    """Patterns of the paths that tlkit writes below a folder, relative to it, with "/".

    Attributes:
        files: that it writes
        folders: that it makes
    """

    files: re.Pattern[str]
    folders: re.Pattern[str]


def owned_files(root: Path, owned: Owned) -> list[Path]:
    """List the regular files below a folder whose paths are tlkit's, sorted; no link is followed."""
    files = [Path(folder) / name for folder, _, names in os.walk(root) for name in names]
    return sorted(
        file for file in files if owned.files.fullmatch(file.relative_to(root).as_posix()) and is_regular(file)
    )


def remove_owned(root: Path, owned: Owned) -> None:
    """Remove tlkit's regular files below a folder, then its folders and the root where they are empty.

    Everything else stays, with the folders it is in; no link is followed.
    """
    for file in owned_files(root, owned):
        with suppress(OSError):
            file.unlink()
    for path, _, _ in os.walk(root, topdown=False):
        folder = Path(path)
        if folder == root or owned.folders.fullmatch(folder.relative_to(root).as_posix()):
            with suppress(OSError):  # it is not empty
                folder.rmdir()


def other_paths(root: Path, owned: Owned) -> list[Path]:
    """List files, links and empty folders below a folder that are not tlkit's, sorted."""
    paths = list[Path]()
    for path, folders, files in os.walk(root):
        folder = Path(path)
        paths += [folder / name for name in files]
        paths += [folder / name for name in folders if (folder / name).is_symlink()]
        if not (folders or files or folder == root or owned.folders.fullmatch(folder.relative_to(root).as_posix())):
            paths.append(folder)
    return sorted(set(paths) - set(owned_files(root, owned)))


def sha256_file(path: Path) -> str:
    """Compute the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_text(*parts: object) -> str:
    """Compute the SHA-256 of several values written one per line, in hexadecimal."""
    return hashlib.sha256("\n".join(str(part) for part in parts).encode("utf-8", "surrogateescape")).hexdigest()
