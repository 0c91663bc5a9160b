"""Vectors in a `.npy` file, read in blocks and by position.

The file is neither held in memory nor mapped: memory stays small however many vectors there are, and a file that is
cut off meanwhile is an error, not the end of the process.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from tlkit.utils.arrays import read_array_header
from tlkit.utils.reading import open_regular

BLOCK_BYTES = 32 << 20  # of float32 values that are read at a time
MAX_BYTES = 1 << 40
DTYPES: dict[str, np.dtype[Any]] = {"float16": np.dtype("<f2"), "float32": np.dtype("<f4"), "uint8": np.dtype("u1")}


@dataclass(frozen=True)
class VectorFile:
    """Vectors on disk.

    Attributes:
        shape: vectors, values
        dtype: of the file; what is read is float32, or uint8
        offset: of the first value, in bytes
    """

    file: Path
    shape: tuple[int, int]
    dtype: np.dtype
    offset: int

    @property
    def block_rows(self) -> int:
        """The number of vectors that are read at a time."""
        return max(1, BLOCK_BYTES // (4 * self.shape[1]))

    def blocks(self, start: int = 0) -> Iterator[tuple[int, np.ndarray]]:
        """Read all vectors from one on, block by block: the position of the first, and (vectors, values).

        Raises:
            ValueError: if the file is cut off
            OSError
        """
        with open_regular(self.file, MAX_BYTES) as opened:
            opened.seek(self.offset + start * self._row_bytes)
            while start < self.shape[0]:
                count = min(self.block_rows, self.shape[0] - start)
                yield start, self._decode(opened.read(count * self._row_bytes), count)
                start += count

    def rows(self, positions: np.ndarray) -> np.ndarray:
        """Read the vectors at some positions, in their order: (positions, values).

        Raises:
            ValueError: if the file is cut off
            OSError
        """
        with open_regular(self.file, MAX_BYTES) as opened:
            return self.rows_of(opened.fileno(), positions)

    def rows_of(self, descriptor: int, positions: np.ndarray) -> np.ndarray:
        """Read the same from a file that is open."""
        size, offset = self._row_bytes, self.offset
        data = b"".join([os.pread(descriptor, size, offset + position * size) for position in positions.tolist()])
        return self._decode(data, len(positions))

    @property
    def _row_bytes(self) -> int:
        return self.shape[1] * self.dtype.itemsize

    def _decode(self, data: bytes, count: int) -> np.ndarray:
        if len(data) != count * self._row_bytes:
            raise ValueError("it is damaged: it is cut off")
        rows = np.frombuffer(data, self.dtype).reshape(count, self.shape[1])
        return rows if self.dtype == DTYPES["uint8"] else rows.astype(np.float32)


def open_vectors(file: Path) -> VectorFile:
    """Open a file of vectors, and check its header and its size.

    Raises:
        ValueError: if it is damaged
        OSError
    """
    with open_regular(file, MAX_BYTES) as opened:
        header, offset = read_array_header(opened), opened.tell()
        size = os.fstat(opened.fileno()).st_size
    if len(header.shape) != 2 or header.dtype not in DTYPES.values() or header.is_fortran:
        raise ValueError("it is damaged: it holds no vectors")
    if offset + header.num_bytes != size:
        raise ValueError("it is damaged: its header promises another size")
    return VectorFile(file, (header.shape[0], header.shape[1]), header.dtype, offset)


def write_vectors(file: Path, blocks: Iterable[np.ndarray], shape: tuple[int, int], dtype: str) -> str:
    """Write vectors block by block, and give the SHA-256 of the file.

    Args:
        shape: of all blocks together

    Raises:
        OSError
        ValueError: if a value does not fit the type
    """
    digest, count = hashlib.sha256(), 0
    with file.open("xb") as opened:
        npy.write_array_header_1_0(
            opened, {"descr": DTYPES[dtype].str, "fortran_order": False, "shape": tuple(map(int, shape))}
        )
        opened.flush()
        digest.update(file.read_bytes())
        for block in blocks:
            with np.errstate(over="ignore"):
                data = np.ascontiguousarray(block, DTYPES[dtype])
            if dtype != "uint8" and not np.isfinite(data).all():
                raise ValueError(f"a feature does not fit {dtype}")
            opened.write(data.data)
            digest.update(data.data)
            count += len(data)
        opened.flush()
        os.fsync(opened.fileno())
    assert count == shape[0], (count, shape)
    return digest.hexdigest()
