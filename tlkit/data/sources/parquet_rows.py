"""Parquet files with the bytes of images in their rows, as data sets of Hugging Face have them."""

import json
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlkit.errors import DataError, ImageError, require
from tlkit.utils.storage import Location, open_stored

if TYPE_CHECKING:
    from pyarrow import ChunkedArray, Schema
    from pyarrow.parquet import ParquetFile

KEPT_BYTES = 512 << 20  # of row groups in memory, whose rows threads read

_groups: OrderedDict[tuple[str, int], "ChunkedArray"] = OrderedDict()  # read last, by shard and number
_reading: defaultdict[tuple[str, int], threading.Lock] = defaultdict(threading.Lock)
_kept = threading.Lock()
_starts: dict[str, list[int]] = {}  # the first row of each group, and the number of rows, by shard


@dataclass(frozen=True)
class ImageColumns:
    """The columns of a parquet file with images.

    Attributes:
        image: that holds the bytes
        has_paths: whether it also holds the names of the files
        others: all other columns
        class_names: of the labels, by column; none where labels are text
    """

    image: str
    has_paths: bool
    others: tuple[str, ...]
    class_names: dict[str, list[str]]


def image_columns(shard: Location) -> ImageColumns | None:
    """Find the column with the bytes of images; None where the file has none, or is not parquet."""
    require("pyarrow", "parquet", f"'{shard}'")
    try:
        with _open(shard) as file:
            return _image_columns(file.schema_arrow)
    except DataError:
        return None


def _image_columns(schema: "Schema") -> ImageColumns | None:
    from pyarrow import types

    for field in schema:
        inner = field.type if types.is_struct(field.type) else [field.with_name("bytes")]
        fields = {part.name: part.type for part in inner}
        if "bytes" in fields and (types.is_binary(fields["bytes"]) or types.is_large_binary(fields["bytes"])):
            others = tuple(name for name in schema.names if name != field.name)
            return ImageColumns(field.name, "path" in fields, others, _class_names(schema.metadata or {}))
    return None


def _class_names(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """Read the names of the classes that Hugging Face's library writes into a file; none where it wrote none."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {name: list(map(str, kind["names"])) for name, kind in features.items() if "names" in kind}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def read_columns(shard: Location, columns: ImageColumns, wanted: list[str]) -> tuple[list[str], list[dict[str, Any]]]:
    """Read what a file says of its images, without their bytes: a name per row, and the columns asked for.

    Raises:
        DataError: if the file is damaged
        OSError, StorageError
    """
    paths = [f"{columns.image}.path"] if columns.has_paths else []
    with _open(shard) as file:
        table = file.read(columns=[*wanted, *paths])
        count = file.metadata.num_rows
    rows = table.select([name for name in wanted if name in table.column_names]).to_pylist() if wanted else [{}] * count
    structs = table.column(columns.image).to_pylist() if paths else [None] * count
    suffixes = [Path(str((struct or {}).get("path") or "")).suffix for struct in structs]
    return [f"{number}{suffix}" for number, suffix in enumerate(suffixes)], rows


def read_row_image(shard: Location, name: str, max_bytes: int) -> bytes:
    """Read the image of one row, whose name begins with its number.

    Raises:
        ImageError: if there is no such row, or no image in it
        OSError, StorageError
    """
    digits = name.partition(".")[0]
    try:
        starts = _row_starts(shard)
        if not digits.isascii() or not digits.isdigit() or int(digits) >= starts[-1]:
            raise ImageError("does not exist")
        row = int(digits)
        group = max(index for index, start in enumerate(starts[:-1]) if start <= row)
        found = _read_group(shard, group)[row - starts[group]].as_py()
    except DataError:
        raise ImageError("is in a shard that is damaged") from None
    content = found.get("bytes") if isinstance(found, dict) else found
    if not content:
        raise ImageError("is missing in its row")
    if len(content) > max_bytes:
        raise ImageError(f"is {len(content) >> 20} MiB large; at most {max_bytes >> 20} MiB are read")
    return bytes(content)


def _row_starts(shard: Location) -> list[int]:
    key = _key(shard)
    with _reading[key, -1]:
        if key not in _starts:
            with _open(shard) as file:
                starts = [0]
                for number in range(file.metadata.num_row_groups):
                    starts.append(starts[-1] + file.metadata.row_group(number).num_rows)
            _starts[key] = starts
        return _starts[key]


def _read_group(shard: Location, number: int) -> "ChunkedArray":
    """Read the images of one row group; the groups that were read last stay in memory."""
    key = _key(shard), number
    with _reading[key]:
        with _kept:
            if key in _groups:
                _groups.move_to_end(key)
                return _groups[key]
        with _open(shard) as file:
            columns = _image_columns(file.schema_arrow)
            if not columns:
                raise ImageError("does not exist")
            images = file.read_row_group(number, columns=[columns.image]).column(0)
        with _kept:
            _groups[key] = images
            while len(_groups) > 1 and sum(group.nbytes for group in _groups.values()) > KEPT_BYTES:
                _groups.popitem(last=False)
        return images


@contextmanager
def _open(shard: Location) -> "Iterator[ParquetFile]":
    """Open a file; what pyarrow says of a damaged one becomes a sentence.

    Raises:
        DataError
    """
    import pyarrow
    from pyarrow import parquet

    with open_stored(shard) as opened:
        try:
            yield parquet.ParquetFile(opened)
        except pyarrow.ArrowException as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"'{shard}' cannot be read as parquet ({reason}).") from None


def _key(shard: Location) -> str:
    """Give what a file is remembered by; one on disk that was changed is read again."""
    if isinstance(shard, Path):
        status = shard.stat()
        return f"{shard} {status.st_size} {status.st_mtime_ns}"
    return str(shard)
