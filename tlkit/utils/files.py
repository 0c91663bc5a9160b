"""Files that are whole or absent, hashes, csv, and where the cache lies."""

import csv
import errno
import hashlib
import json
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import IO, Any

from tlkit.errors import OptionError

MAX_OPEN_FILES = 10_000  # open at once: the most that macOS has for one process
TEMPORARY = re.compile(r"\.tlkit-[0-9a-f]{16}\.tmp(?:\.keras)?")  # names of what is not whole yet
MARKER = "CACHEDIR.TAG"  # in the cache's root; https://bford.info/cachedir
MARK = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# This folder is the cache of tlkit, which made it and may empty it: `tlkit cache clear`.\n"
)


def temporary_beside(path: Path, suffix: str = "") -> Path:
    """A name beside `path` that nothing has, and that `TEMPORARY` fits.

    suffix: "" or ".keras", for what looks at the ending
    """
    return path.with_name(f".tlkit-{secrets.token_hex(8)}.tmp{suffix}")


@contextmanager
def atomic_open(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file that takes its name, from an older one if there is, only when the block ends without an error.

    For what tlkit itself owns: files of a run folder, of the cache. What the user names is opened by `open_new`.
    Text is UTF-8; a file name that is not UTF-8 is written with the bytes it has on disk.
    Until then the content lies in a hidden file beside it, which a failure removes.
    """
    temporary = temporary_beside(path)
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


def atomic_write(path: Path, content: str | bytes) -> None:
    """Write `content` to `path` so that a crash leaves the old file or the new one, never a part."""
    with atomic_open(path, "wb" if isinstance(content, bytes) else "w") as file:
        file.write(content)


def check_new_file(path: str | Path) -> None:
    """Before any work: a new regular file can be made at `path`.

    raises: OptionError where anything is there, be it a broken link, a folder or a device; where its folder is
        missing or cannot be written to; where it is no name of a file
    """
    if os.path.basename(path) in ("", ".", ".."):  # noqa: PTH119 - a Path has lost the slash of "name/"
        raise OptionError(f"'{path}' names no file; choose another -o.")
    folder = Path(path).parent
    try:
        if not folder.is_dir():
            raise OptionError(f"'{folder}' is no folder; make it or choose another -o.")
        with suppress(FileNotFoundError):
            Path(path).lstat()
            raise _taken(path)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OptionError(f"'{path}' cannot be written ({error.strerror}); choose another -o.") from None


@contextmanager
def open_new(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a new file that takes its name when the block ends without an error, and never replaces anything.

    Every output a user names goes through here. Until the end the content lies in a hidden file beside it.
    raises: OptionError as `check_new_file`, too where something has taken the name meanwhile
    """
    check_new_file(path)
    temporary = temporary_beside(path)
    try:
        with _opened(temporary, mode) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _give_name(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def write_new(path: Path, content: str | bytes) -> None:
    """Write `content` to a new file, as `open_new` does.

    raises: OptionError
    """
    with open_new(path, "wb" if isinstance(content, bytes) else "w") as file:
        file.write(content)


def rename_new_folder(temporary: Path, path: Path) -> None:
    """Give a finished folder its name, which nothing has.

    raises: FileExistsError where something has it; OSError
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
    """`path`, or the first of name-2, name-3 ... that nothing has."""
    names = chain([path], (path.with_stem(f"{path.stem}-{number}") for number in count(2)))
    return next(name for name in names if not os.path.lexists(name))


def refuse_inside(root: Path, output: str | Path) -> None:
    """What is written among the images would be read as images the next time.

    raises: OptionError where `output` would lie in the folder `root` or below
    """
    place = Path(os.path.realpath(output))
    for above in (place, *place.parents):
        with suppress(OSError):  # what is not there yet
            if above.samefile(root):
                raise OptionError(f"'{output}' would lie inside the images of '{root}'; choose another -o.")


@dataclass(frozen=True)
class Owned:
    """What tlkit writes below a folder, as patterns of paths from there, with "/".

    folders  that it makes
    """

    files: re.Pattern[str]
    folders: re.Pattern[str]


def owned_files(root: Path, owned: Owned) -> list[Path]:
    """The regular files below a folder whose paths are tlkit's, sorted; no link is followed."""
    found = [Path(place) / name for place, _, names in os.walk(root) for name in names]
    return sorted(
        file for file in found if owned.files.fullmatch(file.relative_to(root).as_posix()) and is_regular(file)
    )


def remove_owned(root: Path, owned: Owned) -> None:
    """Remove tlkit's regular files below a folder, then its folders and the root where they are empty.

    Whatever else is there stays, and so do the folders it lies in; no link is followed.
    """
    for file in owned_files(root, owned):
        with suppress(OSError):
            file.unlink()
    for place, _, _ in os.walk(root, topdown=False):
        if Path(place) == root or owned.folders.fullmatch(Path(place).relative_to(root).as_posix()):
            with suppress(OSError):  # it is not empty
                Path(place).rmdir()


def other_paths(root: Path, owned: Owned) -> list[Path]:
    """Files, links and empty folders below a folder that are not tlkit's, sorted."""
    ours, found = set(owned_files(root, owned)), list[Path]()
    for place, folders, files in os.walk(root):
        folder = Path(place)
        found += [folder / name for name in files]
        found += [folder / name for name in folders if (folder / name).is_symlink()]
        if not (folders or files or folder == root or owned.folders.fullmatch(folder.relative_to(root).as_posix())):
            found.append(folder)
    return sorted(path for path in found if path not in ours)


def is_regular(file: Path) -> bool:
    """Whether a regular file is there, and no link to one."""
    with suppress(OSError):
        return stat.S_ISREG(file.lstat().st_mode)
    return False


def _taken(path: str | Path) -> OptionError:
    return OptionError(f"'{path}' is already there and is not overwritten; choose another -o.")


def _give_name(temporary: Path, path: Path) -> None:
    """raises: OptionError where something has the name"""
    try:
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:  # the file system has no hard links
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            temporary.replace(path)  # an empty file, our own
    except FileExistsError:
        raise _taken(path) from None


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON, atomically."""
    atomic_write(path, json.dumps(value, indent=2) + "\n")


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


def cache_dir() -> Path:
    """`TLKIT_CACHE`, or the platform's cache folder of this user."""
    if chosen := os.environ.get("TLKIT_CACHE"):
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("tlkit", appauthor=False)


def is_cache() -> bool:
    """Whether the cache's root has tlkit's mark; where it has none it is new or empty.

    raises: OptionError where it holds something and has no mark; OSError where it cannot be looked into
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
            f"'{root}' is not tlkit's cache, for it is not empty and has no {MARKER} of tlkit; "
            "expected a new or an empty folder: set TLKIT_CACHE to one."
        )
    return False


def claim_cache() -> None:
    """Make the cache's root and mark it as tlkit's, before anything is written into it.

    raises: OptionError where it holds what is not tlkit's; OSError where it cannot be written
    """
    root = cache_dir()
    if root.is_dir() and not os.access(root, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(root))
    if not is_cache():
        root.mkdir(parents=True, exist_ok=True)
        atomic_write(root / MARKER, MARK)


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


def raise_open_file_limit() -> None:
    """Let this process have as many files open as it may: shells give 256 or 1,024 unless they are asked."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
        if soft != resource.RLIM_INFINITY and soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
