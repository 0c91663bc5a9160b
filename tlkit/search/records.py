"""The images of an index, one JSON object a line: where each is, its class, its hashes and its group.

The lines are read from the file when they are asked for; only where they begin is held in memory.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.runs.manifest import is_name
from tlkit.utils.reading import is_inside, open_regular

MAX_BYTES = 16_000_000_000
MAX_LINE = 65_536  # bytes of an image's line
READ_BYTES = 1 << 20


@dataclass(frozen=True)
class ImageRecord:
    """An image of an index.

    Attributes:
        path: relative to the folder it was read from, with "/"
        root: position of that folder in the index's `roots`
        label: its class; "" without one
        subset: "train", "validation", "test" or "", as a training with the same options has it
        sha256: of the file's bytes
        digest: of its pixels
        related: what else it belongs to, such as a patient; "" for nothing
        group: shared by images that are duplicates of each other
    """

    path: str
    root: int
    label: str
    subset: str
    sha256: str
    digest: str
    related: str
    group: str


TEXTS = [item.name for item in fields(ImageRecord) if item.name != "root"]


@dataclass(frozen=True)
class RecordFile:
    """The images of an index, by position.

    Attributes:
        starts: where each line begins, and where the last one ends, in bytes
        num_roots: folders that the index has images of
    """

    file: Path
    starts: np.ndarray
    num_roots: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    def read(self, positions: Sequence[int]) -> list[ImageRecord]:
        """Read the records of some images.

        Raises:
            ValueError: if one is damaged
            OSError
        """
        with open_regular(self.file, MAX_BYTES) as opened:
            spans = [(int(self.starts[position]), int(self.starts[position + 1])) for position in positions]
            lines = [os.pread(opened.fileno(), end - start, start) for start, end in spans]
        return [self._parse(line) for line in lines]

    def __iter__(self) -> Iterator[ImageRecord]:
        with open_regular(self.file, MAX_BYTES) as opened:
            for line in opened:
                yield self._parse(line)

    def _parse(self, line: bytes) -> ImageRecord:
        try:
            content = json.loads(line)
            record = ImageRecord(**content)
        except (ValueError, TypeError, RecursionError):
            raise ValueError("it is damaged: a line describes no image") from None
        if not all(is_name(getattr(record, name)) for name in TEXTS) or not is_inside(record.path):
            raise ValueError("it is damaged: a line describes no image, or one outside its folder")
        if not isinstance(record.root, int) or not 0 <= record.root < self.num_roots:
            raise ValueError("it is damaged: a line names a folder that the index does not have")
        return record


def open_records(file: Path, num_images: int, num_roots: int) -> RecordFile:
    """Find the lines of a file.

    Raises:
        ValueError: if there are more or fewer than images
        OSError
    """
    ends, position = [np.zeros(1, np.int64)], 0
    with open_regular(file, MAX_BYTES) as opened:
        while data := opened.read(READ_BYTES):
            ends.append(np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")) + position + 1)
            position += len(data)
    starts = np.concatenate(ends)
    if len(starts) != num_images + 1 or starts[-1] != position or np.diff(starts).max(initial=0) > MAX_LINE:
        raise ValueError(f"it is damaged: it has {len(starts) - 1:,} lines for {num_images:,} images")
    return RecordFile(file, starts, num_roots)


def write_records(file: Path, records: Iterable[ImageRecord]) -> str:
    """Write records line by line, and give the SHA-256 of the file.

    Raises:
        OSError
    """
    digest = hashlib.sha256()
    with file.open("xb") as opened:
        for record in records:
            line = encode_record(record)
            opened.write(line)
            digest.update(line)
        opened.flush()
        os.fsync(opened.fileno())
    return digest.hexdigest()


def encode_record(record: ImageRecord) -> bytes:
    """Write a record as a line; a file name that is not UTF-8 is escaped."""
    content: dict[str, Any] = asdict(record)
    return json.dumps(content).encode() + b"\n"
