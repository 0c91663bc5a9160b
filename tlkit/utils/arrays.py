"""Arrays in a `.npz` file that may come from a stranger: every header is checked before any data is read; no pickle."""

import io
import re
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from tlkit.utils.reading import open_regular

MEMBER = re.compile(r"[\w./+-]{1,200}\.npy")
MAX_MEMBERS = 10_000
MAX_RATIO, SMALL_BYTES = 200, 64 << 20  # unpacked to packed bytes, of a file that unpacks to more than this
MAX_DIMENSIONS = 8
KINDS = "biufU"  # of types: bool, whole numbers, floating point, text
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ERRORS = (  # of zipfile, zlib and the parser of headers, for bytes that are not what they should be
    *(zipfile.BadZipFile, zlib.error, EOFError, KeyError, IndexError, TypeError, SyntaxError, OverflowError),
    tokenize.TokenError,
    *(MemoryError, RecursionError, NotImplementedError, RuntimeError, AttributeError, UnicodeError),
)


@dataclass(frozen=True)
class ArrayHeader:
    """Shape and type of an array that was not read yet."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_fortran: bool = False

    @property
    def num_bytes(self) -> int:
        """Size of its data."""
        count = 1
        for length in self.shape:  # not NumPy's product, which may overflow
            count *= length
        return count * self.dtype.itemsize


@dataclass
class ArrayFile:
    """An open `.npz` file.

    Attributes:
        headers: of its arrays, by name
    """

    headers: dict[str, ArrayHeader]
    _members: zipfile.ZipFile = field(repr=False)

    def read(self, name: str) -> np.ndarray:
        """Read one array.

        Raises:
            ValueError: if it is damaged or not there
        """
        if name not in self.headers:
            raise ValueError(f"it is damaged: '{name}' is missing")
        header = self.headers[name]
        with _damage_is_an_error(), self._members.open(f"{name}.npy") as member:
            _read_header(member)
            data = member.read(header.num_bytes)
            if len(data) != header.num_bytes or member.read(1):
                raise ValueError(f"it is damaged: '{name}' has another size")
            array = np.frombuffer(bytearray(data), header.dtype)
            return array.reshape(header.shape, order="F" if header.is_fortran else "C")

    def read_all(self) -> dict[str, np.ndarray]:
        """Read every array, by name.

        Raises:
            ValueError: as `read` does
        """
        return {name: self.read(name) for name in self.headers}


@contextmanager
def open_arrays(file: Path | bytes, max_bytes: int) -> Iterator[ArrayFile]:
    """Open a `.npz` file, or the bytes of one, and check names, sizes and headers of its arrays.

    Raises:
        ValueError: if it is damaged, or would unpack to more than `max_bytes`
        OSError: if it is not a regular file of at most that size
    """
    with io.BytesIO(file) if isinstance(file, bytes) else open_regular(file, max_bytes) as opened:
        with _damage_is_an_error():
            members = zipfile.ZipFile(opened)
            arrays = ArrayFile(_read_headers(members, max_bytes), members)
        yield arrays


def check_shapes(headers: Mapping[str, ArrayHeader], expected: Mapping[str, str], sizes: dict[str, int]) -> None:
    """Check the shapes of arrays against each other.

    Args:
        headers: by name
        expected: kind and sizes of each array, such as "f classes values"
        sizes: what is known already, such as {"values": 128}; what the arrays have is added

    Raises:
        ValueError: if an array is missing or too many, or has another shape

    >>> sizes = {"values": 3}
    >>> check_shapes({"weights": ArrayHeader((2, 3), np.dtype("f4"))}, {"weights": "f classes values"}, sizes)
    >>> sizes
    {'values': 3, 'classes': 2}
    """
    if different := sorted(headers.keys() ^ expected.keys()):
        raise ValueError(
            f"it is damaged: '{different[0]}' is {'not expected' if different[0] in headers else 'missing'}"
        )
    for name, words in expected.items():
        kind, *names = words.split()
        header = headers[name]
        if header.dtype.kind not in {"i": "iu"}.get(kind, kind) or len(header.shape) != len(names):
            raise ValueError(f"it is damaged: '{name}' has another type or number of dimensions")
        for size_name, length in zip(names, header.shape, strict=True):
            if length < 1 or sizes.setdefault(size_name, length) != length:
                raise ValueError(f"it is damaged: '{name}' has {length:,} {size_name.replace('_', ' ')}")


def read_array_header(opened: IO[bytes]) -> ArrayHeader:
    """Read the header of a `.npy` file that is open; its data come next.

    Raises:
        ValueError: if it is damaged
    """
    with _damage_is_an_error():
        return _read_header(opened)


@contextmanager
def _damage_is_an_error() -> Iterator[None]:
    """Turn every error of a damaged file into a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(str(error).split("\n")[0][:200]) from None
    except ERRORS as error:
        text = str(error).split("\n")[0][:200]
        raise ValueError(f"it is damaged: {text or type(error).__name__}") from None


def _read_headers(members: zipfile.ZipFile, max_bytes: int) -> dict[str, ArrayHeader]:
    infos = members.infolist()
    if len(infos) > MAX_MEMBERS:
        raise ValueError(f"it holds more than {MAX_MEMBERS:,} arrays")
    unpacked = sum(info.file_size for info in infos)
    packed = sum(info.compress_size for info in infos)
    if unpacked > max_bytes or unpacked > max(SMALL_BYTES, MAX_RATIO * packed):
        raise ValueError(f"it unpacks to more than expected ({unpacked / 1e6:,.0f} MB)")
    headers = dict[str, ArrayHeader]()
    for info in infos:
        name = info.filename.removesuffix(".npy")
        if not MEMBER.fullmatch(info.filename) or name in headers or info.compress_type not in COMPRESSIONS:
            raise ValueError("it is damaged: it holds something that is not an array")
        with members.open(info) as member:
            headers[name] = _read_header(member)
            if headers[name].num_bytes + member.tell() != info.file_size:
                raise ValueError(f"it is damaged: the header of '{name}' promises another size")
    return headers


def _read_header(member: IO[bytes]) -> ArrayHeader:
    version = npy.read_magic(member)
    if version not in ((1, 0), (2, 0)):
        raise ValueError("it is damaged: an array has an unknown format")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    with warnings.catch_warnings(action="ignore"):  # of headers as Python 2 wrote them
        shape, is_fortran, dtype = read(member)
    if dtype.kind not in KINDS or dtype.hasobject:
        raise ValueError("an array holds objects, which only a pickle can store (allow_pickle is off)")
    if len(shape) > MAX_DIMENSIONS or not all(isinstance(length, int) and length >= 0 for length in shape):
        raise ValueError("it is damaged: an array has an impossible shape")
    return ArrayHeader(tuple(int(length) for length in shape), dtype, bool(is_fortran))
