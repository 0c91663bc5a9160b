"""The rows of a table as text: csv, tsv, jsonl or parquet, on disk or in an object store."""

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import Any, BinaryIO

from tlkit.data.listing import describe_special_file
from tlkit.errors import DataError, require
from tlkit.utils.locations import SCHEMES
from tlkit.utils.storage import Location, RemotePath, open_stored, read_bytes

MAX_TABLE_BYTES = 1 << 30
MAX_KNOWN = 10_000  # values of a table that are kept once where they are equal
BATCH_ROWS = 1 << 16  # of a parquet file that become text at a time
START_BYTES = 1 << 14  # of a table, which are enough to know what it lists
BUCKET = re.compile(rf"""\b(?:{"|".join(SCHEMES)})://[^/\s,;"']+(?=/)""")


class TextRows(Sequence[Mapping[str, str]]):
    """Rows of a table as text, kept as columns: a row is made when it is asked for, and takes half a kilobyte.

    Attributes:
        names: of the columns
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self._columns: list[list[str]] = [[] for _ in self.names]
        self._known = dict[str, str]()

    def __len__(self) -> int:
        return len(self._columns[0]) if self._columns else 0

    def __getitem__(self, index: Any) -> Any:
        """Give one row, or the list of some."""
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        return dict(zip(self.names, (column[index] for column in self._columns), strict=True))

    def __iter__(self) -> Iterator[Mapping[str, str]]:
        return (dict(zip(self.names, values, strict=True)) for values in zip(*self._columns, strict=True))

    def taken(self) -> Iterator[Mapping[str, str]]:
        """Give row by row and forget each: what is made of the rows may take as much memory as they do."""
        for column in self._columns:
            column.reverse()
        while len(self):
            yield dict(zip(self.names, (column.pop() for column in self._columns), strict=True))

    def add(self, values: Iterable[str]) -> None:
        """Add a row; of values that are missing at its end, there is ""."""
        for column, value in zip(self._columns, chain(values, repeat("")), strict=False):
            column.append(self._once(value))

    def add_column(self, position: int, values: Iterable[str]) -> None:
        """Add values to one column; in the end all must be of one length."""
        self._columns[position].extend(map(self._once, values))

    def _once(self, value: str) -> str:
        """Keep equal values once, such as labels."""
        if (known := self._known.get(value)) is None:
            known = value
            if len(self._known) < MAX_KNOWN:
                self._known[value] = value
        return known


def read_rows(file: Location) -> TextRows:
    """Read a table as text.

    Raises:
        DataError: if it is no such table
        ModelError: if the package for it is missing
    """
    try:
        if isinstance(file, Path):
            if reason := describe_special_file(file.stat().st_mode):
                raise DataError(f"'{file}' is {reason}; expected a table of images, such as labels.csv.")
            if file.stat().st_size > MAX_TABLE_BYTES:
                raise DataError(f"'{file}' is larger than 1 GB; expected a table of paths and labels.")
        if file.suffix.lower() == ".parquet":
            return _read_parquet(file)
        text = read_bytes(file, MAX_TABLE_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"'{file}' cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError as error:
        raise DataError(f"'{file}' is not UTF-8 text (byte {error.start}); save the table as UTF-8.") from None
    if file.suffix.lower() in (".jsonl", ".ndjson"):
        return _read_jsonl(file, text)
    return _read_csv(file, text)


def bucket_named_in(file: Location) -> RemotePath | None:
    """Find the bucket whose images a table lists by URIs, from its start; None where it lists paths.

    Raises:
        OSError, StorageError
    """
    with open_stored(file) as opened:
        if file.suffix.lower() == ".parquet":
            start = _first_row(file, opened)
        else:
            start = opened.read(START_BYTES).decode("utf-8", "replace")
    found = BUCKET.search(start)
    return RemotePath(found[0]) if found else None


def _first_row(file: Location, opened: BinaryIO) -> str:
    require("pyarrow", "parquet", f"'{file}'")
    import pyarrow
    from pyarrow import parquet, types

    try:
        table = parquet.ParquetFile(opened)
        texts = [field.name for field in table.schema_arrow if types.is_string(field.type)]
        rows = next(table.iter_batches(batch_size=1, columns=texts)).to_pylist() if texts else []
    except (pyarrow.ArrowException, StopIteration):
        return ""
    return "\n".join(text or "" for text in rows[0].values()) if rows else ""


def _read_csv(file: Location, text: str) -> TextRows:
    header = text.split("\n", 1)[0]
    delimiter = "\t" if file.suffix.lower() == ".tsv" else max(",;\t|", key=header.count)
    lines = (line for line in csv.reader(_lines_of(text), delimiter=delimiter, strict=True) if line)
    try:
        names = [name.strip() for name in next(lines)]
        if duplicates := [name for name, count in Counter(names).items() if count > 1 and name]:
            raise DataError(f"'{file}' has two columns called '{duplicates[0]}'; rename one of them.")
        rows = TextRows(names)
        for number, line in enumerate(lines, 2):
            if len(line) > len(names):
                raise DataError(f"'{file}' has {len(line)} values in row {number}, but {len(names)} columns.")
            rows.add(line)
    except StopIteration:
        raise DataError(f"'{file}' is empty; expected a header and one row per image.") from None
    except csv.Error as error:
        raise DataError(f"'{file}' cannot be read as a table ({error}).") from None
    return rows


def _lines_of(text: str) -> Iterator[str]:
    """Give the lines one by one, each with its end; `io.StringIO` would take four bytes a letter."""
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


def _read_jsonl(file: Location, text: str) -> TextRows:
    contents = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise DataError(f"'{file}' has no JSON object in line {number}; expected one per line.")
        contents.append(content)
    rows = TextRows(list(dict.fromkeys(name for content in contents for name in content)))
    for content in contents:
        rows.add(as_text(content.get(name)) for name in rows.names)
    return rows


def _read_parquet(file: Location) -> TextRows:
    require("pyarrow", "parquet", f"'{file}'")
    import pyarrow
    from pyarrow import parquet

    try:
        content = parquet.ParquetFile(file if isinstance(file, Path) else io.BytesIO(read_bytes(file, MAX_TABLE_BYTES)))
        rows = TextRows(content.schema_arrow.names)
        for batch in content.iter_batches(batch_size=BATCH_ROWS):
            for position, column in enumerate(batch.columns):
                rows.add_column(position, map(as_text, column.to_pylist()))
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"'{file}' cannot be read as parquet ({reason}).") from None
    return rows


def as_text(value: Any) -> str:
    """Write a value of a table as text; "" for what is missing.

    >>> as_text(3.0), as_text(None), as_text(float("nan")), as_text(["cat"]), as_text(True)
    ('3', '', '', 'cat', 'True')
    """
    if isinstance(value, list) and len(value) == 1:
        return as_text(value[0])
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
