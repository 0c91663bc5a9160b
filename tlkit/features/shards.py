"""Shards: files of feature records, each whole or absent, named by content and key, checked when it is opened."""

import hashlib
import io
import mmap
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tlkit.data.appearance import APPEARANCE
from tlkit.utils.files import atomic_open
from tlkit.utils.reading import open_regular

SHARD = re.compile(r"[0-9a-f]{32}\.npy")  # a shard's name: the SHA-256 of its key and bytes, shortened
MAX_SHARD_BYTES = 1 << 40
READ_BYTES = 1 << 20  # that are read at a time to check a shard


@dataclass(frozen=True)
class FeatureRecord:
    """One image's features.

    Attributes:
        sha256: of the file's bytes, hexadecimal
        digest: of its pixels, hexadecimal
        appearance: an `APPEARANCE`
        values: float32, float16 or uint8, of the shape at the cut
    """

    sha256: str
    digest: str
    appearance: np.void
    values: np.ndarray


def make_shard(records: Sequence[FeatureRecord]) -> np.ndarray:
    """Make one array of records."""
    precision = np.result_type(*{record.values.dtype for record in records})
    shape = records[0].values.shape
    kinds = [("sha256", "u1", (32,)), ("digest", "u1", (16,)), ("appearance", APPEARANCE), ("values", precision, shape)]
    shard = np.empty(len(records), kinds)
    for entry, record in zip(shard, records, strict=True):
        entry["sha256"] = np.frombuffer(bytes.fromhex(record.sha256), np.uint8)
        entry["digest"] = np.frombuffer(bytes.fromhex(record.digest), np.uint8)
        entry["appearance"] = record.appearance
        entry["values"] = record.values
    return shard


def write_shard(folder: Path, parts: Sequence[np.ndarray]) -> tuple[str, np.ndarray]:
    """Write arrays of records, all of one type, as one shard; give its name, and its records mapped from there.

    Raises:
        OSError
    """
    file = folder / f"{_checksum(folder, _content(parts))}.npy"
    with atomic_open(file, "wb") as opened:
        for piece in _content(parts):
            opened.write(piece)
    return file.stem, _mapped(file)


def open_shard(file: Path) -> np.ndarray:
    """Check a shard, and map its records from the file; where no more files can be open, they are loaded.

    Raises:
        OSError: if it cannot be read now
        ValueError: if it is not what was written for the key that its folder is called by
    """
    with open_regular(file, MAX_SHARD_BYTES) as opened:
        checksum = _checksum(file.parent, iter(lambda: opened.read(READ_BYTES), b""))
    if checksum != file.stem:
        raise ValueError("its content is not what its name says")
    return _mapped(file)


def group_shards(shards: Iterable[tuple[str, np.ndarray]], max_bytes: int) -> list[list[tuple[str, np.ndarray]]]:
    """Group shards, each with its name, so that those of a group can become one; a large one stays alone."""
    groups, growing = list[list[tuple[str, np.ndarray]]](), dict[np.dtype, list[tuple[str, np.ndarray]]]()
    for name, shard in shards:
        group = growing.get(shard.dtype, [])
        if shard.nbytes >= max_bytes // 2:
            groups.append([(name, shard)])
        elif group and sum(other.nbytes for _, other in group) < max_bytes:
            group.append((name, shard))
        else:
            growing[shard.dtype] = [(name, shard)]
            groups.append(growing[shard.dtype])
    return groups


def distinct(shards: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Leave out records that an earlier shard or record has."""
    hashes = np.concatenate([shard["sha256"] for shard in shards])
    first = np.unique(hashes.view("S32"), return_index=True)[1]
    if len(first) == len(hashes):
        return list(shards)
    is_first = np.zeros(len(hashes), bool)
    is_first[first] = True
    stops = np.cumsum([len(shard) for shard in shards])
    return [shard[kept] for shard, kept in zip(shards, np.split(is_first, stops[:-1]), strict=True)]


def count_records(file: Path) -> int:
    """Read from its header how many records a shard has.

    Raises:
        OSError
        ValueError: if it is no shard
    """
    with open_regular(file, MAX_SHARD_BYTES) as opened:
        np.lib.format.read_magic(opened)
        shape: tuple[int, ...] = np.lib.format.read_array_header_1_0(opened)[0]
    return shape[0] if shape else 0


def release(shard: np.ndarray) -> None:
    """Give the pages of a shard that were read back to the system, which keeps them as long as it has room."""
    if hasattr(mmap, "MADV_DONTNEED") and isinstance(shard.base, mmap.mmap):
        shard.base.madvise(mmap.MADV_DONTNEED)


def _mapped(file: Path) -> np.ndarray:
    try:
        shard: np.ndarray = np.load(file, mmap_mode="r")
    except OSError:
        shard = np.load(io.BytesIO(file.read_bytes()), allow_pickle=False)
    return shard


def _content(parts: Sequence[np.ndarray]) -> Iterator[bytes | memoryview]:
    """Give the bytes of a `.npy` file with the records of all parts."""
    header = io.BytesIO()
    facts = {"descr": np.lib.format.dtype_to_descr(parts[0].dtype), "fortran_order": False}
    np.lib.format.write_array_header_1_0(header, facts | {"shape": (sum(map(len, parts)),)})
    yield header.getvalue()
    for part in parts:
        yield np.ascontiguousarray(part).view(np.uint8).data


def _checksum(folder: Path, content: Iterable[bytes | memoryview]) -> str:
    """Hash a shard's bytes and the key, so that a shard in the folder of another key counts as damaged."""
    digest = hashlib.sha256(folder.name.encode())
    for piece in content:
        digest.update(piece)
    return digest.hexdigest()[:32]
