"""A disk that fails: every call that writes can fail in turn, with the error of a full or broken disk.

`failing` counts the calls of this process that write below a folder, and lets one of them fail, or every one from
there on. `python -m tests.faults ERROR POINT FOLDER WORD...` runs one command of tlkit so, in a process of its own.
"""

import builtins
import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

NEW = ("open", "write", "fsync", "mkdir", "link", "rename")
ERRORS = {  # calls that fail with it, and whether all calls after the first fail too
    "ENOSPC": (NEW, True),
    "EIO": ((*NEW, "unlink"), False),
    "EROFS": ((*NEW, "unlink"), True),
    "EMFILE": (("open",), False),
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | getattr(os, "O_DIRECTORY", 0)  # a folder is opened to be made durable
PATH_CALLS = {  # functions of `os`: their kind, and which argument is written
    "mkdir": ("mkdir", 0),
    "link": ("link", 1),
    "symlink": ("link", 1),
    "rename": ("rename", 1),
    "replace": ("rename", 1),
    "unlink": ("unlink", 0),
    "remove": ("unlink", 0),
    "rmdir": ("unlink", 0),
}
DESCRIPTOR_CALLS = {"write": "write", "sendfile": "write", "fsync": "fsync"}


@dataclass
class Disk:
    """The calls that write below a folder, counted; one or all from one on fail.

    Attributes:
        root: only calls below it count
        error: a key of `ERRORS`; None lets every call through
        point: the number of the call that fails, from 0
        calls: kind and path of each call that counts
    """

    root: Path
    error: str | None = None
    point: int = 0
    calls: list[tuple[str, str]] = field(default_factory=list)

    def holds(self, path: Any) -> bool:
        """Tell whether a path lies below the root."""
        return not isinstance(path, int) and os.path.abspath(os.fsdecode(path)).startswith(f"{self.root}{os.sep}")  # noqa: PTH100

    def call(self, kind: str, path: Any) -> None:
        """Count a call, and fail if it is its turn."""
        kinds, lasts = ERRORS[self.error or "EIO"]
        if kind not in kinds or not self.holds(path):
            return
        number = len(self.calls)
        self.calls.append((kind, os.fsdecode(path)))
        if self.error and (number == self.point or (lasts and number > self.point)):
            code = getattr(errno, self.error)
            raise OSError(code, os.strerror(code), os.fsdecode(path))

    def path_call(self, name: str) -> Callable[..., Any]:
        """Wrap a function of `os` that takes paths."""
        real, (kind, argument) = getattr(os, name), PATH_CALLS[name]

        def called(*args: Any, **options: Any) -> Any:
            if options.get("dir_fd") is None:
                self.call(kind, args[argument])
            return real(*args, **options)

        return called

    def descriptor_call(self, name: str) -> Callable[..., Any]:
        """Wrap a function of `os` that takes an open file."""
        real = getattr(os, name)

        def called(descriptor: int, *args: Any) -> Any:
            link = Path(f"/proc/self/fd/{descriptor}")
            if link.is_symlink():
                self.call(DESCRIPTOR_CALLS[name], str(link.readlink()))
            return real(descriptor, *args)

        return called

    def open_descriptor(self) -> Callable[..., int]:
        """Wrap `os.open`."""
        real = os.open

        def called(path: Any, flags: int, *args: Any, **options: Any) -> int:
            if flags & WRITING:
                self.call("open", path)
            return real(path, flags, *args, **options)

        return called

    def open_file(self) -> Callable[..., Any]:
        """Wrap `open`: what is written below the root goes through a file whose writes may fail."""
        real, disk = builtins.open, self

        class FailingFile(io.FileIO):
            def write(self, data: Any) -> Any:
                disk.call("write", self.name)
                return super().write(data)

        def called(file: Any, mode: str = "r", buffering: int = -1, *args: Any, **options: Any) -> Any:
            if not set(mode) & set("wax+") or not self.holds(file):
                return real(file, mode, buffering, *args, **options)
            self.call("open", file)
            options |= dict(zip(("encoding", "errors", "newline", "closefd", "opener"), args, strict=False))
            text = {name: options.pop(name) for name in ("encoding", "errors", "newline") if name in options}
            raw = FailingFile(file, mode.translate({ord("b"): "", ord("t"): ""}), **options)
            if not buffering:
                return raw
            buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            return buffered if "b" in mode else io.TextIOWrapper(buffered, **text)

        return called


@contextmanager
def failing(disk: Disk) -> Iterator[Disk]:
    """Let the calls of this process go through `disk`."""
    wrapped = {name: disk.path_call(name) for name in PATH_CALLS}
    wrapped |= {name: disk.descriptor_call(name) for name in DESCRIPTOR_CALLS}
    opened = disk.open_file()
    with ExitStack() as stack:
        for name, function in (wrapped | {"open": disk.open_descriptor()}).items():
            stack.enter_context(patch.object(os, name, function))
        for module in (builtins, io):
            stack.enter_context(patch.object(module, "open", opened))
        yield disk


def main() -> None:
    """Run a command of tlkit on a disk that fails."""
    from tlkit.cli import main as tlkit

    error, point, root, *sys.argv[1:] = sys.argv[1:]
    with failing(Disk(Path(root), error, int(point))):
        tlkit()


if __name__ == "__main__":
    main()
