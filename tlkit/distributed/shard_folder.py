"""A folder of parquet shards, on this machine or in an object store, that the same command continues after a kill.

A block of work becomes one shard. Its name holds the number of the block and a hash of all that its rows depend on, so
a shard that is there is the one that this command would write. `_command.json` comes first, and says what the folder is
made with; `_manifest.json` comes last: a folder that has it is complete. Nothing is ever replaced. Readers of parquet
folders pass over names that start with "_" or a dot.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tlkit.errors import OptionError, StorageError
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
from tlkit.utils.progress import Advance, Progress
from tlkit.utils.reading import read_regular
from tlkit.utils.storage import Location, exists, kind_of, list_files_below, put_new, read_bytes
from tlkit.utils.text import quote_names

COMMAND, MANIFEST = "_command.json", "_manifest.json"
SHARD = re.compile(r"part-\d{6}-[0-9a-f]{16}\.parquet")
COUNTS = "tlkit.counts"  # in a shard's metadata, where rows alone do not say enough
MAX_COMMAND_BYTES = 16_000_000
MAX_SHARD_BYTES = 4_000_000_000  # of one that is read
MAX_BLOCK_SIZE = 1_000_000  # inputs of a shard, in a folder that is continued
WAY_OUT = "repeat the command that it was started with, or choose another folder with -o."


class ShardBlock(Protocol):
    """Work whose result is one shard; its length is the number of its inputs."""

    @property
    def file(self) -> str:
        """Name of the shard."""

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class ShardRow:
    """A finished shard in short.

    Attributes:
        file: its name
        sha256: of its bytes
        rows: how many there are
        counts: that the shard has in its metadata, if it has some
    """

    file: str
    sha256: str
    rows: int
    counts: dict[str, Any] = field(default_factory=dict)


def names_folder(output: object) -> bool:
    """Tell whether text names a folder, by the slash at its end."""
    return str(output).endswith(("/", os.sep))


def shard_name(number: int, *parts: Any) -> str:
    """Name the shard of a block.

    Args:
        parts: all that its rows depend on, as JSON can hold it
    """
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return f"part-{number:06d}-{digest[:16]}.parquet"


class ShardFolder:
    """A folder of shards; several processes may write into it at a time.

    Attributes:
        location: a path or a URI
        command: what all who write into the folder must have in common
        beside: names of files that the command writes beside the shards
    """

    def __init__(self, location: Location, command: dict[str, Any], beside: Sequence[str] = ()) -> None:
        self.location, self.command, self.beside = location, command, beside

    def __str__(self) -> str:
        return str(self.location)

    def find(self) -> set[str]:
        """Find the shards that the same command has left, before it was stopped.

        Returns:
            Their names; none if the folder is new or empty

        Raises:
            OptionError: if anything else is there: a complete folder, that of another command, other files
            StorageError
        """
        names = self.names()
        shards = set(filter(SHARD.fullmatch, names))
        if MANIFEST in names:
            self._remove_temporaries()  # a kill may have come when the manifest had its name
            raise OptionError(f"'{self}' already exists and is complete; choose another folder with -o.")
        if COMMAND in names:
            self._refuse_other_command()
        if others := sorted(names - shards - {COMMAND, *self.beside} if COMMAND in names else names):
            raise OptionError(
                f"'{self}' already exists and has other files ({quote_names(others)}); choose another folder with -o."
            )
        return shards

    def block_size(self) -> int:
        """Tell how many inputs the shards of a folder have that was started; 0 where none was.

        Raises:
            StorageError: if there is no such bucket, or the store fails
        """
        if not exists(self.location / COMMAND):
            return 0
        with suppress(OSError, ValueError, AttributeError, RecursionError):  # `find` says what is wrong
            size = json.loads(self._read(COMMAND, MAX_COMMAND_BYTES)).get("block_size")
            return size if isinstance(size, int) and 0 < size <= MAX_BLOCK_SIZE else 0
        return 0

    def names(self) -> set[str]:
        """List what is in the folder, but not what a killed process has left half-written.

        Raises:
            OptionError: if it is not a folder, or nothing can be written into it
            StorageError
        """
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

    def _refuse_other_command(self) -> None:
        """Check that an unfinished folder is of this command; OptionError if it is not"""
        try:
            before = json.loads(self._read(COMMAND, MAX_COMMAND_BYTES))
            names = sorted(before.keys() | self.command.keys())
        except (OSError, ValueError, AttributeError, RecursionError):
            raise OptionError(f"'{self.location / COMMAND}' cannot be read; choose another folder with -o.") from None
        now: dict[str, Any] = json.loads(json.dumps(self.command))
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

    def start(self) -> None:
        """Make the folder, and write what it is made with.

        Raises:
            WriteError
            StorageError
        """
        if isinstance(self.location, Path):
            make_folder(self.location)
        if not exists(self.location / COMMAND):
            self.write(COMMAND, f"{json.dumps(self.command, indent=2)}\n".encode())

    def fill(
        self,
        blocks: Iterable[ShardBlock],
        compute: Callable[[Iterator[Any], Advance], Iterable[ShardRow]],
        progress: Progress,
        stage: str,
    ) -> Iterator[ShardRow]:
        """Let all shards be written that are not there yet; give those that are there, then the new ones.

        Args:
            blocks: in their order; they are gone through twice
            compute: writes the shards of some of them, in their order
            stage: name of this work, where progress is shown

        Raises:
            OptionError: as `find` does, if the blocks are not those that the folder was started with, and if a shard
                is damaged
            WriteError
            StorageError
        """
        finished = self.find()
        others, num_blocks, num_left = set(finished), 0, 0
        for block in blocks:
            num_blocks += 1
            num_left += 0 if block.file in others else len(block)
            others.discard(block.file)
        if others:
            raise OptionError(
                f"'{self}' has shards of other inputs ({quote_names(sorted(others))}): the list of inputs has changed "
                "since the command was started; choose another folder with -o."
            )
        self.start()
        progress.run_started(Path(str(self)))
        if finished:
            progress.note(f"continues: {len(finished):,} of {num_blocks:,} shards are there")
        yield from map(self._read_row, sorted(finished))
        missing = (block for block in blocks if block.file not in finished)
        with progress.stage(stage, num_left, "images") as advance:
            yield from compute(missing, advance)

    def add(self, name: str, content: bytes) -> ShardRow:
        """Write a shard; another process may write an equal one at the same time.

        Raises:
            WriteError
            StorageError
        """
        return self._read_row(name, self.write(name, content))

    def _read_row(self, name: str, written: bytes | None = None) -> ShardRow:
        """Read what a shard says of itself, and all its values unless it was just written; OptionError if damaged"""
        try:
            return read_row(name, self.read(name) if written is None else written, is_checked=written is None)
        except (OSError, ValueError, NotImplementedError, MemoryError) as error:
            raise self.damage(name, error) from None

    def damage(self, name: str, reason: object) -> OptionError:
        """Make the sentence for a file that is not what was written."""
        text = str(reason).split("\n")[0].removeprefix("it is damaged: ").rstrip(".")
        return OptionError(f"'{self.location / name}' is damaged ({text}); remove this file and repeat the command.")

    def read(self, name: str) -> bytes:
        """Read a shard, or another file of the folder.

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

    def complete(self, about: dict[str, Any], rows: Iterable[ShardRow]) -> None:
        """Remove what killed processes have left half-written, and write the manifest.

        Args:
            about: what the manifest has beside the command, and the names and hashes of all shards
            rows: of all shards

        Raises:
            OptionError: if another process has completed the folder, or has put other shards into it
            WriteError
            StorageError
        """
        finished = sorted(rows, key=lambda row: row.file)
        if others := set(filter(SHARD.fullmatch, self.names())).difference(row.file for row in finished):
            raise OptionError(
                f"another command has put shards into '{self}' meanwhile ({quote_names(sorted(others))}); choose "
                "another folder with -o."
            )
        self._remove_temporaries()
        shards = [{"file": row.file, "sha256": row.sha256, "rows": row.rows} for row in finished]
        manifest = self.command | {"rows": sum(row.rows for row in finished)} | about | {"shards": shards}
        put_new(self.location / MANIFEST, f"{json.dumps(manifest, indent=2)}\n".encode())

    def _remove_temporaries(self) -> None:
        if isinstance(self.location, Path):
            for path in filter(_is_temporary, self.location.iterdir()):
                remove_if_possible(path)


def read_row(name: str, content: bytes, is_checked: bool = False) -> ShardRow:
    """Read what a shard says of itself.

    Args:
        is_checked: whether all its values are read, too

    Raises:
        OSError
        ValueError: if it is damaged
    """
    from pyarrow import BufferReader, parquet

    with parquet.ParquetFile(BufferReader(content), page_checksum_verification=is_checked) as shard:
        counts = json.loads((shard.metadata.metadata or {}).get(COUNTS.encode(), b"{}"))
        if is_checked:
            for group in range(shard.num_row_groups):
                shard.read_row_group(group)
        return ShardRow(name, hashlib.sha256(content).hexdigest(), shard.metadata.num_rows, counts)


def _is_temporary(path: Path) -> bool:
    return bool(TEMPORARY.fullmatch(path.name)) and is_regular(path)
