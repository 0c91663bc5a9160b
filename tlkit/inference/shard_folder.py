"""A folder of shards while it is written, on this machine or in an object store: nothing in it is ever replaced.

`_command.json` comes first, and says what the folder is made with; `_manifest.json` comes last: a folder that has it is
complete. Readers of parquet folders pass over names that start with "_" or a dot.
"""

import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from tlkit.errors import OptionError, StorageError
from tlkit.runs.run import MAX_JSON_BYTES
from tlkit.settings.base import option_name
from tlkit.utils.files import (
    TEMPORARY,
    atomic_write,
    check_new_file,
    is_regular,
    make_folder,
    remove_if_possible,
    writing,
)
from tlkit.utils.reading import read_regular
from tlkit.utils.storage import Location, exists, kind_of, list_files_below, put_new, read_bytes
from tlkit.utils.text import quote_names

COMMAND, MANIFEST = "_command.json", "_manifest.json"
SHARD = re.compile(r"part-\d{6}-[0-9a-f]{16}\.parquet")
MAX_SHARD_BYTES = 4_000_000_000  # of one that is read
MAX_BLOCK_SIZE = 1_000_000  # inputs of a shard, in a folder that is continued
WAY_OUT = "repeat the command that it was started with, or choose another folder with -o."


class ShardFolder:
    """A folder of shards; several processes may write into it at a time.

    Attributes:
        location: a path or a URI
    """

    def __init__(self, location: Location) -> None:
        self.location = location

    def __str__(self) -> str:
        return str(self.location)

    def find(self, command: dict[str, Any]) -> set[str]:
        """Find the shards that the same command has left, before it was stopped.

        Args:
            command: what all who write into the folder must have in common

        Returns:
            Their names; none if the folder is new or empty

        Raises:
            OptionError: if anything else is there: a complete folder, that of another command, other files
            StorageError
        """
        names = self._names()
        shards = set(filter(SHARD.fullmatch, names))
        if MANIFEST in names:
            raise OptionError(f"'{self}' already exists and is complete; choose another folder with -o.")
        if others := sorted(names - shards - {COMMAND} if COMMAND in names else names):
            raise OptionError(
                f"'{self}' already exists and has other files ({quote_names(others)}); choose another folder with -o."
            )
        if COMMAND in names:
            self._refuse_other_command(command)
        return shards

    def block_size(self) -> int:
        """Tell how many inputs the shards of a folder have that was started; 0 where none was.

        Raises:
            StorageError: if there is no such bucket, or the store fails
        """
        if not exists(self.location / COMMAND):
            return 0
        with suppress(OSError, ValueError, AttributeError, RecursionError):  # `find` says what is wrong
            size = json.loads(self._read(COMMAND, MAX_JSON_BYTES)).get("block_size")
            return size if isinstance(size, int) and 0 < size <= MAX_BLOCK_SIZE else 0
        return 0

    def _names(self) -> set[str]:
        """List what is in the folder, but not what a killed process has left half-written."""
        folder = self.location
        if not isinstance(folder, Path):
            kind = kind_of(folder)
            if kind == "file":
                raise OptionError(f"'{self}' already exists and is not a folder; choose another folder with -o.")
            return {file.path for file in list_files_below(folder)} if kind else set()
        if not os.path.lexists(folder):
            check_new_file(folder)
            return set()
        if not folder.is_dir():
            raise OptionError(f"'{self}' already exists and is not a folder; choose another folder with -o.")
        with writing(folder), os.scandir(folder) as entries:  # which knows the kind of what goes away meanwhile
            files = {entry.name: entry.is_file(follow_symlinks=False) for entry in entries}
        names = {name if is_file else f"{name}/" for name, is_file in files.items()}
        names = {name for name in names if not TEMPORARY.fullmatch(name)}
        if MANIFEST not in names:
            check_new_file(folder / MANIFEST)
        return names

    def _refuse_other_command(self, command: dict[str, Any]) -> None:
        """Check that an unfinished folder is of this command; OptionError if it is not"""
        try:
            before = json.loads(self._read(COMMAND, MAX_JSON_BYTES))
            names = sorted(before.keys() | command.keys())
        except (OSError, ValueError, AttributeError, RecursionError):
            raise OptionError(f"'{self.location / COMMAND}' cannot be read; choose another folder with -o.") from None
        now: dict[str, Any] = json.loads(json.dumps(command))
        for name in names:
            was, given = before.get(name), now.get(name)
            if was == given:
                continue
            if name == "block_size":
                raise OptionError(f"'{self}' was started with another number of inputs a shard ({was}); {WAY_OUT}")
            if name in ("format", "versions"):
                raise OptionError(f"'{self}' was started with other versions of packages; {WAY_OUT}")
            if name == "model":
                raise OptionError(f"'{self}' was started with another run; {WAY_OUT}")
            raise OptionError(f"'{self}' was started with {option_name(name)} {was}, but now it is {given}; {WAY_OUT}")

    def start(self, command: dict[str, Any]) -> None:
        """Make the folder, and write what it is made with.

        Raises:
            WriteError
            StorageError
        """
        if isinstance(self.location, Path):
            make_folder(self.location)
        if not exists(self.location / COMMAND):
            self.write(COMMAND, f"{json.dumps(command, indent=2)}\n".encode())

    def read(self, name: str) -> bytes:
        """Read a shard.

        Raises:
            OSError: if it is not a regular file
            StorageError
        """
        return self._read(name, MAX_SHARD_BYTES)

    def _read(self, name: str, max_bytes: int) -> bytes:
        if isinstance(self.location, Path):
            return read_regular(self.location / name, max_bytes)
        return read_bytes(self.location / name, max_bytes)

    def write(self, name: str, content: bytes) -> bytes:
        """Write a file, whole or absent; another process may write an equal one at the same time.

        Returns:
            What the file has then

        Raises:
            WriteError
            StorageError
        """
        if isinstance(self.location, Path):
            atomic_write(self.location / name, content)
            return content
        try:
            put_new(self.location / name, content)
        except StorageError as error:
            if error.kind != "taken":
                raise
            return self._read(name, MAX_SHARD_BYTES)
        return content

    def complete(self, manifest: dict[str, Any]) -> None:
        """Remove what killed processes have left half-written, and write the manifest.

        Raises:
            OptionError: if another process has completed the folder
            WriteError
            StorageError
        """
        if isinstance(self.location, Path):
            for path in filter(_is_temporary, self.location.iterdir()):
                remove_if_possible(path)
        put_new(self.location / MANIFEST, f"{json.dumps(manifest, indent=2)}\n".encode())


def _is_temporary(path: Path) -> bool:
    return bool(TEMPORARY.fullmatch(path.name)) and is_regular(path)
